"""A model that answers from a script: for tests, for documentation, and for trying a recipe without weights.

The model implements the whole protocol (stop strings, `max_tokens`, concurrent calls, failure in the middle), so that
code meets the behaviour of a real engine. There is no tokenizer; a token is four characters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, Sampling, UnderWay

#: Unit of `max_tokens` and of the token counts. It is what a token is here, no estimate as in `room`.
CHARACTERS_PER_TOKEN = 4

#: A function of (prompt, sampling, seed).
Script = Callable[[str, Sampling, int], str | Completion]


class ScriptedModel:
    """Answers from a function, a list or a mapping.

    - function `(prompt, sampling, seed) -> str | Completion`: answers that depend on the arguments alone make a run
      reproducible in any order of calls;
    - list: the n-th call gets the n-th answer; a call beyond the list raises `ModelError`;
    - mapping: the key nearest the end of the prompt selects the answer, because a few-shot prompt ends with its open
      example; a prompt without any key raises `ModelError`.

    A `str` is cut at the first stop string and then at `max_tokens` (4 characters each); a `Completion` is returned
    unchanged. Every answer takes `latency` seconds. After `fail_after` answers every call raises `ModelError`, like a
    dead server; set `fail_after` to None to revive the server. `calls` counts all calls, failed ones included.

    >>> import asyncio
    >>> model = ScriptedModel(lambda prompt, sampling, seed: f"answer {seed}\\nrest")
    >>> asyncio.run(model.complete("a prompt", Sampling(stop=("\\n",)), seed=7)).text
    'answer 7'
    """

    def __init__(
        self,
        answers: Script | Sequence[str | Completion] | Mapping[str, str | Completion],
        *,
        name: str = "scripted",
        revision: str = "1",
        latency: float = 0.0,
        fail_after: int | None = None,
        concurrency: int = 64,
    ) -> None:
        self.concurrency = concurrency
        self.latency = latency
        self.fail_after = fail_after
        self.calls = 0
        self._answers = answers
        self._name = name
        self._revision = revision

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return None

    def identity(self) -> dict[str, str]:
        """Return `name` and `revision` as given; the engine is "scripted"."""
        return {"name": self._name, "revision": self._revision, "engine": "scripted", "engine_version": "1"}

    def under_way(self) -> UnderWay:
        return UnderWay()

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        """Answer from the script. Raises `ModelError` after `fail_after` answers or if the script has no answer."""
        number = self.calls
        self.calls += 1
        # Also without latency, because a real model always lets other tasks run.
        await asyncio.sleep(self.latency)
        if self.fail_after is not None and number >= self.fail_after:
            raise ModelError(f"the scripted model {self._name!r} fails after {self.fail_after} answers, as told")
        answer = self._find_answer(number, prompt, sampling, seed)
        return answer if isinstance(answer, Completion) else _cut(answer, prompt, sampling)

    def _find_answer(self, number: int, prompt: str, sampling: Sampling, seed: int) -> str | Completion:
        answers = self._answers
        if isinstance(answers, Mapping):
            place, key = max(((prompt.rfind(key), key) for key in answers), default=(-1, ""))
            if place < 0:
                raise ModelError(f"the scripted model {self._name!r} has no answer to a prompt ending {prompt[-60:]!r}")
            return answers[key]
        if isinstance(answers, Sequence):
            if number >= len(answers):
                raise ModelError(f"the scripted model {self._name!r} has only {len(answers)} answers; add more")
            return answers[number]
        return answers(prompt, sampling, seed)


def _cut(text: str, prompt: str, sampling: Sampling) -> Completion:
    """Cut `text` like an engine: at the first stop string, then at `max_tokens`."""
    stops = [place for stop in sampling.stop if (place := text.find(stop)) >= 0]
    kept = text[: min(stops)] if stops else text
    limit = sampling.max_tokens * CHARACTERS_PER_TOKEN
    cut = len(kept) > limit
    kept = kept[:limit]
    return Completion(
        text=kept,
        finish_reason="length" if cut else "stop",
        prompt_tokens=_count_tokens(prompt),
        completion_tokens=_count_tokens(kept),
    )


def _count_tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)
