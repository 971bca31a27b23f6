"""Tell how far a task in progress is, how fast it goes and how long it still takes."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from time import monotonic

#: Seconds between two lines about a task in a log.
LINE_SECONDS = 10.0
#: A rate is that of the last minute, or of the last units if these took longer.
RATE_SECONDS, RATE_UNITS = 60.0, 20
#: No time left is shown before this share of the total, at least and at most so many units, are finished.
LEAST_SHARE, FEWEST_UNITS, MOST_UNITS = 0.1, 2, 20
#: Tokens per second are those of the last half minute.
TOKEN_SECONDS = 30.0
#: Seconds after which a log says what the model does that has not written anything.
SIGN_SECONDS = 1.0


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
    """The state of one task in progress; `tokens_before` counts the tokens written before the task began.

    Starting up and reading the first prompts happen once: rates count from the first token that is written.
    """

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
    #: When how many tokens were written, likewise.
    token_marks: deque[tuple[float, int]] = field(default_factory=deque)
    signed: bool = False

    def __post_init__(self) -> None:
        self.marks.append((self.began, 0))
        self.token_marks.append((self.began, self.tokens_before))

    def note_tokens(self, tokens: int) -> None:
        """Note how many tokens are written; to be called often, since it finds out when the first one was."""
        now = monotonic()
        since, before = self.token_marks[-1]
        if tokens <= self.tokens_before:
            self.token_marks[-1] = (now, tokens)
            return
        if before <= self.tokens_before and not self.done:
            self.marks[0] = (since, 0)
        if now - since >= 1:
            self.token_marks.append((now, tokens))
        while len(self.token_marks) > 2 and now - self.token_marks[1][0] > TOKEN_SECONDS:
            self.token_marks.popleft()

    def token_rate(self, tokens: int) -> float:
        """Tokens per second that are being written; 0 before the first."""
        since, before = self.token_marks[0]
        return max(0, tokens - before) / max(monotonic() - since, 1.0)

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
        if self.total is None:
            return None
        if self.done < min(max(LEAST_SHARE * (self.total - self.skipped), FEWEST_UNITS), MOST_UNITS):
            return None
        since, before = self.marks[0]
        if self.done == before:
            return None
        return max(0, self.total - self.through) * (monotonic() - since) / (self.done - before)

    def describe(self, tokens: int, activity: str = "") -> str:
        """The task's own facts, else units/s, share kept, tokens/s written, the most frequent drops.

        Before the first unit: tokens/s, or the `activity` while none is written.
        """
        if self.facts:
            return self.facts
        rate = self.token_rate(tokens)
        written = [f"{rate:.0f} tokens/s"] if tokens > self.tokens_before else []
        if not self.done:
            return written[0] if written else activity
        parts = [f"{self.done / max(self.seconds(), 1e-6):.1f} {self.unit}/s"]
        if rows := self.kept + self.dropped.total():
            parts.append(f"{self.kept / rows:.0%} kept")
        parts += written
        parts.extend(f"{reason} {count}" for reason, count in self.dropped.most_common(3))
        return ", ".join(parts)
