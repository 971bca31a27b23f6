"""The progress of a worker, counted there and shown by the driver: reports are as large as there are stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from selfcodealign.progress import Progress


@dataclass
class Tally:
    """Rows of one stage that a worker has finished."""

    done: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Report:
    """What a worker has done since it was started, its tokens included, and what it has said."""

    stages: dict[str, Tally]
    tokens: tuple[int, int]
    said: list[str]


class Tallies(Progress):
    """Counts what a worker does; rows that were finished before are counted by the driver."""

    def __init__(self) -> None:
        self._stages: dict[str, Tally] = {}
        self._said: list[str] = []

    def advance(
        self, task: str, count: int = 1, *, kept: int = 0, dropped: Sequence[str] = (), facts: str = ""
    ) -> None:
        tally = self._stages.setdefault(task, Tally())
        tally.done += count
        tally.kept += kept
        if dropped:  # an empty update costs as much as all else here
            tally.dropped.update(dropped)

    def say(self, text: str) -> None:
        if text not in self._said:  # each partition may say the same
            self._said.append(text)

    def report(self, tokens: tuple[int, int]) -> Report:
        """The counts so far."""
        return Report(self._stages, tokens, self._said)


class Shown:
    """Shows the reports of all workers as one progress."""

    def __init__(self, progress: Progress, stages: Sequence[str]) -> None:
        self._progress = progress
        self._stages = stages
        self._before: dict[str, Report] = {}
        self._said: set[str] = set()

    def take(self, worker: str, report: Report) -> None:
        """Show what is new in a worker's report."""
        before = self._before.get(worker, Report({}, (0, 0), []))
        for stage in self._stages:
            now, then = report.stages.get(stage, Tally()), before.stages.get(stage, Tally())
            if now.done > then.done:
                reasons = list((now.dropped - then.dropped).elements())
                self._progress.advance(stage, now.done - then.done, kept=now.kept - then.kept, dropped=reasons)
        for line in report.said:
            if line not in self._said:
                self._said.add(line)
                self._progress.say(line)
        self._before[worker] = report

    def tokens(self) -> tuple[int, int]:
        """Tokens of prompts and completions of all workers, lost ones included."""
        counts = [one.tokens for one in self._before.values()]
        return sum(prompts for prompts, _ in counts), sum(answers for _, answers in counts)
