"""`selfcodealign seeds`: curate seeds from source code, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfcodealign.commands.options import JOURNEY, Added, Removed, Settings
from selfcodealign.commands.running import as_settings, load, run_and_report, show_plan
from selfcodealign.errors import EmptyDataset, RecipeError, RunFolderError

if TYPE_CHECKING:
    from selfcodealign.settings import Recipe

NO_ARGS_IS_HELP = True


def seeds(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="stdlib, package:NAME, git:PATH, hub:NAME, a file or a folder; several may be given.", metavar="SOURCE"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The run folder; an existing one is resumed.", metavar="FOLDER"),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show some drops for each reason, with the line that decided.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option(help="With --explain: drops for each reason; default: 3.", min=1, metavar="N")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Keep at most this many seeds (seeds.limit).", min=1, metavar="N")
    ] = None,
    settings: Settings = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show what would be done; do nothing.")
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Take the stages before the first that asks a model, and their settings, from this recipe.",
            metavar="RECIPE",
            rich_help_panel=JOURNEY,
        ),
    ] = None,
    added: Added = None,
    removed: Removed = None,
) -> None:
    """Curate seeds: take functions out of source code, filter them, and show where the others went.

    This is the beginning of a run, up to the first stage that asks a model. Rows and reasons are Parquet files, one
    folder per stage. A stopped command resumes. With --recipe, a run of that recipe in the same folder goes on from
    the seeds. Exits with code 3 where no seed is left.

        selfcodealign seeds stdlib -o runs/seeds
        selfcodealign seeds git:. package:rich -o runs/seeds --explain
        selfcodealign seeds -o runs/seeds --explain   # resume it
    """
    from selfcodealign.run_folder.folder import open_existing

    if sample is not None and not explain:
        raise RecipeError("--sample says how many drops --explain shows: give both")
    if out is None:
        raise RecipeError("where to? Give --out FOLDER, as in: selfcodealign seeds stdlib --out runs/seeds")
    name = recipe or "seeds"
    if not sources and recipe is None:
        if not (out / "recipe.toml").is_file():
            raise RunFolderError(f"{out} holds no seeds yet: name a source, as in: seeds stdlib --out {out}")
        open_existing(out)  # seeds in the form of an earlier version are refused as that
        name = str(out / "recipe.toml")
    given = {"seeds.sources": sources, "seeds.limit": limit}
    loaded = _cut(load(name, [*(settings or []), *as_settings(given)], added or [], removed or []), name)
    for stage in added or []:
        if stage not in loaded.journey:
            raise RecipeError(f"--with {stage}: it comes after the seeds, or asks a model; use selfcodealign run")
    if dry_run:
        show_plan(loaded, out, None, load(name, [], [], []))
        return
    run_and_report(loaded, out, None, yes=False)
    _tell(out, (sample or 3) if explain else 0)


def _cut(recipe: Recipe, name: str) -> Recipe:
    """The recipe with the stages of its journey before the first that needs a model or makes other rows of seeds."""
    from selfcodealign.pipeline import make_journey
    from selfcodealign.rows import Seed

    steps = make_journey(recipe).steps
    first = next(
        (number for number, step in enumerate(steps) if step.stage.gives is not Seed or "model" in step.stage.needs),
        len(steps),
    )
    if not first:
        raise RecipeError(f'{name} begins with the stage "{steps[0].name}", which gives no seeds: name another recipe')
    return recipe.model_copy(update={"journey": recipe.journey[:first]})


def _tell(out: Path, sample: int) -> None:
    """Print where the seeds are, and some drops for each reason."""
    from rich.console import Console

    from selfcodealign.report.explain import explain_drops
    from selfcodealign.run_folder.folder import open_existing

    console = Console()
    last = open_existing(out).stages()[-1]
    kept = last.books().kept
    if kept:
        console.print(f"seeds: {last.path}/kept-*.parquet", soft_wrap=True, highlight=False)
    for part in explain_drops(out, sample) if sample else ():
        console.print(part, soft_wrap=True)
    hint = "" if sample else "; why rows were dropped, line by line: --explain"
    if not kept:
        raise EmptyDataset(f"no seed is left{hint}")
    if hint:
        console.print(hint.removeprefix("; "), highlight=False)
