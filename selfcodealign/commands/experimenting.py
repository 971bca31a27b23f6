"""What commands that run an experiment share: the matching, the run on the screen, the plan of a dry run."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from selfcodealign.experiments.ablation.experiment import Experiment


class Matching(enum.StrEnum):
    """The choices of `--match`."""

    ROWS = "rows"
    INSTRUCTIONS = "instructions"
    TOKENS = "tokens"
    NONE = "none"


#: A group of options in the help.
TUNING = "Tuning"

Seeds = Annotated[
    int,
    typer.Option(
        help="Models tuned for each arm, with train.seed 0 and up.", min=1, metavar="N", rich_help_panel=TUNING
    ),
]
Match = Annotated[
    Matching,
    typer.Option(
        help="How data sets are made comparable: rows (as many as the smallest has), instructions (those that all arms "
        "have), tokens (as many as the cheapest arm's tokens pay for), none.",
        metavar="HOW",
        rich_help_panel=TUNING,
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(help="Tune on at most this many rows.", min=1, metavar="N", rich_help_panel=TUNING),
]
Discard = Annotated[
    bool,
    typer.Option("--discard", help="Remove the weights of each model once it is scored.", rich_help_panel=TUNING),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check every arm and show the runs that are needed; run nothing.")
]


def carry_out(experiment: Experiment, folder: Path) -> None:
    """Run an experiment with its progress on the screen, then print its table."""
    from rich.console import Console

    from selfcodealign.commands.stopping import run_stoppable
    from selfcodealign.experiments.ablation.experiment import run_experiment
    from selfcodealign.experiments.comparison.table import draw_table
    from selfcodealign.progress.log import log_drawn
    from selfcodealign.progress.terminal import open_progress

    with open_progress() as progress:
        table = run_stoppable(run_experiment(experiment, folder, progress), progress, "all that is finished is")

    def draw(console: Console) -> None:
        console.print(draw_table(table))
        console.print(f"page: {folder / 'index.html'}", soft_wrap=True, highlight=False)

    log_drawn(draw)
    draw(Console())


def show_arms(experiment: Experiment, folder: Path) -> None:
    """Check an experiment, and print its arms and the runs that they need."""
    import asyncio

    from rich.console import Console
    from rich.text import Text

    from selfcodealign.experiments.ablation.experiment import check_arms, refuse_other_files
    from selfcodealign.experiments.ablation.sharing import list_shared, plan_runs

    refuse_other_files(experiment, folder)
    runs = plan_runs(experiment.arms, folder / "runs")
    asyncio.run(check_arms(experiment.arms, runs))
    console = Console()
    models = len(experiment.arms) * experiment.seeds
    run_count = f"{len(runs)} run{'s' * (len(runs) != 1)}"
    told = f"{len(experiment.arms)} arms, {run_count}, at most {models} models to tune and score, in {folder}"
    console.print(Text(told, style="bold"))
    for number, run in enumerate(runs):
        shared = list_shared(run, runs[:number])
        begins = f" (begins with {', '.join(shared)} of an earlier run)" if shared else ""
        names = "; ".join(arm.name for arm in run.arms)
        console.print(Text(f"  {run.path}{begins}: {names}"), soft_wrap=True)
