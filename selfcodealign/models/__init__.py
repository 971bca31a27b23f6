"""The model protocol: continue a text.

Few-shot prompts drive a base model, so the protocol has no chat: a prompt goes in, a `Completion` comes out.
Implementations: `selfcodealign.models.server` (OpenAI-compatible `/v1/completions`), `selfcodealign.models.local`
(transformers), `selfcodealign.models.vllm` (a vLLM server that this package starts and stops) and
`selfcodealign.models.scripted` (answers from a function, for tests and documentation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters. `temperature` 0 is greedy; `stop` strings end the text and are not part of the text.

    `stop_loops` ends a text that repeats itself (`loops.repeats`) before `max_tokens` does. `top_logprobs` asks for the
    log-probabilities of so many first tokens; some servers give at most 5. `message`: the prompt is the whole message
    of a user, and no text to go on with; a chat server gets it unchanged. None is part of the `repr`, which decides ids
    of rows: the first changes only texts that are dropped, the second none, and the third goes with other prompts.
    """

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    stop_loops: bool = field(default=False, repr=False)
    top_logprobs: int = field(default=0, repr=False)
    message: bool = field(default=False, repr=False)


@dataclass(frozen=True, slots=True)
class Completion:
    """The continuation of a prompt.

    `finish_reason` is "length" if `max_tokens` or the context cut it, "loop" if the text repeated itself and
    `stop_loops` was set, else "stop".

    Token counts are the engine's; `prompt_tokens` includes tokens served from its prefix cache, and `cached_tokens` are
    those (None where the engine does not tell). Of a request with several texts, one completion has the tokens of the
    prompt, and one has the `cached_tokens`, with the `told_tokens` of the prompt that they are a part of.

    `first_token` has the log-probabilities of the likeliest tokens in place of the first one that is more than white
    space, before any sampling; empty if `top_logprobs` did not ask, or where the engine tells none.

    `recalled`: it was asked for by an earlier run, whose journal kept it, and costs nothing now.
    """

    text: str
    finish_reason: Literal["stop", "length", "loop"]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token: Mapping[str, float] = field(default_factory=dict, repr=False, hash=False)
    cached_tokens: int | None = field(default=None, compare=False)
    told_tokens: int | None = field(default=None, compare=False)
    recalled: bool = field(default=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class UnderWay:
    """The requests that a model is working on now: how many, the tokens of their prompts, how many of those have been
    read (0 where the engine does not say), the tokens written so far."""

    requests: int = 0
    prompt_tokens: int = 0
    prompt_tokens_read: int = 0
    completion_tokens: int = 0


class Unanswered(Exception):
    """The model has no completion for this one prompt: a bad row, not a failed engine, so a stage drops the row.

    `reason` is the reason of the drop, the message its detail (no secrets).
    """

    reason: str


#: Reasons of `RequestFailed`.
FAILED_REASONS = ("model_refused", "bad_answer", "no_answer")


class PromptTooLong(Unanswered):
    """The prompt does not fit the model's context."""

    reason = "prompt_too_long"


class RequestFailed(Unanswered):
    """A server that answers other requests has failed this one every time it was asked.

    `reason` is "model_refused" (it refused the request), "bad_answer" (its answer was no completion) or
    "no_answer" (it failed on this request for `retry_seconds`, and answered others).
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Model(Protocol):
    """Continues prompts; entered once with `async with`, then called from many tasks concurrently."""

    #: Number of concurrent `complete` calls that keep the engine busy; the pipeline keeps about that many in flight.
    #: A model that lets further calls wait itself, and so sees them together, has a true attribute `holds_calls`.
    concurrency: int

    async def __aenter__(self) -> Self:
        """Load or reach the model. Raises `ModelError` that names the fix."""
        ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    def identity(self) -> dict[str, str]:
        """Return what a run records about the model; known after `__aenter__`.

        `name` and `revision` are always present and decide whether finished rows can be reused; other keys (`engine`,
        `engine_version`, `device`, `dtype` ...) are informative. Never holds an API key or a password.
        """
        ...

    def under_way(self) -> UnderWay:
        """Return what the model is working on, for progress; may be called at any time, cheap."""
        ...

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        """Continue `prompt`. Equal prompt, sampling and seed (0 <= seed < 2**31) give equal text where the engine
        allows it. Raises `ModelError` if the engine has failed (after retries), and `Unanswered` if this one
        prompt has no completion: `PromptTooLong` leaves no room for a token, `RequestFailed` was refused again and
        again while others were answered."""
        ...
