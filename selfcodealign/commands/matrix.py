"""`selfcodealign matrix`: models that write data, models that learn from it, every pair in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfcodealign.commands.experimenting import (
    TUNING,
    Discard,
    DryRun,
    Match,
    Matching,
    Rows,
    Seeds,
    carry_out,
    show_arms,
)
from selfcodealign.commands.options import Added, Removed, Settings, read_names

NO_ARGS_IS_HELP = True


def matrix(
    recipe: Annotated[
        str, typer.Argument(help="A recipe in the package, or your own .toml file.", metavar="RECIPE")
    ] = "quickstart",
    generators: Annotated[
        str,
        typer.Option(
            help="Models that write data: embedded, folders, hub names or NAME@URL, weakest first, by commas.",
            metavar="MODELS",
        ),
    ] = "",
    students: Annotated[
        str, typer.Option(help="Models that are tuned on it, weakest first, by commas.", metavar="MODELS")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The experiment's folder; it resumes. Default: runs/matrix-RECIPE.", metavar="FOLDER"
        ),
    ] = None,
    seeds: Seeds = 5,
    match: Match = Matching.ROWS,
    rows: Rows = None,
    foreign_rate: Annotated[
        float,
        typer.Option(
            help="Learning rate on another model's data, as a multiple of the recipe's (published: 2).",
            min=0.01,
            metavar="FACTOR",
            rich_help_panel=TUNING,
        ),
    ] = 2.0,
    above: Annotated[
        bool,
        typer.Option(
            "--above",
            help="Leave out the data of generators that stand before a student.",
            rich_help_panel=TUNING,
        ),
    ] = False,
    discard: Discard = False,
    settings: Settings = None,
    added: Added = None,
    removed: Removed = None,
    dry_run: DryRun = False,
) -> None:
    """Tune each student on the data of each generator: is a model's own data better than a stronger model's?

    Each generator writes its data once, from the same seeds; a student learns from its own data at the recipe's
    learning rate and from another model's at twice that rate, as published. Sizes are matched, and the table has
    intervals over tasks and seeds. A stopped matrix resumes.

        selfcodealign matrix paper --generators org/base-3b,org/base-7b \\
            --students org/base-3b,org/base-7b
        selfcodealign matrix paper --generators org/base-3b,big@http://host:8000/v1 \\
            --students org/base-3b --seeds 3
    """
    from selfcodealign.experiments.ablation.arms import Edits, make_matrix
    from selfcodealign.experiments.ablation.experiment import Experiment

    edits = Edits(recipe=recipe, settings=settings or [], added=added or [], removed=removed or [])
    arms = make_matrix(edits, read_names(generators), read_names(students), foreign_rate=foreign_rate, above=above)
    experiment = Experiment(
        title=f"{Path(recipe).stem}: students by generators",
        arms=arms,
        seeds=seeds,
        match=match.value,
        rows=rows,
        discard=discard,
    )
    folder = out or Path("runs") / f"matrix-{Path(recipe).stem}"
    (show_arms if dry_run else carry_out)(experiment, folder)
