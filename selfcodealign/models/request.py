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
    first_limit: float | None = None
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
