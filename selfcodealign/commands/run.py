"""`selfcodealign run`: a recipe, from source code to a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfcodealign.errors import RecipeError, RunFolderError


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe that comes with the package (quickstart, paper) or a .toml file of your own."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder. What it holds is gone on with. Default: runs/RECIPE.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, as section.key=value; may be given many times.", metavar="KEY=VALUE"),
    ] = None,
    until: Annotated[str, typer.Option(help="The last stage to run.", metavar="STAGE")] = "",
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
    """Run a recipe: seeds, concepts, instructions, responses, execution, selection, data set, training, evaluation.

    Stopping it (Ctrl-C, kill, power) loses no more than the rows under way: the same command goes on. A setting that
    changes the result starts the stages it touches anew and keeps their earlier rows in superseded/.

        selfcodealign run quickstart
        selfcodealign run paper --out runs/mine --set model.name=bigcode/starcoder2-3b --set seeds.sources='["git:src"]'
        selfcodealign run --out runs/mine            # go on with it, by its own recipe.toml
    """
    import asyncio

    from selfcodealign.recipe import load_recipe

    chosen = [*(settings or [])]
    if limit is not None:
        chosen.append(f"seeds.limit={limit}")
    if sandbox is not None:
        chosen.append(f'execution.sandbox="{sandbox}"')
    if serve is not None:
        chosen.append(f'model.serve="{serve}"')
    name, folder = _find(recipe, out)
    loaded = load_recipe(name, chosen)

    from rich.console import Console

    from selfcodealign.pipeline import STAGES, run_recipe
    from selfcodealign.plan import describe_plan
    from selfcodealign.progress.terminal import open_progress
    from selfcodealign.report.funnel import print_funnel

    until = until or STAGES[-1]
    console = Console()
    if dry_run:
        describe_plan(loaded, folder, until, console)
        return
    with open_progress() as progress:
        progress.say(f"run folder: {folder}")
        try:
            asyncio.run(run_recipe(loaded, folder, until=until, progress=progress))
        except KeyboardInterrupt:
            progress.say("stopped; everything finished is on disk, and the same command goes on from there")
            raise
    print_funnel(folder, console)


def _find(recipe: str | None, out: Path | None) -> tuple[str, Path]:
    """The recipe and the run folder: either of them may be left out where the other tells it."""
    if recipe is None:
        if out is None:
            raise RecipeError("which recipe? Try: selfcodealign run quickstart")
        if not (out / "recipe.toml").is_file():
            raise RunFolderError(f"{out} holds no run to go on with: name a recipe, as in: run quickstart --out {out}")
        return str(out / "recipe.toml"), out
    return recipe, out or Path("runs") / Path(recipe).stem
