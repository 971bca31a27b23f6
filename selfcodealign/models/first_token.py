"""Read the likeliest first tokens of an answer from what servers tell as `logprobs`.

Two shapes are in use, whole or in pieces with the chunks of a stream:

    OpenAI, vLLM, SGLang   {"tokens": ["yes", ...], "top_logprobs": [{"yes": -0.1, "no": -2.4}, ...]}
    llama.cpp              {"content": [{"token": "yes", "top_logprobs": [{"token": "yes", "logprob": -0.1}, ...]}]}
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

#: What tokenizers write for a space, a tab and a line end, where a server does not decode its tokens.
_WRITTEN_SPACES = str.maketrans("▁ĠĉĊ", "    ")

#: A token and its log-probability.
Likely = tuple[str, float]


def bare(token: str) -> str:
    """Return a token without the white space around it.

    >>> bare("Ġyes"), bare("\\tYes"), bare("▁")
    ('yes', 'Yes', '')
    """
    return token.translate(_WRITTEN_SPACES).strip()


def read_first_token(told: Iterable[Any]) -> dict[str, float]:
    """Return the log-probabilities of the likeliest tokens at the first token that is more than white space.

    `told` are the `logprobs` of one answer, in pieces. {} where they hold none; nothing in them is trusted.
    """
    found: dict[str, float] = {}
    for token, likely in _read_places(told):
        found = sum_up(likely)
        if bare(token):
            break
    return found


def sum_up(likely: Iterable[Likely]) -> dict[str, float]:
    """Log-probabilities by token; several tokens that are written alike are summed."""
    found: dict[str, float] = {}
    for token, value in likely:
        found[token] = _add(found[token], value) if token in found else value
    return found


def _read_places(told: Iterable[Any]) -> Iterator[tuple[str, list[Likely]]]:
    """The token written at each place, and the likeliest ones there; places without any are passed over."""
    for one in told:
        if not isinstance(one, dict):
            continue
        if isinstance(content := one.get("content"), list):
            places = [(place.get("token"), place.get("top_logprobs")) for place in content if isinstance(place, dict)]
        else:
            tops = one.get("top_logprobs")
            tokens = one.get("tokens")
            tops = tops if isinstance(tops, list) else []
            tokens = tokens if isinstance(tokens, list) else []
            places = [(tokens[place] if place < len(tokens) else None, top) for place, top in enumerate(tops)]
        for token, top in places:
            likely = _read_likely(top)
            if likely:
                yield token if isinstance(token, str) else max(likely, key=lambda one: one[1])[0], likely


def _read_likely(top: Any) -> list[Likely]:
    if isinstance(top, dict):
        pairs: list[Any] = list(top.items())
    elif isinstance(top, list):
        pairs = [(one.get("token"), one.get("logprob")) for one in top if isinstance(one, dict)]
    else:
        return []
    return [(token, float(value)) for token, value in pairs if isinstance(token, str) and _is_log_probability(value)]


def _is_log_probability(value: Any) -> bool:
    # Rounding in 16 bits gives a little above 0.
    return isinstance(value, int | float) and not isinstance(value, bool) and value <= 0.01  # no NaN either


def _add(a: float, b: float) -> float:
    """The logarithm of the sum of two probabilities."""
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
