"""Draw progress on stderr: live bars on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Lock, Thread
from time import monotonic
from typing import Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.live import Live as Screen
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from selfcodealign.addresses import hide_secrets
from selfcodealign.progress import Progress
from selfcodealign.progress.capture import Capture
from selfcodealign.progress.log import SAID, is_quiet, log_drawn, warnings_through
from selfcodealign.progress.tally import SIGN_SECONDS, Tally, clock

#: Columns below which facts are useless, and below which names no longer distinguish tasks.
LEAST_FACTS, LEAST_NAME = 8, 12
#: Seconds between two looks of a log at tasks of which no unit ends.
TICK_SECONDS = 0.5


class Drawer(Progress):
    """Keeps a tally of each task in progress; `Lines` and `Live` draw the tallies.

    A finished task becomes one line with its summary. `_lock` is held while tallies change or are read, because rich
    draws them in a thread, and never while printing, because printing waits for that thread.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._tallies: dict[str, Tally] = {}
        self._journey: Sequence[str] = ()
        self._reached: Sequence[str] = ()
        self._began = monotonic()
        self._lock = Lock()

    def journey(self, stages: Sequence[str]) -> None:
        self._journey = list(stages)

    def reach(self, stages: Sequence[str]) -> None:
        with self._lock:
            self._reached = list(stages)

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
            tally.advance(count)
            tally.kept += kept
            tally.dropped.update(dropped)
            tally.facts = facts or tally.facts

    def finish(self, task: str, summary: str = "") -> None:
        with self._lock:
            tally = self._tallies.pop(task)
            self._reached = [name for name in self._reached if name != task]
        self._say_end(task, summary or "done", f"({clock(tally.seconds())})")

    def _say_end(self, task: str, summary: str, seconds: str) -> None:
        self.say(f"{task}: {summary} {seconds}")

    def _describe(self, tally: Tally, tokens: int, activity: str) -> str:
        """The task's facts; before the first unit, what the model does is said of one task, the first of these."""
        tally.note_tokens(tokens)
        waiting = next((one for one in self._tallies.values() if not one.done and not one.facts), None)
        return tally.describe(tokens, activity) if tally.done or tally.facts or tally is waiting else ""

    def _left(self, tally: Tally) -> str:
        """The time left; a stage that is fed by another one that is under way does not end before it."""
        chain = [tally]
        if tally.name in self._reached:
            before = self._reached[: self._reached.index(tally.name)]
            chain += [self._tallies[name] for name in before if name in self._tallies]
        seconds = [one.left() for one in chain]
        known = [one for one in seconds if one is not None]
        return f"{clock(max(known))} left" if len(known) == len(seconds) else ""

    def say(self, text: str) -> None:
        SAID.info("%s", text)
        self.console.print(hide_secrets(text), markup=False, highlight=False, soft_wrap=True)

    def show(self, renderable: object) -> None:
        log_drawn(lambda console: console.print(renderable))
        self.console.print(renderable)


