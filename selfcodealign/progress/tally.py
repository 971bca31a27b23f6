"""Tell how far a task in progress is, how fast it goes and how long it still takes."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from time import monotonic

#: Seconds between two lines about a task in a log.
LINE_SECONDS = 10.0
#: A rate is that of the last minute, or of the last units if these took longer.
RATE_SECONDS, RATE_UNITS = 60.0, 20
#: No time left is shown before so many units, or this share of the total, are finished.
LEAST_UNITS, LEAST_SHARE = 5, 0.1


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
    #: When how many units were finished: one entry per second, at most.
    marks: deque[tuple[float, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.marks.append((self.began, 0))

    def advance(self, count: int) -> None:
        """Count finished units."""
        self.done += count
        now = monotonic()
        if now - self.marks[-1][0] >= 1:
            self.marks.append((now, self.done))
        while (
            len(self.marks) > 2 and now - self.marks[1][0] > RATE_SECONDS and self.done - self.marks[1][1] >= RATE_UNITS
        ):
            self.marks.popleft()

    @property
    def through(self) -> int:
        """Finished units, those of earlier runs included."""
        return self.skipped + self.done

    def count(self) -> str:
        """Finished units, out of the total."""
        if self.total is None:
            return f"{self.through}" if self.through else ""
        return f"{self.through}/{self.total}"

    def seconds(self) -> float:
        """Wall time since the task began."""
        return monotonic() - self.began

    def left(self) -> float | None:
        """Seconds left at the present rate; None while no sane estimate is possible."""
        if self.total is None or self.done < min(LEAST_UNITS, LEAST_SHARE * (self.total - self.skipped)):
            return None
        since, before = self.marks[0]
        if self.done == before:
            return None
        return max(0, self.total - self.through) * (monotonic() - since) / (self.done - before)

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
