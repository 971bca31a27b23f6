"""A `Progress` that records its calls."""

from __future__ import annotations

from collections.abc import Sequence

from selfcodealign.progress import Progress


class Told(Progress):
    """`calls` holds the calls about tasks, `lines` the messages."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.lines: list[str] = []

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        self.calls.append(("start", task, total, unit))

    def skip(self, task: str, count: int = 1) -> None:
        self.calls.append(("skip", task, count))

    def advance(
        self, task: str, count: int = 1, *, kept: int = 0, dropped: Sequence[str] = (), facts: str = ""
    ) -> None:
        self.calls.append(("advance", task, count, kept, list(dropped), facts))

    def finish(self, task: str, summary: str = "") -> None:
        self.calls.append(("finish", task, summary))

    def say(self, text: str) -> None:
        self.lines.append(text)

    def advanced(self, task: str) -> int:
        """Return the finished units of the task."""
        return sum(int(str(call[2])) for call in self.calls if call[:2] == ("advance", task))