class Lines(Drawer):
    """For logs: a line when a task begins, when it ends, and every ten seconds in between."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._ended = Event()
        self._clock = Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._clock.join()

    def _tick(self) -> None:
        while not self._ended.wait(TICK_SECONDS):
            self.tick()

    def tick(self) -> None:
        """Write what is due although no unit has ended: it may take the first one many minutes."""
        with self._lock:
            tallies = list(self._tallies.values())
        for tally in tallies:
            self._write_if_due(tally, unasked=True)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        self.say(f"{what} …")
        yield

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

    def _write_if_due(self, tally: Tally, *, unasked: bool = False) -> None:
        tokens, activity = self.tokens()[1], self.activity()
        with self._lock:
            if self._tallies.get(tally.name) is not tally:
                return  # it has finished meanwhile, and its last line is written
            facts = self._describe(tally, tokens, activity)
            first = bool(facts) and not tally.done and not tally.signed and tally.seconds() >= SIGN_SECONDS
            if (unasked and not facts) or not (tally.pace.is_due() or (unasked and first)):
                return
            tally.signed = True
            left = self._left(tally)
        unit = tally.unit.removesuffix("s") if tally.through == 1 else tally.unit
        count = tally.count() if tally.total is not None else f"{tally.through} {unit}"
        self.say(f"{tally.name}: {', '.join(filter(None, (count, facts, left, self.budget())))}")


class Quiet(Lines):
    """For -q: nothing on stderr; a log file gets the lines."""

    def say(self, text: str) -> None:
        SAID.info("%s", text)

    def show(self, renderable: object) -> None:
        log_drawn(lambda console: console.print(renderable))


class Live(Drawer):
    """A bar for each task in progress and the place in the journey, below all messages.

    `capture` holds what other code writes meanwhile; None: nothing is captured.
    """

    def __init__(self, console: Console, capture: Capture | None = None) -> None:
        super().__init__(console)
        self._capture = capture
        self._screen = Screen(
            console=console,
            get_renderable=self.draw,
            refresh_per_second=4,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._screen.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._tallies.clear()  # bars of work that failed or was stopped would stay under what is said about it
        self._screen.stop()

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        self.start(what, None)
        self._screen.refresh()  # now: an import may keep the thread that draws from running
        try:
            yield
        finally:
            with self._lock:
                self._tallies.pop(what, None)

    def overhear(self, line: str) -> None:
        """Take a line that other code wrote to the terminal: it is not shown, a log file gets it."""
        SAID.debug("%s", line)

    def say(self, text: str) -> None:
        SAID.info("%s", text)
        self.warn(text)

    def warn(self, text: str) -> None:
        """Show a line that the log has already."""
        self.console.print(Text(hide_secrets(text)), highlight=False)

    def _say_end(self, task: str, summary: str, seconds: str) -> None:
        if self._journey and task not in self._journey:
            return  # a part of a stage, whose line follows
        SAID.info("%s: %s %s", task, summary, seconds)
        self.warn(f"{shorten(f'{task}: {summary}', self.console.width - len(seconds) - 1)} {seconds}")

    def draw(self) -> RenderableType:
        """Draw one row per task: bar, count and time left always fit; names, then facts, get the remaining columns."""
        for line in self._capture.read() if self._capture else ():
            self.overhear(line)
        tokens, activity = self.tokens()[1], self.activity()
        with self._lock:
            tallies = list(self._tallies.values())
            facts = [self._describe(one, tokens, activity) for one in tallies]
            texts = [
                (one.name, one.count(), clock(one.seconds()), self._left(one), fact)
                for one, fact in zip(tallies, facts, strict=True)
            ]
            bars = [(one.total, one.through) for one in tallies]
            place = self._place()
        if not texts:
            return Group()
        return Group(self._draw_tasks(texts, bars), *([Text(place, "dim", no_wrap=True)] if place else []))

    def _draw_tasks(self, texts: Sequence[tuple[str, ...]], bars: Sequence[tuple[int | None, int]]) -> Table:
        name, count, elapsed, left, facts = (max(map(cell_len, column)) for column in zip(*texts, strict=True))
        bar = 24 if self.console.width >= 100 else 12 if self.console.width >= 70 else 8
        gaps = 5
        free = self.console.width - bar - count - left - gaps
        elapsed = elapsed if free - elapsed >= min(name, LEAST_NAME) else 0
        free -= elapsed
        name = min(name, max(free, LEAST_NAME))
        facts = min(facts, free - name)
        widths = [name, bar, count, elapsed, left, facts if facts >= LEAST_FACTS else 0]
        grid = Table.grid(padding=(0, 1))
        for width in filter(None, widths):
            grid.add_column(width=width, no_wrap=True, overflow="ellipsis")
        for (task, *rest), (total, completed) in zip(texts, bars, strict=True):
            shown = ProgressBar(total=total, completed=completed, width=bar)
            cells = [Text(task, "bold"), shown, *map(Text, rest)]
            grid.add_row(*(cell for cell, width in zip(cells, widths, strict=True) if width))
        return grid

    def _place(self) -> str:
        """The place in the journey; empty for work that is none."""
        places = [self._journey.index(name) + 1 for name in self._reached if name in self._journey]
        if not places:
            return ""
        stages = f"stage {places[0]}" if len(places) == 1 else f"stages {places[0]}–{places[-1]}"
        so_far = f"{stages} of {len(self._journey)}, {clock(monotonic() - self._began)} so far"
        return ", ".join(filter(None, (so_far, self.budget())))


def shorten(text: str, width: int) -> str:
    """Leave out the last of the reasons after a semicolon, so that no count is cut; `width` is in columns.

    >>> shorten("40 in, 2 kept; dropped: failed 30, timeout 7, error 1", 45)
    '40 in, 2 kept; dropped: failed 30, …'
    """
    if cell_len(text) <= width:
        return text
    cut = set_cell_size(text, max(width - 2, 1))
    kept, comma, _ = cut.rpartition(", ")
    return f"{kept}, …" if comma and "; " in kept else f"{cut.rstrip()}…"


@contextmanager
def open_progress() -> Iterator[Live | Lines]:
    """Within the context: bars if stderr is a terminal (a notebook is none), lines otherwise, nothing with -q."""
    console = Console(stderr=True, force_jupyter=False)
    if is_quiet() or not console.is_terminal:
        with Quiet(console) if is_quiet() else Lines(console) as lines:
            yield lines
        return
    with Capture() as capture, Live(capture.screen, capture) as live, warnings_through(live.warn):
        yield live
