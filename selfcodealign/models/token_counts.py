"""Read the token counts of an answer, in the shapes that engines tell them. No value is trusted."""

from __future__ import annotations

from typing import Any


def read_count(told: Any, name: str) -> int:
    """A count of tokens; 0 if the server gives none that can be one."""
    try:
        return max(0, int(told[name]))
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        return 0


def read_cached(body: dict[str, Any]) -> int | None:
    """Prompt tokens that came from a prefix cache; None if the answer does not tell.

        OpenAI, vLLM, SGLang, llama.cpp   usage.prompt_tokens_details.cached_tokens
        DeepSeek                          usage.prompt_cache_hit_tokens
        llama.cpp before that             timings.cache_n, or timings.prompt_n: those that were computed

    >>> read_cached({"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}})
    4
    >>> read_cached({"usage": {"prompt_tokens": 9}, "timings": {"prompt_n": 2}})
    7
    """
    usage, timings = body.get("usage"), body.get("timings")
    if not isinstance(usage, dict):
        return None
    prompt = read_count(usage, "prompt_tokens")
    details = usage.get("prompt_tokens_details")
    for place, name in ((details, "cached_tokens"), (usage, "prompt_cache_hit_tokens"), (timings, "cache_n")):
        if isinstance(place, dict) and place.get(name) is not None:
            return min(read_count(place, name), prompt)
    if isinstance(timings, dict) and timings.get("prompt_n") is not None:
        return max(0, prompt - read_count(timings, "prompt_n"))
    return None
