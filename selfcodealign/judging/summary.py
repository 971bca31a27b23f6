"""The account of judged rows: how many have which status, and how long their programs took."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from selfcodealign.progress.tally import clock

#: Medians are told to within this factor, so that their memory does not grow with the rows.
_STEP = 1.01


@dataclass
class _Times:
    """Seconds of many programs."""

    total: float = 0.0
    slowest: float = 0.0
    steps: Counter[int] = field(default_factory=Counter)

    def note(self, seconds: float) -> None:
        self.total += seconds
        self.slowest = max(self.slowest, seconds)
        self.steps[round(math.log(max(seconds, 1e-6), _STEP))] += 1

    def median(self) -> float:
        """Return the median, to within 1 %; 0 where nothing ran."""
        left = self.steps.total() / 2
        for step, count in sorted(self.steps.items()):
            left -= count
            if left <= 0:
                seconds = _STEP**step
                return min(seconds, self.slowest) if seconds > 2e-6 else 0.0
        return 0.0


@dataclass
class Summary:
    """Rows by status; `resumed` of them were judged by earlier runs. `seconds` is the wall time of this one."""

    workers: int = 0
    seconds: float = 0.0
    resumed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    _times: dict[str, _Times] = field(default_factory=dict)
    _all: _Times = field(default_factory=_Times)

    @property
    def rows(self) -> int:
        """All rows."""
        return self.counts.total()

    def note(self, status: str, seconds: float) -> None:
        """Count one row."""
        self.counts[status] += 1
        self._times.setdefault(status, _Times()).note(seconds)
        self._all.note(seconds)

    def lines(self) -> list[str]:
        """Lay out a table and a line about the pace, in at most 80 columns."""
        found = [f"{'status':<12} {'rows':>11} {'share':>7} {'seconds':>12} {'median':>9} {'slowest':>9}"]
        found += [self._line(status, count, self._times[status]) for status, count in self.counts.most_common()]
        found.append(self._line("total", self.rows, self._all))
        judged = self.rows - self.resumed
        before = f", {self.resumed:,} by earlier runs" if self.resumed else ""
        cores = f"{self.workers} {'worker' if self.workers == 1 else 'workers'}"
        pace = f"{judged / max(self.seconds, 1e-6):,.1f} rows per second"
        found.append(f"{judged:,} judged in {clock(self.seconds)} by {cores}, {pace}{before}")
        return found + self.notes

    def _line(self, status: str, count: int, times: _Times) -> str:
        share = f"{count / self.rows:.1%}" if self.rows else ""
        return (
            f"{status:<12} {count:>11,} {share:>7} {times.total:>12,.1f} {times.median():>9.3f} {times.slowest:>9.3f}"
        )
