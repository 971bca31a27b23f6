"""What long work tells while it goes on. Work is given a `Progress`; `terminal` draws one, tests derive their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class Progress:
    """The protocol; this implementation keeps silent.

    A task is named when it starts, and several may be under way at once. `start` comes before all other calls about
    a task, `finish` after them; work that fails or is cancelled just stops telling.
    """

    #: Tokens (read, written) by the model since the run began.
    tokens: Callable[[], tuple[int, int]] = staticmethod(lambda: (0, 0))

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        """`task` begins: it has `total` units to go through, None when the number is unknown."""

    def expect(self, task: str, total: int | None) -> None:
        """A better estimate of the task's total, which counts skipped units too."""

    def skip(self, task: str, count: int = 1) -> None:
        """An earlier run has done `count` units; rates and the time left take no notice of them."""

    def advance(
        self, task: str, count: int = 1, *, kept: int = 0, dropped: Sequence[str] = (), facts: str = ""
    ) -> None:
        """`count` more units are through: `kept` rows came of them, and one dropped row for each reason in `dropped`.

        `facts` are words to show instead of rates; they stay until the next ones.
        """

    def finish(self, task: str, summary: str = "") -> None:
        """The task is complete; `summary` is its result in one line."""

    def say(self, text: str) -> None:
        """One line for the user."""

    def show(self, renderable: object) -> None:
        """Something that rich renders, for the user."""
