"""One call of a model behind servers, over all its tries; and the time before any server has answered one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from selfcodealign.models import Sampling, UnderWay
from selfcodealign.models.chunks import Chunks, Text
from selfcodealign.models.endpoints import Endpoint
from selfcodealign.models.room import count_roughly


@dataclass(eq=False)
class Request:
    """One call of `complete`, over all its tries. Of the last one: `body` is what was sent, `chunks` what has come of
    it if the server streams.

    `alone` tells that it is not asked together with others, `seeded` that its seed is sent.
    """

    prompt: str
    sampling: Sampling
    seed: int
    max_tokens: int
    seeded: bool = True
    alone: bool = False
    first_fault: float | None = None
    first_bad: float | None = None
    first_limit: float | None = None
    tries: int = 0
    limits: int = 0
    avoid: Endpoint | None = None
    body: dict[str, Any] = field(default_factory=dict)
    chunks: Chunks | Text | None = None

    @property
    def streamed(self) -> bool:
        """Whether the server streams its answer."""
        return self.chunks is not None

    def fields(self) -> dict[str, Any]:
        """The fields of OpenAI's protocol."""
        fields: dict[str, Any] = {
            "prompt": self.prompt,
            "max_tokens": self.max_tokens,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
        }
        if self.seeded:
            fields["seed"] = self.seed
        if self.sampling.stop:
            fields["stop"] = list(self.sampling.stop)
        if self.sampling.top_logprobs:
            fields["logprobs"] = self.sampling.top_logprobs
        return fields


def sum_up(sent: Collection[Request]) -> UnderWay:
    """What servers are working on, as far as their streams tell: one that has begun to write has read its prompt.

    Tokens of prompts are estimated. A request whose answer is asked for as a whole is taken to have the tokens of the
    mean stream.
    """
    sent = list(sent)  # at once: another thread may draw
    tokens = [chunks.tokens if (chunks := one.chunks) is not None else 0 for one in sent]
    begun, written = sum(map(bool, tokens)), sum(tokens)
    whole = sum("stream" not in one.body for one in sent) if begun else 0
    return UnderWay(
        requests=len(sent),
        prompt_tokens=sum(count_roughly(one.prompt) for one in sent),
        prompt_tokens_read=sum(count_roughly(one.prompt) for one, some in zip(sent, tokens, strict=True) if some),
        completion_tokens=written + (whole * written // begun if begun else 0),
    )


@dataclass
class Beginning:
    """The time before any server has answered: is a strange response the fault of the request, or of the address?

    Decided by the other requests in flight: by the first of them that is answered, or when none is left.
    """

    answered: bool = False
    _decided: asyncio.Event = field(default_factory=asyncio.Event)

    def note_answer(self) -> None:
        """A server has answered."""
        self.answered = True
        self._decided.set()

    def note_rest(self) -> None:
        """No request is in flight."""
        self._decided.set()

    async def wait(self) -> None:
        """Wait, while other requests are in flight, until it is decided."""
        self._decided.clear()
        await self._decided.wait()
