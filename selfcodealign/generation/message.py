"""A question to a chat model: one message in our words, without worked examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from selfcodealign.generation.question import Question
from selfcodealign.generation.reading import Reading, read_sections
from selfcodealign.models import Sampling
from selfcodealign.rows import digest


@dataclass(frozen=True)
class Message(Question):
    """Asks with `words`, in which the shown sections stand as {tag}.

    Where one section is wanted, the whole text of the answer is that section; several are written between their tags,
    as in few-shot prompts, and `words` say so.
    """

    words: str = "{instruction}"

    @cached_property
    def digest(self) -> str:
        """Digest of everything that decides the answers: model, words, sampling."""
        identity = self.model.identity()
        known = identity["name"], identity["revision"]
        return digest(*known, self.stage, self.words, self.wanted, self.sampling, self.random_seed)

    def lay_out(self, row_id: str, shown: Mapping[str, str], seed_id: str = "", number: int = 0) -> str:
        """Write the message of one row."""
        return self.words.format(**shown)

    def draw(self, row_id: str, seed_id: str = "", number: int = 0) -> list[dict[str, str]]:
        """No worked example."""
        return []

    def by_draw(self) -> Callable[[Any], int] | None:
        """No two messages begin alike because of a draw."""
        return None

    @cached_property
    def sent_sampling(self) -> Sampling:
        """The sampling parameters of a request."""
        stop = self.sampling.stop or (*((f"</{self.wanted[-1]}>",) if len(self.wanted) > 1 else ()), *self.ends)
        return replace(self.sampling, stop=stop, stop_loops=True, message=True)

    def _read_sections(self, text: str) -> Reading:
        if len(self.wanted) > 1:
            return read_sections(text, self.wanted)
        return Reading({self.wanted[0]: text.strip()}) if text.strip() else Reading(problem="the model wrote nothing")
