"""Count what work tells of its progress, and pass it on to the display."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from selfcodealign.progress import Progress


@dataclass
class Counts:
    """What a task has told: units finished by an earlier run and by this one, rows kept, drops by reason."""

    total: int | None = None
    earlier: int = 0
    done: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


class Counting(Progress):
    """Shows everything on `shown`; `counts` has the tasks by name, in the order in which they started."""

    def __init__(self, shown: Progress) -> None:
        self.shown = shown
        self.tokens, self.activity, self.asked = shown.tokens, shown.activity, shown.asked
        self.counts: dict[str, Counts] = {}

    def journey(self, stages: Sequence[str]) -> None:
        self.shown.journey(stages)

    def reach(self, stages: Sequence[str]) -> None:
        self.shown.reach(stages)

    def rest(self, stage: str) -> None:
        self.shown.rest(stage)

    def foresee(self, stage: str, total: int) -> None:
        self.shown.foresee(stage, total)

    def count_rows(self, stage: str, entered: int, kept: int) -> None:
        self.shown.count_rows(stage, entered, kept)

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        self.counts[task] = Counts(total)
        self.shown.start(task, total, unit)

    def expect(self, task: str, total: int | None) -> None:
        self.counts[task].total = total
        self.shown.expect(task, total)

    def skip(self, task: str, count: int = 1) -> None:
        self.counts[task].earlier += count
        self.shown.skip(task, count)

    def advance(
        self, task: str, count: int = 1, *, kept: int = 0, dropped: Sequence[str] = (), facts: str = ""
    ) -> None:
        counts = self.counts[task]
        counts.done += count
        counts.kept += kept
        if dropped:
            counts.dropped.update(dropped)
        self.shown.advance(task, count, kept=kept, dropped=dropped, facts=facts)

    def finish(self, task: str, summary: str = "") -> None:
        self.shown.finish(task, summary)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        with self.shown.waiting(what):
            yield

    def say(self, text: str) -> None:
        self.shown.say(text)

    def show(self, renderable: object) -> None:
        self.shown.show(renderable)
