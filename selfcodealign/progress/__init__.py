"""Progress of long work. Work reports to a `Progress`; `terminal` draws it, tests derive their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol


class Asked(Protocol):
    """Tokens that a model was asked for: `cached_tokens` are known of `told_tokens` of the prompts."""

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def told_tokens(self) -> int: ...

    @property
    def cached_tokens(self) -> int: ...

    @property
    def completion_tokens(self) -> int: ...


class Progress:
    """The protocol; this implementation shows nothing.

    A task is named when it starts; several may run at once. `start` comes before all other calls about a task and
    `finish` after them; failed or cancelled work makes no further calls.
    """

    #: Prompt and completion tokens of the model since the run began, those of answers under way included.
    tokens: Callable[[], tuple[int, int]] = staticmethod(lambda: (0, 0))
    #: What the model does while no token is written, such as "reading 12 prompts, 31,000 tokens"; "" if nothing.
    activity: Callable[[], str] = staticmethod(lambda: "")

    #: What the model was asked for each stage, in all runs of the folder.
    asked: Callable[[], Mapping[str, Asked]] = staticmethod(dict)

    #: How much of a budget is used, such as "budget: 42 % of 1,000,000 tokens"; "" without one.
    budget: Callable[[], str] = staticmethod(lambda: "")

    def journey(self, stages: Sequence[str]) -> None:
        """The work goes through these stages, in order; each is a task of the same name. No stages: it has ended."""

    def rest(self, stage: str) -> None:
        """An earlier run has finished this stage of the journey, and it is not started."""

    def foresee(self, stage: str, total: int) -> None:
        """This stage of the journey is to get `total` rows, as far as is known before it starts."""

    def count_rows(self, stage: str, entered: int, kept: int) -> None:
        """How many rows have entered a finished stage and were kept, in all runs; comes before its `finish`."""

    def reach(self, stages: Sequence[str]) -> None:
        """These stages of the journey are under way from now on: one, or several that give each other their units."""

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        """`task` begins with `total` units of work; None if the number is unknown."""

    def expect(self, task: str, total: int | None) -> None:
        """Update the task's total, which includes skipped units."""

    def skip(self, task: str, count: int = 1) -> None:
        """An earlier run has finished `count` units; rates and the time left ignore them."""

    def advance(
        self, task: str, count: int = 1, *, kept: int = 0, dropped: Sequence[str] = (), facts: str = ""
    ) -> None:
        """`count` more units are finished: they gave `kept` rows, and one dropped row for each reason in `dropped`.

        `facts` are shown instead of rates, until the next `facts`.
        """

    def finish(self, task: str, summary: str = "") -> None:
        """The task is complete; `summary` is the result in one line."""

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show `what`, such as "loading the model", while the context lasts; on a terminal it leaves nothing."""
        yield

    def say(self, text: str) -> None:
        """Show one line to the user."""

    def show(self, renderable: object) -> None:
        """Show something that rich renders to the user."""
