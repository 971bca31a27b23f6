"""What a run may spend, and what its folder has spent: tokens, hours, money, or examples to reach."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal, get_args

from selfcodealign.errors import RecipeError, did_you_mean
from selfcodealign.models.prices import cost, tell_unpriced
from selfcodealign.models.usage import Usage
from selfcodealign.sections import AskingSection
from selfcodealign.settings import Recipe
from selfcodealign.stages.context import Context

#: The stage whose kept rows are verified answers, as `--budget examples=` counts them.
ANSWERS = "responses"
Kind = Literal["tokens", "hours", "money", "examples"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
_NUMBER = re.compile(r"(\d+(?:\.\d*)?(?:e[+]?\d+)?|\.\d+)\s*([kmgb]?)", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """Limits of a run folder, over all its runs; None: no limit.

    `tokens` of prompts and answers, `hours` in stages that ask the model, `money` by the recipe's `[prices]`,
    `examples` that the data set is to have.

    >>> Budget.read(["tokens=1.5M", "hours=2,examples=1k"])
    Budget(tokens=1500000.0, hours=2.0, money=None, examples=1000)
    """

    tokens: float | None = None
    hours: float | None = None
    money: float | None = None
    examples: int | None = None

    def __post_init__(self) -> None:
        for kind, limit in self.limits():
            if not limit > 0:
                raise RecipeError(f"a budget of {kind}={limit} allows nothing: give a number above 0")

    @classmethod
    def read(cls, texts: Iterable[str]) -> Budget:
        """Read what `--budget` gave. Raises `RecipeError`."""
        found, texts = cls(), list(texts)
        for text in (part for one in texts for part in re.split(r",(?=\s*[A-Za-z])", one) if part.strip()):
            kind, equals, number = (part.strip() for part in text.partition("="))
            if kind not in KINDS:
                hint = did_you_mean(kind, KINDS)
                raise RecipeError(f"--budget {text.strip()}: name one of {', '.join(KINDS)}, as in tokens=5M{hint}")
            read = _NUMBER.fullmatch(number.replace(",", "").replace("_", ""))
            if not equals or read is None:
                raise RecipeError(f"--budget {text.strip()}: give a number, as in {kind}=500 or {kind}=1.5M")
            if getattr(found, kind) is not None:
                raise RecipeError(f"--budget names {kind} twice: give one number")
            limit = float(read[1]) * _SUFFIXES[read[2].lower()]
            if not isfinite(limit):
                raise RecipeError(f"--budget {text.strip()}: the number is too large")
            if kind == "examples" and limit != round(limit):
                raise RecipeError(f"--budget {text.strip()}: examples are rows: give a whole number")
            found = replace(found, **{kind: round(limit) if kind == "examples" else limit})
        if texts and not found.limits():
            raise RecipeError("--budget is empty: give a limit, as in tokens=5M")
        return found

    def limits(self) -> list[tuple[Kind, float]]:
        """The limits that are set."""
        return [(kind, limit) for kind in KINDS if (limit := getattr(self, kind)) is not None]

    def problems(self, recipe: Recipe, stages: Sequence[str]) -> list[str]:
        """What a person has to fix before a run of these stages can keep to this budget."""
        found = []
        prices = recipe.prices
        whole = prices.server_hour is not None or None not in (prices.prompt_tokens, prices.answer_tokens)
        if self.money is not None and not whole:
            found.append(
                "--budget money= needs prices: set prices.prompt_tokens and prices.answer_tokens (each per million "
                "tokens), or prices.server_hour"
            )
        if self.money is not None and (others := unpriced_models(recipe, stages)):
            found.append(f"--budget money=: {tell_unpriced(others)}")
        if self.examples is not None and ANSWERS not in stages:
            found.append(f"--budget examples= counts verified answers: this run has no stage {ANSWERS}; add it")
        return found


def show(kind: Kind, amount: float, currency: str | None = None) -> str:
    """An amount in words.

    >>> [show("tokens", 1234567.8), show("hours", 0.51), show("money", 12.3, "EUR"), show("examples", 40)]
    ['1,234,568 tokens', '0.51 hours', '12.30 EUR', '40 examples']
    """
    if kind == "money":
        return f"{amount:,.2f} {currency or '(money)'}"
    if kind == "hours":
        return f"{amount:,.2f} hours" if amount >= 0.1 else f"{amount:.2g} hours"
    return f"{amount:,.0f} {kind}"


def name_limit(kind: Kind, limit: float) -> str:
    """The option that sets a limit.

    >>> [name_limit("tokens", 1.5e6), name_limit("hours", 0.5)]
    ['--budget tokens=1500000', '--budget hours=0.5']
    """
    return f"--budget {kind}={limit:.15g}"


def spent(kind: Kind, context: Context) -> float:
    """What all runs of a folder have spent of tokens, hours or money."""
    if kind == "tokens":
        return sum(one.tokens for one in list(context.asked.values()))
    hours = sum(context.asking_seconds().values()) / 3600
    if kind == "hours":
        return hours
    asked = sum(list(context.asked.values()), Usage())
    return cost(context.recipe.prices, asked.prompt_tokens, asked.cached_tokens, asked.completion_tokens, hours)


def unpriced_models(recipe: Recipe, stages: Sequence[str]) -> list[str]:
    """The models besides [model] that these stages ask, where tokens have the prices of [model] alone."""
    if recipe.prices.all_models or not recipe.prices.of_tokens:
        return []
    sections = [getattr(recipe, stage, None) for stage in stages]
    names = {one.model for one in sections if isinstance(one, AskingSection)}
    names |= {str(recipe.own.get(stage, {}).get("model", "")) for stage in stages}
    return sorted(names - {""})
