"""What tokens and hours of servers cost, by a recipe's `[prices]`."""

from __future__ import annotations

from collections.abc import Sequence

from selfcodealign.settings import PriceSettings

#: Prices are per so many tokens.
PER_TOKENS = 1e6


def cost(prices: PriceSettings, prompt: float, cached: float, answers: float, hours: float) -> float:
    """What tokens (`cached` of those of prompts) and the hours of servers cost. Prompt tokens of which no engine said
    that they were cached count as computed ones.

    >>> cost(PriceSettings(prompt_tokens=2, cached_tokens=0.5, answer_tokens=4, server_hour=3), 1e6, 4e5, 5e5, 1)
    6.4
    """
    each = prices.prompt_tokens or 0.0
    each_cached = each if prices.cached_tokens is None else prices.cached_tokens
    tokens = (prompt - cached) * each + cached * each_cached + answers * (prices.answer_tokens or 0.0)
    return tokens / PER_TOKENS + hours * (prices.server_hour or 0.0)


def tell_unpriced(names: Sequence[str]) -> str:
    """Why models have no price, and what to do about it."""
    sections = ", ".join(f"[models.{name}]" for name in names)
    return (
        f"the prices of tokens are those of [model], and {sections} may cost otherwise: set prices.all_models=true if "
        "they hold for all, or price servers alone (prices.server_hour)"
    )
