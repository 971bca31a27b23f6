"""What a person sees while a run works: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from selfcodealign.engine.local import Outcome, Progress
from selfcodealign.progress.pace import Pace, clock
from selfcodealign.rows import Dropped
from selfcodealign.run_folder.folder import Books


class Tally(Progress):
    """Counts what comes out of the stage at work; the drawing is left to the two kinds below."""

    def __init__(self) -> None:
        self._reset("", None)

    def start(self, name: str, total: int | None) -> None:
        self._reset(name, total)

    def skip(self) -> None:
        self.skipped += 1

    def advance(self, outcome: Outcome[Any]) -> None:
        drops = [row.reason for row in outcome if isinstance(row, Dropped)]
        self.parents += 1
        self.kept += len(outcome) - len(drops)
        self.dropped.update(drops)

    def describe(self) -> str:
        """Rates since this stage began: rows/s, share kept, tokens/s written, the commonest drops."""
        seconds = max(time.monotonic() - self.began, 1e-6)
        rows = self.kept + self.dropped.total()
        parts = [f"{rows / seconds:.1f} rows/s"]
        if rows:
            parts.append(f"{self.kept / rows:.0%} kept")
        written = self.tokens()[1] - self.tokens_before
        if written:
            parts.append(f"{written / seconds:.0f} tokens/s")
        parts.extend(f"{reason} {count}" for reason, count in self.dropped.most_common(3))
        return ", ".join(parts)

    def seconds_left(self) -> float | None:
        """Estimate from the rate of this run; None when nothing can be said yet."""
        if self.total is None or not self.parents:
            return None
        rest = max(0, self.total - self.skipped - self.parents)
        return rest * (time.monotonic() - self.began) / self.parents

    @contextmanager
    def training(self) -> Iterator[Callable[[Any], None]]:
        """Training shows itself; whatever is drawn here rests meanwhile."""
        from selfcodealign.training.display import TrainDisplay

        with self.at_rest(), TrainDisplay() as display:
            yield display

    @contextmanager
    def evaluating(self) -> Iterator[Any]:
        """So does an evaluation."""
        from selfcodealign.progress.evaluation import open_evaluation_progress

        with self.at_rest(), open_evaluation_progress() as shown:
            yield shown

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Leaves the terminal to somebody else for a while."""
        yield

    def _reset(self, name: str, total: int | None) -> None:
        self.name, self.total = name, total
        self.parents = self.skipped = self.kept = 0
        self.dropped: Counter[str] = Counter()
        self.began = time.monotonic()
        self.tokens_before = self.tokens()[1]


class Lines(Tally):
    """A line when a stage begins and ends, and every ten seconds in between: for logs."""

    def __init__(self, write: Callable[[str], object] | None = None) -> None:
        super().__init__()
        self._write = write or (lambda text: print(text, file=sys.stderr, flush=True))
        self._pace = Pace()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None: ...

    def start(self, name: str, total: int | None) -> None:
        super().start(name, total)
        self._pace.restart()
        self._write(f"{name}: {'rows' if total is None else f'{total} rows'} to go through")

    def advance(self, outcome: Outcome[Any]) -> None:
        super().advance(outcome)
        if self._pace.is_due():
            left = self.seconds_left()
            through = f"{self.skipped + self.parents}" + ("" if self.total is None else f"/{self.total}")
            ending = "" if left is None else f", {clock(left)} left"
            self._write(f"{self.name}: {through}, {self.describe()}{ending}")

    def finish(self, name: str, books: Books) -> None:
        self._write(f"{name}: {summarise(books)} ({clock(time.monotonic() - self.began)})")

    def say(self, text: str) -> None:
        self._write(text)


class Live(Tally):
    """A bar per stage with rates and the time left."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._bars = Bars(
            TextColumn("[bold]{task.fields[stage]:<13}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
            refresh_per_second=4,
        )
        self._task: TaskID | None = None
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bars.stop()

    def start(self, name: str, total: int | None) -> None:
        super().start(name, total)
        self._task = self._bars.add_task("", total=total, stage=name, facts="")

    def skip(self) -> None:
        super().skip()
        self._draw(self.skipped % 1000 == 0)

    def advance(self, outcome: Outcome[Any]) -> None:
        super().advance(outcome)
        self._draw(time.monotonic() - self._drawn > 0.25)

    def finish(self, name: str, books: Books) -> None:
        if self._task is not None:
            through = max(books.entered, 1)
            self._bars.update(self._task, total=through, completed=through, facts=escape(summarise(books)))

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        self._bars.stop()
        try:
            yield
        finally:
            self._bars.start()

    def _draw(self, due: bool) -> None:
        if due and self._task is not None:
            self._drawn = time.monotonic()
            self._bars.update(self._task, completed=self.skipped + self.parents, facts=escape(self.describe()))


def open_progress() -> Live | Lines:
    """Bars when stderr is a terminal, lines otherwise."""
    console = Console(stderr=True)
    return Live(console) if console.is_terminal else Lines()


def summarise(books: Books) -> str:
    """A stage's account in one line."""
    drops = ", ".join(f"{reason} {count}" for reason, count in books.dropped.items())
    return f"{books.entered} in, {books.kept} kept" + (f"; dropped: {drops}" if drops else "")
