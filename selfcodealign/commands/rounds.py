"""`selfcodealign rounds`: a model learns from its own data, and the model that it becomes writes the next."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from selfcodealign.commands.options import Added, Removed, Settings

NO_ARGS_IS_HELP = True
#: Groups of options in the help.
DESIGN, RULE = "Design", "Stopping rule"


class Which(enum.StrEnum):
    """The choices of `--writer` and `--tune`."""

    PREVIOUS = "previous"
    BASE = "base"


class Data(enum.StrEnum):
    """The choices of `--data`."""

    ROUND = "round"
    ALL = "all"


def rounds(
    recipe: Annotated[
        str,
        typer.Argument(help="A recipe in the package (quickstart, paper), or your own .toml file.", metavar="RECIPE"),
    ],
    count: Annotated[
        int, typer.Option("--rounds", help="Rounds in all; more than before go on.", min=1, metavar="N")
    ] = 3,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The folder of the rounds; rounds that are there are resumed. Default: runs/RECIPE-rounds.",
            metavar="FOLDER",
        ),
    ] = None,
    settings: Settings = None,
    writer: Annotated[
        Which,
        typer.Option(
            help="Who writes the data of a round: the model that the round before tuned (previous), or always the base "
            "model (base), with other draws in each round: a control.",
            metavar="MODEL",
            rich_help_panel=DESIGN,
        ),
    ] = Which.PREVIOUS,
    tune: Annotated[
        Which,
        typer.Option(
            help="What is tuned: the base model each time (base), or the model of the round before (previous).",
            metavar="MODEL",
            rich_help_panel=DESIGN,
        ),
    ] = Which.BASE,
    data: Annotated[
        Data,
        typer.Option(
            help="Tune on the data of the round (round), or of all rounds so far (all).",
            metavar="DATA",
            rich_help_panel=DESIGN,
        ),
    ] = Data.ROUND,
    seeds: Annotated[
        int,
        typer.Option(
            help="Models tuned in each round, with train.seed 0, 1, ...; the first writes the next data.",
            min=1,
            metavar="N",
            rich_help_panel=DESIGN,
        ),
    ] = 1,
    fall: Annotated[
        float,
        typer.Option(
            help="Stop when the distinct share of concepts or an n-gram entropy fell by more than this share against "
            "round 1.",
            min=0.0,
            max=1.0,
            metavar="SHARE",
            rich_help_panel=RULE,
        ),
    ] = 0.1,
    least_rows: Annotated[
        int, typer.Option(help="Stop when the data set has fewer rows.", min=1, metavar="N", rich_help_panel=RULE)
    ] = 32,
    copied: Annotated[
        float,
        typer.Option(
            help="Stop when more than this share of the 8-word windows of instructions or of responses stand in the "
            "few-shot file.",
            min=0.0,
            max=1.0,
            metavar="SHARE",
            rich_help_panel=RULE,
        ),
    ] = 0.3,
    no_stop: Annotated[
        bool, typer.Option("--no-stop", help="Record the reasons to stop, and go on.", rich_help_panel=RULE)
    ] = False,
    added: Added = None,
    removed: Removed = None,
) -> None:
    """Run a recipe in rounds: the model that a round tunes writes the data of the next.

    A round is a whole run up to the data set, a training for each seed, and the benchmarks of [evaluate]. In round 1
    the recipe's model writes. Monitors of collapse (distinct concepts, entropy, copies, answers that pass) and scores
    stand side by side in FOLDER/rounds.md and index.html. Rounds stop when a benchmark score is below the best earlier
    round's by more than chance, or when a monitor passes its limit; the reason is told in one line.

    Everything is checked before any work. Ctrl-C stops at any point; the same command resumes, and a larger --rounds
    adds rounds.

        selfcodealign rounds quickstart --rounds 2
        selfcodealign rounds mine.toml --seeds 3 --data all
        selfcodealign rounds quickstart -o runs/control --writer base
    """
    from rich.console import Console

    from selfcodealign.commands.running import load
    from selfcodealign.commands.stopping import run_stoppable
    from selfcodealign.experiments.rounds.collapse import Rule
    from selfcodealign.experiments.rounds.folder import Design
    from selfcodealign.experiments.rounds.loop import run_rounds
    from selfcodealign.experiments.rounds.report import draw
    from selfcodealign.progress.log import log_drawn
    from selfcodealign.progress.terminal import open_progress

    loaded = load(recipe, settings or [], added or [], removed or [])
    folder = out or Path("runs") / f"{Path(recipe).stem}-rounds"
    design = Design(writer.value, tune.value, data.value, seeds)
    with open_progress() as progress:
        work = run_rounds(
            loaded, folder, count, design, Rule(fall, least_rows, copied), stop=not no_stop, progress=progress
        )
        found = run_stoppable(work, progress, "all finished rows, models and scores are")

    def show(console: Console) -> None:
        console.print(draw(found))
        console.print(f"written to {folder}: rounds.md, index.html", soft_wrap=True, highlight=False)

    log_drawn(show)
    show(Console())
