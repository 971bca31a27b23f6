"""What a person sees while an evaluation works: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from selfcodealign.evaluation.run import EvaluationProgress
from selfcodealign.progress.pace import Pace, clock


class Bars(EvaluationProgress):
    """One bar per model for judging, and one per model and benchmark for asking."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            refresh_per_second=4,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self, what: str, total: int) -> None:
        self._task = self._bars.add_task(escape(what), total=total)

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._bars.advance(self._task, count)

    def say(self, text: str) -> None:
        self._bars.console.print(escape(text))

    def stop(self) -> None:
        self._bars.stop()


class Lines(EvaluationProgress):
    """A line when a phase begins and ends, and every ten seconds in between: for logs."""

    def __init__(self) -> None:
        self._what, self._total, self._done = "", 0, 0
        self._began, self._pace = 0.0, Pace()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None: ...

    def start(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._began = time.monotonic()
        self._pace.restart()
        self.say(f"{what}: {total} answers")

    def advance(self, count: int) -> None:
        self._done += count
        seconds = time.monotonic() - self._began
        if count and self._done >= self._total:
            self.say(f"{self._what}: done in {clock(seconds)}")
        elif self._done and self._pace.is_due():
            left = seconds / self._done * (self._total - self._done)
            self.say(f"{self._what}: {self._done}/{self._total}, about {clock(left)} left")

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def open_evaluation_progress() -> Bars | Lines:
    """Bars when stderr is a terminal, lines otherwise."""
    console = Console(stderr=True)
    return Bars(console) if console.is_terminal else Lines()
