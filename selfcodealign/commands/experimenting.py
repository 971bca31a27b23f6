"""What commands that run an experiment share: the matching, the run on the screen, the plan of a dry run."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfcodealign.experiments.ablation.experiment import Experiment


class Matching(enum.StrEnum):
    """The choices of `--match`."""

    ROWS = "rows"
    INSTRUCTIONS = "instructions"
    TOKENS = "tokens"
    NONE = "none"


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
    told = f"{len(experiment.arms)} arms, {len(runs)} runs, {models} models to tune and score, in {folder}"
    console.print(Text(told, style="bold"))
    for number, run in enumerate(runs):
        shared = list_shared(run, runs[:number])
        begins = f" (begins with {', '.join(shared)} of an earlier run)" if shared else ""
        names = "; ".join(arm.name for arm in run.arms)
        console.print(Text(f"  {run.path}{begins}: {names}"), soft_wrap=True)
