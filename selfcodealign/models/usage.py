"""What a model was asked: requests and tokens, as its engine counts them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from selfcodealign.models import Completion


@dataclass
class Usage:
    """Requests that were answered, and their tokens.

    `cached_tokens` are prompt tokens that came from a prefix cache; they are known of `told_tokens` of the
    `prompt_tokens`, those of answers whose engine tells.
    """

    requests: int = 0
    prompt_tokens: int = 0
    told_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def add(self, completion: Completion) -> None:
        """Count an answer."""
        self.requests += 1
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens
        if completion.cached_tokens is not None:
            told = completion.told_tokens
            self.told_tokens += completion.prompt_tokens if told is None else told
            self.cached_tokens += completion.cached_tokens

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers together."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def cached_share(self) -> float | None:
        """The share of the prompt tokens that came from a prefix cache; None where no engine tells."""
        return self.cached_tokens / self.told_tokens if self.told_tokens else None

    def __sub__(self, other: Usage) -> Usage:
        return Usage(**{name: value - getattr(other, name) for name, value in asdict(self).items()})

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    def fields(self) -> dict[str, int]:
        """All counts by name, as `read` takes them."""
        return asdict(self)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """Make it from stored counts."""
        return cls(**{name: stored[name] for name in cls.__dataclass_fields__ if name in stored})
