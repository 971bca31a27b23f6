"""Lets rows into the stages that ask a model while a budget lasts.

    entry                         the first asking stage of the journey admits a row while what all rows
      └▶ asking stage               under way are expected to cost, to their last answer, is within the budget
           └▶ asking stage        later ones finish what has entered, up to the budget itself

Nothing that is under way is cut off. What a row costs and how many rows are made of it is measured in this folder;
before there is anything to measure, it is what the worked examples tell (`stages.forecast`). Near the limit fewer rows
are under way at once, so that a budget is met closely and not by the number of requests that a server takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfcodealign.engine.budget import ANSWERS, Budget, Kind, name_limit, show, spent
from selfcodealign.errors import RecipeError
from selfcodealign.progress.tally import clock
from selfcodealign.rows import Dropped
from selfcodealign.stages import Each
from selfcodealign.stages.context import Context
from selfcodealign.stages.journey import Step

#: Seconds between two looks whether rows under way have left room for another one.
LOOK_SECONDS = 0.02
#: The share of verified answers, before any is known.
_PASSES = 0.5
#: A part of a budget that is left and worth another round of comparing all rows.
WORTH_A_ROUND = 0.05
#: Examples that a round asks for beyond those that lack: larger sets have more copies.
_MARGIN = 1.1


@dataclass
class _Asking:
    """A stage that asks, in numbers: rows through and under way, rows and parents kept, tokens of a row at first."""

    name: str
    cost_before: float
    yield_before: float
    through: int = 0
    kept: int = 0
    parents_kept: int = 0
    under_way: int = 0
    why_not: str = ""

    @property
    def entered(self) -> int:
        return self.through + self.under_way

    def gives(self) -> float:
        """Rows that one row gives; the first guess counts as one row."""
        return (self.kept + self.yield_before) / (self.through + 1)

    def row_cost(self, tokens: float) -> float:
        """Tokens of one row: rows under way, and one more, count with the first guess until many are through."""
        known = tokens / self.through if self.through > self.under_way else self.cost_before
        return (tokens + known * (self.under_way + 1)) / (self.entered + 1)


class Gate:
    """Watches a budget over the stages of one run.

    `guesses` are, by stage, the tokens of a row and the rows that it gives, before any is through.
    """

    def __init__(
        self, context: Context, budget: Budget, steps: Sequence[Step], guesses: Mapping[str, tuple[float, float]]
    ) -> None:
        self.budget = budget
        self.reached: Kind | None = None
        self._context = context
        names = [one.name for one in steps if isinstance(one.stage, Each) and "model" in one.stage.needs]
        self._asking = {name: _Asking(name, *guesses.get(name, (0.0, 1.0))) for name in names}
        self._turns = {name: asyncio.Lock() for name in names}
        self._flow: list[str] = []
        self._rows = [one.name for one in steps if one.place.gives is not None]
        self._began, self._share_before = time.monotonic(), 0.0
        self._target, self._entry_before, self._verified_before = 0.0, 0, 0
        for one in self._asking.values():
            self._count_stored(one)
        self._aim()
        self._share_before = self._share()[1]

    # ------------------------------------------------------------------------------------------- what a flow asks

    def admit(self, stage: str) -> Callable[[], Awaitable[str]]:
        """What a flow asks before each row of an asking stage; it counts the rows that it lets in."""
        own = self._asking[stage]

        async def ask() -> str:
            async with self._turns[stage]:
                while not own.why_not:
                    full = self._full(stage)
                    if full is None:
                        own.under_way += 1
                        return ""
                    if self._is_over(full) or not any(one.under_way for one in self._asking.values()):
                        limit = getattr(self.budget, full)
                        self.reached, own.why_not = self.reached or full, name_limit(full, limit)
                    else:
                        await asyncio.sleep(LOOK_SECONDS)
                return own.why_not

        return ask

    async def admit_source(self) -> str:
        """What a flow asks before each row of a source that feeds asking stages: nothing is read for nobody."""
        return next(iter(self._asking.values())).why_not if self._asking else ""

    def watch(self, stage: str, work: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        """The work of an asking stage, with its rows counted."""
        own = self._asking[stage]

        async def counted(row: Any) -> Any:
            try:
                outcome = await work(row)
            finally:
                own.under_way -= 1
            kept = sum(not isinstance(one, Dropped) for one in outcome)
            own.through, own.kept, own.parents_kept = own.through + 1, own.kept + kept, own.parents_kept + (kept > 0)
            return outcome

        return counted

    # ------------------------------------------------------------------------------------------------- its rounds

    def begin_flow(self, stages: Sequence[str]) -> None:
        """These stages are under way from now on, as one flow."""
        self._flow = list(stages)

    def wants_another_round(self) -> bool:
        """Whether stages were stopped, and a further round would let rows in after all: estimates have become counts.

        Call it when all rows under way are through; it opens the gate again if so.
        """
        stopped = [one for one in self._asking.values() if one.why_not]
        if not stopped:
            return False
        for one in self._asking.values():
            self._count_stored(one)
        self._aim()
        if self.budget.examples is not None and self._verified >= self._target:
            return False
        self._flow = []
        for kind, limit in self.budget.limits():
            if kind != "examples" and spent(kind, self._context) > (1 - WORTH_A_ROUND) * limit:
                return False
        opened = [one for one in stopped if self._full(one.name) is None]
        if not opened:
            return False
        for one in stopped:
            one.why_not = ""
        self.reached = None
        return True

    def describe(self) -> str:
        """How much of the budget is used, such as "budget: 42 % of 1,000,000 tokens, 2:10 left"."""
        kind, share = self._share()
        used = f"budget: {100 * share:.0f} % of {show(kind, getattr(self.budget, kind), self._currency)}"
        seconds, more = time.monotonic() - self._began, share - self._share_before
        return f"{used}, {clock((1 - share) / more * seconds)} to it" if more > 0 and share < 1 else used

    def told_spent(self) -> list[str]:
        """What the folder has spent, for each limit, in words."""
        told = []
        for kind, limit in self.budget.limits():
            now = self.examples() if kind == "examples" else spent(kind, self._context)
            told.append(f"{show(kind, now, self._currency)} of {show(kind, limit, self._currency)}")
        return told

    def is_spent(self) -> bool:
        """Whether a run would let nothing more in."""
        folder = self._context.folder
        stages = [(name, folder.look_at(name)) for name in self._asking]
        return all(self._full(name) is not None for name, stage in stages if stage is None or not stage.finished)

    def examples(self) -> int:
        """Rows that the last stage with rows has kept."""
        stage = self._context.folder.look_at(self._rows[-1]) if self._rows else None
        return stage.books().kept if stage is not None else 0

    # ---------------------------------------------------------------------------------------------- what is expected

    def _full(self, stage: str) -> Kind | None:
        """The limit that one more row in this stage is expected to pass; None if there is room."""
        for kind, limit in self.budget.limits():
            if kind == "examples":
                if self._has_enough(stage):
                    return kind
                continue
            now, tokens = spent(kind, self._context), spent("tokens", self._context)
            self._check_told(kind, tokens)
            expected = self._expect_tokens(stage)
            if kind == "tokens":
                now = expected
            elif tokens:
                now *= expected / tokens
            if now > limit:
                return kind
        return None

    def _check_told(self, kind: Kind, tokens: float) -> None:
        """A server that tells no tokens would never reach a limit of them. Raises `RecipeError`."""
        prices = self._context.recipe.prices
        counts = kind == "tokens" or (kind == "money" and (prices.prompt_tokens or prices.answer_tokens))
        if counts and not tokens and any(one.requests for one in list(self._context.asked.values())):
            raise RecipeError(
                f"--budget {kind}= counts tokens, and this server tells none (no usage in its answers): use hours= or "
                "examples="
            )

    def _is_over(self, kind: Kind) -> bool:
        if kind == "examples":
            return self._verified >= self._target
        return spent(kind, self._context) >= getattr(self.budget, kind)

    def _expect_tokens(self, stage: str) -> float:
        """Tokens in the end, if one more row enters this stage: the entry pays for all that is made of its rows."""
        names = list(self._asking)
        place = names.index(stage)
        asked = self._context.asked
        total, rows = spent("tokens", self._context), 0.0
        for name in names[place:]:
            one, own = self._asking[name], float(asked[name].tokens) if name in asked else 0.0
            made = rows if place == 0 else 0.0  # by the rows of the stage before
            rows = one.entered + 1 if name == stage else max(one.entered, made)
            total += max(0.0, one.row_cost(own) * rows - own)
            rows *= one.gives()
        return total

    def _has_enough(self, stage: str) -> bool:
        """Whether the rows that have entered are expected to bring the verified answers that lack."""
        if self._verified >= self._target:
            return True
        names = list(self._asking)
        if stage != names[0]:
            own = self._asking[ANSWERS]
            expected = self._verified + self._passing() * own.under_way
            return stage == ANSWERS and own.under_way > 0 and expected >= self._target
        if ANSWERS in self._flow and not any(one.under_way for one in self._asking.values()):
            return False  # they have brought what they bring
        entry = self._asking[stage]
        if self._verified_before:  # a round before has shown what a row of the entry brings
            more = (entry.entered - self._entry_before) * self._verified_before / self._entry_before
            return self._verified_before + more >= self._target
        rows = 0.0
        for name in names[: names.index(ANSWERS) + 1]:
            rows = max(self._asking[name].entered, rows)
            rows *= self._passing() if name == ANSWERS else self._asking[name].gives()
        return rows >= self._target

    def _passing(self) -> float:
        """The share of instructions that get a verified answer."""
        own = self._asking[ANSWERS]
        return (own.parents_kept + _PASSES) / (own.through + 1)

    def _aim(self) -> None:
        """Set how many instructions with a verified answer the wanted examples need, by what selection has kept."""
        if self.budget.examples is None or ANSWERS not in self._asking:
            return
        self._verified_before = self._verified
        self._entry_before = next(iter(self._asking.values())).through
        kept, wanted = self.examples(), self.budget.examples
        if self._rows[-1] == ANSWERS or not self._verified:
            self._target = wanted
        elif not kept:
            self._target = self._verified + wanted
        elif kept < wanted:
            self._target = self._verified + (wanted - kept) * self._verified / min(kept, self._verified) * _MARGIN

    def _count_stored(self, one: _Asking) -> None:
        stage = self._context.folder.look_at(one.name)
        if stage is not None:
            books = stage.books()
            one.through, one.kept = books.entered, books.kept
            one.parents_kept = len(set(stage.shards.column(stage.description.parent))) if one.name == ANSWERS else 0

    @property
    def _verified(self) -> int:
        """Instructions with a verified answer."""
        return self._asking[ANSWERS].parents_kept

    @property
    def _currency(self) -> str | None:
        return self._context.recipe.prices.currency

    def _share(self) -> tuple[Kind, float]:
        """The limit that is used most, and how much of it, 0..1 and more."""
        shares: dict[Kind, float] = {}
        for kind, limit in self.budget.limits():
            if kind == "examples":
                shares[kind] = self._verified / self._target if self._target else 1.0
            else:
                shares[kind] = spent(kind, self._context) / limit
        kind = max(shares, key=lambda one: shares[one])
        return kind, shares[kind]
