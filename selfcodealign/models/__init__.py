"""The one thing the pipeline asks of a model: continue this text.

A base model is driven by few-shot prompts, so there is no chat here: a prompt goes in, a `Completion` comes out.
Implementations: `selfcodealign.models.server` (OpenAI-compatible `/v1/completions`), `selfcodealign.models.local`
(transformers), `selfcodealign.models.vllm` (a vLLM server started and stopped by us) and
`selfcodealign.models.scripted` (answers from a function, for tests and documentation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, Self


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to continue a prompt. `temperature` 0 is greedy; `stop` strings end the text and are not part of it."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """A continuation. `finish_reason` is "length" when `max_tokens` (or the context) cut it, else "stop".

    Token counts are those the engine reports: `prompt_tokens` includes the ones served from its prefix cache.
    """

    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int = 0
    completion_tokens: int = 0


class PromptTooLong(Exception):
    """The prompt does not fit the model's context: a bad row, not a broken machine, so a stage makes a drop of it."""


class Model(Protocol):
    """Continues prompts; entered once with `async with`, then called from many tasks at once."""

    #: How many `complete` calls are worth having under way at once; the pipeline keeps about that many.
    concurrency: int

    async def __aenter__(self) -> Self:
        """Load or reach the model. Raises `ModelError` naming the fix when that is impossible."""
        ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    def identity(self) -> dict[str, str]:
        """What a run records about the model; known after `__aenter__`.

        `name` and `revision` are always there and decide whether finished rows can be reused; the other keys
        (`engine`, `engine_version`, `device`, `dtype` ...) are for the reader. Never holds a key or a password.
        """
        ...

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        """Continue `prompt`. The same prompt, sampling and seed (0 <= seed < 2**31) give the same text where the
        engine allows it. Raises `ModelError` when the engine is gone (after retries) or refuses the request, and
        `PromptTooLong` when the prompt leaves no room for a single token."""
        ...
