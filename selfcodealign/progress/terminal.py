"""Draw progress on stderr: live bars on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Self

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live as Screen
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from selfcodealign.addresses import hide_secrets
from selfcodealign.progress import Progress

#: Seconds between two lines about a task in a log.
LINE_SECONDS = 10.0
#: Columns below which facts are useless, and below which names no longer distinguish tasks.
LEAST_FACTS, LEAST_NAME = 8, 8


class Pace:
    """Decides when the next line is due; the first line is due `LINE_SECONDS` after the start."""

    def __init__(self) -> None:
        self._last = monotonic()

    def is_due(self) -> bool:
        """Return whether a line is due now; if so, the next line is due `LINE_SECONDS` later."""
        now = monotonic()
        if now - self._last < LINE_SECONDS:
            return False
        self._last = now
        return True


def clock(seconds: float) -> str:
    """Format a duration as 0:05, 12:30 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass
class Tally:
    """The state of one task in progress; `tokens_before` counts the tokens written before the task began."""

    name: str
    total: int | None
    unit: str
    tokens_before: int
    began: float
    pace: Pace = field(default_factory=Pace)
    skipped: int = 0
    done: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    facts: str = ""

    @property
    def through(self) -> int:
        """Finished units, those of earlier runs included."""
        return self.skipped + self.done

    def count(self) -> str:
        """Finished units, out of the total."""
        return f"{self.through}" if self.total is None else f"{self.through}/{self.total}"

    def seconds(self) -> float:
        """Wall time since the task began."""
        return monotonic() - self.began

    def left(self) -> str:
        """Time left at the rate of this run; empty while it is unknown."""
        if self.total is None or not self.done:
            return ""
        return f"{clock(max(0, self.total - self.through) * self.seconds() / self.done)} left"

    def describe(self, tokens: int) -> str:
        """The task's own facts, else units/s, share kept, tokens/s written, the most frequent drops."""
        if self.facts or not self.done:
            return self.facts
        seconds = max(self.seconds(), 1e-6)
        parts = [f"{self.done / seconds:.1f} {self.unit}/s"]
        if rows := self.kept + self.dropped.total():
            parts.append(f"{self.kept / rows:.0%} kept")
        if written := tokens - self.tokens_before:
            parts.append(f"{written / seconds:.0f} tokens/s")
        parts.extend(f"{reason} {count}" for reason, count in self.dropped.most_common(3))
        return ", ".join(parts)


class Drawer(Progress):
    """Keeps a tally of each task in progress; `Lines` and `Live` draw the tallies.

    A finished task becomes one line with its summary. `_lock` is held while tallies change or are read, because rich
    draws them in a thread, and never while printing, because printing waits for that thread.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._tallies: dict[str, Tally] = {}
        self._lock = Lock()

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        with self._lock:
            self._tallies[task] = Tally(task, total, unit, self.tokens()[1], monotonic())

    def expect(self, task: str, total: int | None) -> None:
        with self._lock:
            self._tallies[task].total = total

    def skip(self, task: str, count: int = 1) -> None:
        with self._lock:
            self._tallies[task].skipped += count

    def advance(
        self, task: str, count: int = 1, *, kept: int = 0, dropped: Sequence[str] = (), facts: str = ""
    ) -> None:
        with self._lock:
            tally = self._tallies[task]
            tally.done += count
            tally.kept += kept
            tally.dropped.update(dropped)
            tally.facts = facts or tally.facts

    def finish(self, task: str, summary: str = "") -> None:
        with self._lock:
            tally = self._tallies.pop(task)
        self.say(f"{task}: {summary or 'done'} ({clock(tally.seconds())})")

    def say(self, text: str) -> None:
        self.console.print(hide_secrets(text), markup=False, highlight=False, soft_wrap=True)

    def show(self, renderable: object) -> None:
        self.console.print(renderable)


class Lines(Drawer):
    """For logs: a line when a task begins, when it ends, and at most every ten seconds in between."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None: ...

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        super().start(task, total, unit)
        self.say(f"{task}: " + ("under way" if total is None else f"{total} {unit} to go through"))

    def skip(self, task: str, count: int = 1) -> None:
        super().skip(task, count)
        self._write_if_due(self._tallies[task])

    def advance(
        self, task: str, count: int = 1, *, kept: int = 0, dropped: Sequence[str] = (), facts: str = ""
    ) -> None:
        super().advance(task, count, kept=kept, dropped=dropped, facts=facts)
        self._write_if_due(self._tallies[task])

    def _write_if_due(self, tally: Tally) -> None:
        if tally.pace.is_due():
            parts = (tally.count(), tally.describe(self.tokens()[1]), tally.left())
            self.say(f"{tally.name}: {', '.join(filter(None, parts))}")


class Live(Drawer):
    """A bar for each task in progress, below all messages."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._screen = Screen(console=console, get_renderable=self.draw, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._screen.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._screen.stop()

    def draw(self) -> RenderableType:
        """Draw one row per task. Bar, count and times always fit; names, then facts, get the columns that are left."""
        tokens = self.tokens()[1]
        with self._lock:
            tallies = list(self._tallies.values())
            texts = [(one.name, one.count(), clock(one.seconds()), one.left(), one.describe(tokens)) for one in tallies]
            bars = [(one.total, one.through) for one in tallies]
        if not texts:
            return Group()
        name, count, elapsed, left, facts = (max(map(cell_len, column)) for column in zip(*texts, strict=True))
        bar = 24 if self.console.width >= 100 else 12
        gaps = 5
        free = self.console.width - bar - count - elapsed - left - gaps
        name = min(name, max(free, LEAST_NAME))
        facts = min(facts, free - name)
        widths = [name, bar, count, elapsed, left] + [facts] * (facts >= LEAST_FACTS)
        grid = Table.grid(padding=(0, 1))
        for width in widths:
            grid.add_column(width=width, no_wrap=True, overflow="ellipsis")
        for (task, *rest), (total, completed) in zip(texts, bars, strict=True):
            shown = ProgressBar(total=total, completed=completed, width=bar)
            cells = [Text(task, "bold"), shown, *map(Text, rest)]
            grid.add_row(*cells[: len(widths)])
        return grid


def open_progress() -> Live | Lines:
    """Return a context manager: bars if stderr is a terminal, lines otherwise."""
    console = Console(stderr=True)
    return Live(console) if console.is_terminal else Lines(console)
