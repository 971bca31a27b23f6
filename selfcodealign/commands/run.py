"""`selfcodealign run`: a recipe, from source code to a data set, a tuned model and its scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfcodealign.errors import RecipeError, RunFolderError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfcodealign.settings import Recipe
    from selfcodealign.stages.plan import Decision


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe that comes with the package (quickstart, paper) or a .toml file of your own."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder; an existing run is resumed. Default: runs/RECIPE.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, as section.key=value; may be given many times.", metavar="KEY=VALUE"),
    ] = None,
    added: Annotated[
        list[str] | None,
        typer.Option("--with", help="Add a stage to the journey, at its place; may be repeated.", metavar="STAGE"),
    ] = None,
    removed: Annotated[
        list[str] | None,
        typer.Option("--without", help="Leave a stage out of the journey; may be repeated.", metavar="STAGE"),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.", metavar="STAGE")] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many seeds; the same as seeds.limit.", min=1)] = None,
    sandbox: Annotated[
        str | None, typer.Option(help="auto, namespaces, landlock or unsafe; the same as execution.sandbox.")
    ] = None,
    serve: Annotated[
        str | None, typer.Option(help="Start a server for the model and stop it afterwards: vllm.", metavar="ENGINE")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, show what would be done, and do nothing.")
    ] = False,
) -> None:
    """Run a recipe: take rows through the stages of its journey.

    The stages: seeds, near_dedup, judge, concepts, instructions, distinct, responses, selection, dataset, train,
    evaluate. The recipe, the model, the sandbox, extras and benchmarks are checked before any work.

    Stopping a run (Ctrl-C, kill, power) loses no more than the rows under way: the same command resumes. A setting
    that changes the rows of a stage starts that stage again, and its earlier rows move to superseded/.

        selfcodealign run quickstart
        selfcodealign run paper --out runs/mine --set model.name=bigcode/starcoder2-3b --with train --with evaluate
        selfcodealign run --out runs/mine            # resume it, by its own recipe.toml
    """
    import asyncio

    from rich.console import Console

    from selfcodealign.pipeline import plan_recipe, run_recipe
    from selfcodealign.progress.terminal import open_progress
    from selfcodealign.report.funnel import print_funnel

    chosen = [*(settings or [])]
    if limit is not None:
        chosen.append(f"seeds.limit={limit}")
    if sandbox is not None:
        chosen.append(f'execution.sandbox="{sandbox}"')
    if serve is not None:
        chosen.append(f'model.serve="{serve}"')
    name, folder = _find(recipe, out)
    loaded = _load(name, chosen, added or [], removed or [])
    console = Console()
    if dry_run:
        _print_plan(loaded, folder, asyncio.run(plan_recipe(loaded, folder, until=until)), console)
        return
    with open_progress() as progress:
        progress.say(f"run folder: {folder}")
        try:
            asyncio.run(run_recipe(loaded, folder, until=until, progress=progress))
        except KeyboardInterrupt:
            progress.say("stopped; everything finished is on disk, and the same command resumes")
            raise
    print_funnel(folder, console)


def _find(recipe: str | None, out: Path | None) -> tuple[str, Path]:
    """The recipe and the run folder: either of them may be left out where the other tells it."""
    if recipe is None:
        if out is None:
            raise RecipeError("which recipe? Try: selfcodealign run quickstart")
        if not (out / "recipe.toml").is_file():
            raise RunFolderError(f"{out} holds no run to resume: name a recipe, as in: run quickstart --out {out}")
        return str(out / "recipe.toml"), out
    return recipe, out or Path("runs") / Path(recipe).stem


def _load(name: str, settings: list[str], added: list[str], removed: list[str]) -> Recipe:
    from selfcodealign.pipeline import CATALOGUE
    from selfcodealign.recipe import load_recipe
    from selfcodealign.stages.journey import edit_journey

    loaded = load_recipe(name, settings)
    if added or removed:
        loaded = loaded.model_copy(update={"journey": edit_journey(loaded.journey, added, removed, CATALOGUE)})
    return loaded


def _print_plan(recipe: Recipe, folder: Path, decisions: Sequence[Decision], console: object) -> None:
    """The settings in force, and what a run would do in each stage."""
    from rich.console import Console
    from rich.text import Text

    from selfcodealign.recipe import recipe_toml

    assert isinstance(console, Console)
    console.print(Text(recipe_toml(recipe).strip()))
    console.print(Text(f"\nWhat a run would do in {folder}", style="bold"))
    for decision in decisions:
        console.print(Text(f"  {decision.sentence}"), soft_wrap=True)
