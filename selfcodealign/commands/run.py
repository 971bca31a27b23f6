"""`selfcodealign run`: run a recipe, from source code to a data set, a tuned model and its scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfcodealign.errors import EmptyDataset, RecipeError, RunFolderError

if TYPE_CHECKING:
    from selfcodealign.settings import Recipe


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe in the package (quickstart, paper), or your own .toml file."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder; an existing run is resumed. Default: runs/RECIPE.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Set a setting: section.key=value; may be repeated.", metavar="KEY=VALUE"),
    ] = None,
    added: Annotated[
        list[str] | None,
        typer.Option("--with", help="Add a stage to the journey; may be repeated.", metavar="STAGE"),
    ] = None,
    removed: Annotated[
        list[str] | None,
        typer.Option("--without", help="Remove a stage from the journey; may be repeated.", metavar="STAGE"),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.", metavar="STAGE")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Use at most this many seeds; short for seeds.limit.", min=1)
    ] = None,
    sandbox: Annotated[
        str | None, typer.Option(help="auto, namespaces, landlock or unsafe; short for execution.sandbox.")
    ] = None,
    serve: Annotated[
        str | None,
        typer.Option(help="Start a server (vllm) for the model and stop it after the run.", metavar="ENGINE"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show what a run would do; run nothing.")
    ] = False,
) -> None:
    """Run a recipe: take rows through the stages of its journey.

    Stages: seeds, near_dedup, judge, concepts, instructions, distinct, responses, selection, dataset, train,
    evaluate. The recipe, the model, the sandbox, extras and benchmarks are checked before any work.

    A stopped run (Ctrl-C, kill, power) loses only the rows in progress: the same command resumes it. A changed
    setting that affects the rows of a stage restarts that stage; its earlier rows move to superseded/. A run whose
    data set is empty says which stage dropped everything, and exits with code 3.

        selfcodealign run quickstart
        selfcodealign run paper --out runs/mine --set model.name=bigcode/starcoder2-3b --with train --with evaluate
        selfcodealign run --out runs/mine            # resume it, by its own recipe.toml
    """
    shorthands = {"seeds.limit": limit, "execution.sandbox": sandbox, "model.serve": serve}
    chosen = [f"{key}={value}" for key, value in shorthands.items() if value is not None]
    name, folder = _find(recipe, out)
    loaded = _load(name, [*(settings or []), *chosen], added or [], removed or [])
    if dry_run:
        _show_plan(loaded, folder, until)
    else:
        _run(loaded, folder, until)


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


def _run(recipe: Recipe, folder: Path, until: str | None) -> None:
    import asyncio

    from rich.console import Console

    from selfcodealign.pipeline import run_recipe
    from selfcodealign.progress.terminal import open_progress
    from selfcodealign.report.funnel import draw_funnel, print_funnel, read_funnel

    with open_progress() as progress:
        try:
            asyncio.run(run_recipe(recipe, folder, until=until, progress=progress))
        except EmptyDataset:
            progress.show(draw_funnel(read_funnel(folder)))
            raise
        except KeyboardInterrupt:
            progress.say("stopped; all finished rows are on disk, and the same command resumes")
            raise
    print_funnel(folder, Console())


def _show_plan(recipe: Recipe, folder: Path, until: str | None) -> None:
    """Print the settings in force, and what a run would do in each stage."""
    import asyncio

    from rich.console import Console
    from rich.text import Text

    from selfcodealign.pipeline import plan_recipe
    from selfcodealign.recipe import recipe_toml

    decisions = asyncio.run(plan_recipe(recipe, folder, until=until))
    console = Console()
    console.print(Text(recipe_toml(recipe).strip()))
    console.print(Text(f"\nWhat a run would do in {folder}", style="bold"))
    for decision in decisions:
        console.print(Text(f"  {decision.sentence}"), soft_wrap=True)
