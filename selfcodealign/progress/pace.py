"""Progress without a terminal: a line now and then, for logs."""

from __future__ import annotations

import time

#: Seconds between two lines.
LINE_SECONDS = 10.0


class Pace:
    """Says when the next line is due; the first one is when `LINE_SECONDS` have passed since the start."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether a line is due now; if so, the next one is that much later."""
        now = time.monotonic()
        if now - self._last < LINE_SECONDS:
            return False
        self._last = now
        return True


def clock(seconds: float) -> str:
    """A span of time as 0:05, 12:30 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
