"""Answers that an earlier run got and kept: taken instead of asking again, under a key of all that decides them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from selfcodealign.models import Completion, Sampling


class Keeper(Protocol):
    """Keeps answers by key, as JSON."""

    def find(self, key: str) -> dict[str, Any] | None: ...

    def add(self, key: str, answer: Mapping[str, Any]) -> None: ...


def key_of(identity: Mapping[str, str], prompt: str, sampling: Sampling, seed: int) -> str:
    """Names model, prompt, sampling and seed (BLAKE2b, 128 bits)."""
    state = hashlib.blake2b(digest_size=16)
    for part in (identity["name"], identity["revision"], prompt, repr(asdict(sampling)), str(seed)):
        text = part.encode("utf-8", "surrogatepass")
        state.update(len(text).to_bytes(8, "big"))
        state.update(text)
    return state.hexdigest()


def store(completion: Completion) -> dict[str, Any]:
    """The answer as JSON."""
    fields = {name: getattr(completion, name) for name in Completion.__dataclass_fields__ if name != "recalled"}
    return fields | {"first_token": dict(completion.first_token)}


def restore(answer: Mapping[str, Any]) -> Completion:
    """The answer that `store` made JSON of. An answer whose text is not needed may lack it."""
    fields: dict[str, Any] = {"text": "", "finish_reason": "stop", **answer, "recalled": True}
    return Completion(**fields)
