"""`selfcodealign run`: run a recipe, from source code to a data set, a tuned model and its scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfcodealign.errors import EmptyDataset, RecipeError, RunFolderError
from selfcodealign.progress.log import is_verbose

if TYPE_CHECKING:
    from selfcodealign.settings import Recipe

#: Groups of options in the help.
MODEL, JOURNEY = "Model and sources", "Journey"


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe in the package (quickstart, paper), or your own .toml file.", metavar="RECIPE"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The run folder; an existing run is resumed. Default: runs/RECIPE.",
            metavar="FOLDER",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Set a setting: section.key=value; may be repeated.", metavar="KEY=VALUE"),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Move finished answers of a model to superseded/ where settings changed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show what a run would do; run nothing.")
    ] = False,
    all_settings: Annotated[
        bool, typer.Option("--settings", help="With --dry-run: show all settings in force as well.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help='The base model: "embedded", a folder, a hub name, or a name that the servers use (model.name).',
            metavar="MODEL",
            rich_help_panel=MODEL,
        ),
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(
            help="An OpenAI-compatible server that holds the model (model.urls); may be repeated.",
            metavar="URL",
            rich_help_panel=MODEL,
        ),
    ] = None,
    serve: Annotated[
        str | None,
        typer.Option(
            help="Start a server (vllm) for the model and stop it after the run (model.serve).",
            metavar="ENGINE",
            rich_help_panel=MODEL,
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Code to take seeds from (seeds.sources): stdlib, package:NAME, git:PATH, hub:NAME, a file or a "
            "folder; may be repeated.",
            metavar="SOURCE",
            rich_help_panel=MODEL,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Use at most this many seeds (seeds.limit).", min=1, metavar="N", rich_help_panel=MODEL),
    ] = None,
    added: Annotated[
        list[str] | None,
        typer.Option("--with", help="Add a stage; may be repeated.", metavar="STAGE", rich_help_panel=JOURNEY),
    ] = None,
    removed: Annotated[
        list[str] | None,
        typer.Option("--without", help="Leave out a stage; may be repeated.", metavar="STAGE", rich_help_panel=JOURNEY),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Stop after this stage.", metavar="STAGE", rich_help_panel=JOURNEY)
    ] = None,
    sandbox: Annotated[
        str | None,
        typer.Option(
            help="How programs are walled off (execution.sandbox): auto takes the strongest way that this machine "
            "allows, namespaces or landlock one of them, unsafe none.",
            metavar="MODE",
        ),
    ] = None,
) -> None:
    """Run a recipe: take rows through the stages of its journey.

    Stages: seeds, decontamination, near_dedup, judge, concepts, instructions, distinct, responses, selection, dataset,
    train, evaluate. The recipe, the model, the sandbox, extras and benchmarks are checked before any work.

    A stopped run (Ctrl-C, kill, power) loses only the rows in progress: the same command resumes it. A changed
    setting that affects the rows of a stage restarts that stage; its earlier rows move to superseded/. Where these are
    a model's finished answers, the run stops and says what changed, unless --yes is given. A run whose data set is
    empty says which stage dropped everything, and exits with code 3.

        selfcodealign run quickstart
        selfcodealign run paper -o runs/mine -m org/base-7b --source git:.
        selfcodealign run paper -o runs/mine --until dataset   # the data alone
        selfcodealign run -o runs/mine       # resume it, by its own recipe.toml
    """
    if all_settings and not dry_run:
        raise RecipeError("--settings shows settings with --dry-run only: give both")
    name, folder = _find(recipe, out)
    given = {"model.name": model, "model.urls": url, "model.serve": serve, "seeds.sources": source}
    given |= {"seeds.limit": limit, "execution.sandbox": sandbox}
    # A JSON value is a TOML value; only what was given overrides the recipe.
    chosen = [
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items() if value not in (None, [])
    ]
    loaded = _load(name, [*(settings or []), *chosen], added or [], removed or [])
    if dry_run:
        _show_plan(loaded, folder, until, None if all_settings or is_verbose() else _load(name, [], [], []))
    else:
        _run(loaded, folder, until, yes)


def _find(recipe: str | None, out: Path | None) -> tuple[str, Path]:
    """Return the recipe and the run folder; either may be omitted if the other implies it."""
    from selfcodealign.run_folder.folder import open_existing

    if recipe is None:
        if out is None:
            raise RecipeError("which recipe? Try: selfcodealign run quickstart")
        if not (out / "recipe.toml").is_file():
            raise RunFolderError(f"{out} holds no run to resume: name a recipe, as in: run quickstart --out {out}")
        open_existing(out).journey()  # a run in the form of an earlier version is refused as that
        return str(out / "recipe.toml"), out
    return recipe, out or Path("runs") / Path(recipe).stem


def _load(name: str, settings: list[str], added: list[str], removed: list[str]) -> Recipe:
    from selfcodealign.pipeline import CATALOGUE
    from selfcodealign.recipe import load_recipe
    from selfcodealign.stages.journey import edit_journey, find_stages

    loaded = load_recipe(name, settings)
    if added or removed:
        journey = edit_journey(loaded.journey, added, removed, CATALOGUE)
        left = {stage.name for stage in find_stages(journey, CATALOGUE)}
        own = {stage: section for stage, section in loaded.own.items() if stage in left or not removed}
        loaded = loaded.model_copy(update={"journey": journey, "own": own})
    for setting in settings:
        stage = setting.partition(".")[0]
        # `concepts` also says how much of a seed a prompt shows, with the stage or without it.
        if stage in CATALOGUE and stage not in (*loaded.journey, "concepts"):
            raise RecipeError(f"--set {setting}: this journey has no stage {stage}; add it with --with {stage}")
    return loaded


def _run(recipe: Recipe, folder: Path, until: str | None, yes: bool) -> None:
    import asyncio

    from rich.console import Console
    from rich.text import Text

    from selfcodealign.pipeline import run_recipe
    from selfcodealign.progress.log import log_drawn
    from selfcodealign.progress.terminal import open_progress
    from selfcodealign.report.funnel import draw_funnel, print_funnel, read_funnel

    with open_progress() as progress:
        try:
            asyncio.run(run_recipe(recipe, folder, until=until, progress=progress, replace_finished=yes))
        except EmptyDataset:
            progress.show(draw_funnel(read_funnel(folder)))
            raise
        except KeyboardInterrupt:
            progress.say("stopped; all finished rows are on disk, and the same command resumes")
            raise

    def draw(console: Console) -> None:
        print_funnel(folder, console)
        if until is not None and until != recipe.journey[-1]:
            console.print(Text(f"stopped after {until}, as --until says; without it, the same command goes on"))

    log_drawn(draw)
    draw(Console())


def _show_plan(recipe: Recipe, folder: Path, until: str | None, base: Recipe | None) -> None:
    """Print what a run would do in each stage, and the settings: all, or those that differ from the recipe `base`."""
    import asyncio

    from rich.console import Console
    from rich.text import Text

    from selfcodealign.pipeline import forecast_recipe, plan_recipe
    from selfcodealign.recipe import changed_settings, recipe_toml
    from selfcodealign.stages.forecast import tell
    from selfcodealign.stages.plan import list_lost

    decisions = asyncio.run(plan_recipe(recipe, folder, until=until))
    console = Console()
    console.print(Text(f"What a run would do in {folder}", style="bold"))
    for decision in decisions:
        console.print(Text(f"  {decision.sentence}"), soft_wrap=True)
    if lost := list_lost(decisions):
        told = f"The run needs --yes, because finished work of a model would move to superseded/: {lost}"
        console.print(Text(told), soft_wrap=True)
    for number, line in enumerate(tell(forecast_recipe(recipe, folder, decisions))):
        console.print(Text(line if number else f"\n{line}", style="" if number else "bold"), soft_wrap=True)
    if base is None:
        console.print(Text("\nSettings", style="bold"))
        console.print(Text(recipe_toml(recipe).strip()), soft_wrap=True)
        return
    changed = changed_settings(base, recipe)
    if changed:
        console.print(Text("\nSettings that differ from the recipe's", style="bold"))
        for line in changed:
            console.print(Text(f"  {line}"), soft_wrap=True)
    console.print(Text("All settings in force: --settings", style="dim"))
