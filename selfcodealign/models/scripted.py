"""A model that answers from a script: for tests, for documentation, and for trying a recipe without weights.

It keeps to the whole protocol (stop strings, `max_tokens`, concurrent calls, dying half-way), so that code tried with
it meets what a real engine does. It has no tokenizer; a token is four characters here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, Sampling

#: The unit of `max_tokens` and of the token counts: about what a code tokenizer makes of English and Python.
CHARACTERS_PER_TOKEN = 4

#: What a script function makes of (prompt, sampling, seed).
Script = Callable[[str, Sampling, int], str | Completion]


class ScriptedModel:
    """Answers from a function, a list or a mapping.

    - function `(prompt, sampling, seed) -> str | Completion`: anything; answers that depend on its arguments alone
      make a run reproducible in any order of calls;
    - list: the n-th call gets the n-th answer; a call too many raises `ModelError`;
    - mapping: the key found nearest the end of the prompt names the answer, because the end of a few-shot prompt is
      its open example; no key found raises `ModelError`.

    A `str` is cut at the first stop string and then at `max_tokens` (4 characters each); a `Completion` is handed out
    as it is. Every answer takes `latency` seconds. After `fail_after` answers every call raises `ModelError`, as a
    server does that died; set it to None to bring the server back. `calls` counts the calls, failed ones included.

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
        """`name` and `revision` as given; the engine is "scripted"."""
        return {"name": self._name, "revision": self._revision, "engine": "scripted", "engine_version": "1"}

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        """Answer from the script. Raises `ModelError` when told to fail or when the script has no answer."""
        number = self.calls
        self.calls += 1
        # Also without latency: a real model always lets other tasks run.
        await asyncio.sleep(self.latency)
        if self.fail_after is not None and number >= self.fail_after:
            raise ModelError(f"the scripted model {self._name!r} fails after {self.fail_after} answers, as it was told")
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
    """End `text` where an engine would: at the first stop string, at `max_tokens` at the latest."""
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
