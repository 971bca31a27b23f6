"""What a person sees while something long works."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class Progress:
    """What long work tells while it goes on; this one keeps silent, `terminal` draws.

    Several tasks may be under way at once, each known by its name. `tokens` gives what the model has read and written
    since the run began.
    """

    tokens: Callable[[], tuple[int, int]] = staticmethod(lambda: (0, 0))

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        """A task begins: `total` units, None when that is unknown."""

    def expect(self, task: str, total: int | None) -> None:
        """A better estimate of the total."""

    def skip(self, task: str, count: int = 1) -> None:
        """Units that an earlier run has done."""

    def advance(
        self, task: str, count: int = 1, *, kept: int = 0, dropped: Sequence[str] = (), facts: str = ""
    ) -> None:
        """`count` more units are through; of rows, how many were kept and why the others were dropped."""

    def finish(self, task: str, summary: str = "") -> None:
        """The task is complete."""

    def say(self, text: str) -> None:
        """One line for the person."""

    def show(self, renderable: object) -> None:
        """Something to draw once, as rich draws it."""
