"""`selfcodealign ablate`: one recipe in several forms, tuned and scored alike, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfcodealign.commands.experimenting import Discard, DryRun, Match, Matching, Rows, Seeds, carry_out, show_arms
from selfcodealign.commands.options import Added, Removed, Settings

NO_ARGS_IS_HELP = True


def ablate(
    recipe: Annotated[
        str, typer.Argument(help="A recipe in the package, or your own .toml file.", metavar="RECIPE")
    ] = "quickstart",
    vary: Annotated[
        list[str] | None,
        typer.Option(
            help="What is compared: a setting, or recipe, with, without, and its values; may be repeated, and every "
            "combination is an arm.",
            metavar="KEY=[A,B]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The folder; it resumes. Default: runs/ablate-RECIPE-KEY.",
            metavar="FOLDER",
        ),
    ] = None,
    seeds: Seeds = 5,
    match: Match = Matching.ROWS,
    rows: Rows = None,
    discard: Discard = False,
    settings: Settings = None,
    added: Added = None,
    removed: Removed = None,
    dry_run: DryRun = False,
) -> None:
    """Compare forms of one recipe: generate once what is shared, tune and score each arm, write one table.

    Arms share every stage that does not differ: an ablation of selection.answers asks the model once. Then data sets
    are matched, each arm tunes a model per seed, and all are scored on the recipe's benchmarks. The table has intervals
    over tasks and seeds, and paired tests; the published table stands beside it where there is one. A stopped
    experiment resumes; more seeds or values add to what is there.

        selfcodealign ablate quickstart --vary 'selection.answers=[passed,random]'
        selfcodealign ablate paper --vary 'recipe=[paper,s2i,random-snippets]'
        selfcodealign ablate paper --vary 'without=[none,concepts]' --seeds 3
        selfcodealign ablate quickstart --match tokens \\
            --vary 'selection.first_samples=[1,2,4,8]'
    """
    from selfcodealign.experiments.ablation.arms import Edits, make_arms
    from selfcodealign.experiments.ablation.experiment import Experiment
    from selfcodealign.experiments.ablation.vary import read_axes

    axes = read_axes(vary or [])
    edits = Edits(recipe=recipe, settings=settings or [], added=added or [], removed=removed or [])
    title = f"{Path(recipe).stem}: {', '.join(axis.key for axis in axes)}"
    experiment = Experiment(
        title=title, arms=make_arms(edits, axes), seeds=seeds, match=match.value, rows=rows, discard=discard
    )
    folder = out or Path("runs") / "-".join(["ablate", Path(recipe).stem, *(axis.key for axis in axes)])
    (show_arms if dry_run else carry_out)(experiment, folder)
