"""Tell how far a comparison of all rows is, and end it when the run is to stop."""

from __future__ import annotations

from time import monotonic

from selfcodealign.stages.context import Context

#: Seconds that a part of the work takes before it is shown.
SHOWN_AFTER = 2.0


class Watch:
    """What `near_duplicates` calls: shows each part of its work that takes long as a task, with the time left.

    `total` is the number of rows, for parts that do not know how many there are to be.
    """

    def __init__(self, context: Context, stage: str, total: int | None = None) -> None:
        self._context = context
        self._stage = stage
        self._total = total
        self._part = ""
        self._began = 0.0
        self._done = 0
        self._shown = False

    def __call__(self, part: str, done: int, total: int | None) -> None:
        """Raises `Stopped`."""
        self._context.go_on()
        if part != self._part:
            self.end()
            self._part, self._began, self._done = part, monotonic(), done
        progress, task = self._context.progress, f"{self._stage}: {part}"
        if self._shown:
            progress.advance(task, done - self._done)
        elif monotonic() - self._began >= SHOWN_AFTER:
            self._shown = True
            progress.start(task, total or self._total, "bands" if part == "grouping" else "rows")
            progress.skip(task, done)
        self._done = done

    def end(self) -> None:
        """The last part is done."""
        if self._shown:
            self._context.progress.finish(f"{self._stage}: {self._part}")
        self._shown = False
