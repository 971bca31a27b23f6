"""Keep a tally of each task in progress: what `Lines` and `Live` draw."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from time import monotonic

from rich.console import Console

from selfcodealign.addresses import hide_secrets
from selfcodealign.progress import Progress
from selfcodealign.progress.log import SAID, log_drawn
from selfcodealign.progress.tally import Tally, clock


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

    def _seconds_left(self, tally: Tally) -> float | None:
        """The time left; a stage that is fed by another one that is under way does not end before it."""
        chain = [tally]
        if tally.name in self._reached:
            before = self._reached[: self._reached.index(tally.name)]
            chain += [self._tallies[name] for name in before if name in self._tallies]
        seconds = [one.left() for one in chain]
        known = [one for one in seconds if one is not None]
        return max(known) if len(known) == len(seconds) else None

    def _left(self, tally: Tally) -> str:
        seconds = self._seconds_left(tally)
        return "" if seconds is None else f"{clock(seconds)} left"

    def say(self, text: str) -> None:
        SAID.info("%s", text)
        self.console.print(hide_secrets(text), markup=False, highlight=False, soft_wrap=True)

    def show(self, renderable: object) -> None:
        log_drawn(lambda console: console.print(renderable))
        self.console.print(renderable)
