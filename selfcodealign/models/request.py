"""One call of a model behind servers, over all its tries; and the time before any server has answered one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from selfcodealign.models import Sampling
from selfcodealign.models.endpoints import Endpoint


@dataclass(eq=False)
class Request:
    """One call of `complete`, over all its tries."""

    prompt: str
    sampling: Sampling
    seed: int
    max_tokens: int
    first_fault: float | None = None
    tries: int = 0
    limits: int = 0
    avoid: Endpoint | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of OpenAI's protocol."""
        fields: dict[str, Any] = {
            "prompt": self.prompt,
            "max_tokens": self.max_tokens,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "seed": self.seed,
        }
        return fields | ({"stop": list(self.sampling.stop)} if self.sampling.stop else {})


@dataclass
class Beginning:
    """The time before any server has answered: is a strange response the fault of the request, or of the address?

    Decided by the other requests under way: `answered` if one of them is, `wrong` if all of them fare the same.
    """

    answered: bool = False
    undecided: int = 0
    decided: asyncio.Event = field(default_factory=asyncio.Event)

    def leave(self) -> None:
        """A request is over, or has met a fault."""
        self.undecided -= 1
        if self.undecided == 0:
            self.decided.set()

    def note_answer(self) -> None:
        self.answered = True
        self.decided.set()

    async def wait(self) -> None:
        """Wait, as a request that has met a fault, until it is decided."""
        self.decided.clear()
        self.leave()
        try:
            await self.decided.wait()
        finally:
            self.undecided += 1
