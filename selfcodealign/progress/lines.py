"""Write progress as lines, for logs: stderr where it is no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Self

from rich.console import Console

from selfcodealign.progress.drawer import Drawer
from selfcodealign.progress.log import SAID, log_drawn
from selfcodealign.progress.tally import SIGN_SECONDS, Tally

#: Seconds between two looks of a log at tasks of which no unit ends.
TICK_SECONDS = 0.5


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
