"""A few-shot question to the base model, the same in every stage: lay out the prompt, sample, read the sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from selfcodealign.generation.draws import NOT_COUNTED, Growth, choose_draw, draw_examples, nth_draw
from selfcodealign.generation.few_shot_file import FewShotFile
from selfcodealign.generation.prompts import lay_out, section, stop_strings
from selfcodealign.generation.reading import Reading, read_sections
from selfcodealign.models import Completion, Model, Sampling, Unanswered
from selfcodealign.models.loops import repeats
from selfcodealign.models.usage import Usage
from selfcodealign.rows import digest, seed_of

#: Characters of an unparsed completion that are kept for `show`.
DETAIL_CHARACTERS = 2000
#: Characters that count as a token in a limit, and the smallest limit. Fewer than in estimates (`room`): a limit must
#: hold for texts with more tokens than usual.
_LIMIT_CHARACTERS, _LEAST_TOKENS = 3, 96


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's completion and its wanted sections; no sections if there is a `problem`.

    `problem` is the reason of a drop: "prompt_too_long", "model_refused", "bad_answer" or "no_answer" (a server failed
    this request again and again), "looping" (the text repeated itself), "truncated" (cut by length) or "unparsed" (a
    section is missing or empty); `detail` explains it. `repairs` names what the model forgot in the sections.
    `first_token` is that of the completion, `tokens` is how many it has.
    """

    text: str
    sections: dict[str, str]
    problem: str = ""
    detail: str = ""
    repairs: tuple[str, ...] = ()
    first_token: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0


@dataclass(frozen=True)
class Question:
    """A stage's question: the model writes the `wanted` sections; the prompt shows the stage's other sections.

    A prompt has `examples` worked examples, from one of `draws` ordered draws (0: a new draw for each row; None: their
    number grows with the seeds, and `growth` has the draw of each, the same in all stages).
    `random_seed` changes every draw and every sample. `ends` are strings that end a text besides the tags. With
    `estimated`, the sampling's `max_tokens` is an upper bound: the worked examples tell how many are needed.

    `ends` and `estimated` are no part of the digest: they end texts sooner, and ids of rows stay. Nor is `growth`: a
    seed's draw stays when more seeds come. `usage` counts what is asked.
    """

    model: Model
    few_shot: FewShotFile
    stage: str
    wanted: tuple[str, ...]
    examples: int
    draws: int | None
    sampling: Sampling
    random_seed: int
    ends: tuple[str, ...] = ()
    estimated: bool = False
    growth: Growth = NOT_COUNTED
    usage: Usage = field(default_factory=Usage)

    @cached_property
    def digest(self) -> str:
        """Digest of everything that decides the answers: model, prompt texts, draws, sampling."""
        identity = self.model.identity()
        return digest(
            identity["name"],
            identity["revision"],
            self.few_shot.prompt_digest(self.stage),
            self.wanted,
            self.examples,
            self.draws,
            self.sampling,
            self.random_seed,
        )

    def lay_out(self, row_id: str, shown: Mapping[str, str], seed_id: str = "", number: int = 0) -> str:
        """Write the prompt of one row. `shown` are the sections of the open example, the rest is as in `draw`."""
        examples = self.draw(row_id, seed_id, number)
        return lay_out(self.few_shot.introductions[self.stage], examples, shown, self.wanted)

    def draw(self, row_id: str, seed_id: str = "", number: int = 0) -> list[dict[str, str]]:
        """The worked examples in the prompt of one row: text by tag.

        Where the number of draws grows, `seed_id` (without one, `row_id`) decides, and the `number`-th row of a seed
        has the `number`-th draw after the seed's.
        """
        if self.draws is None:
            place = self._place(row_id, seed_id) + number
            return nth_draw(self._pool, self.examples, self.stage, place, self.random_seed)
        return draw_examples(self._pool, self.examples, self.stage, digest(self.random_seed, row_id), self.draws)

    def by_draw(self) -> Callable[[Any], int] | None:
        """What tells rows of one draw by, before they are asked about; None where each row has its own."""
        return None if self.draws == 0 else lambda row: self._place(row.id, getattr(row, "seed_id", ""))

    def _place(self, row_id: str, seed_id: str) -> int:
        """The number of a row's draw."""
        if self.draws is None:
            return self.growth.number(seed_id or row_id, self.random_seed)
        row_id = digest(self.random_seed, row_id)
        return choose_draw(len(self._pool), self.examples, self.stage, row_id, self.draws)

    async def ask(self, prompt: str, row_id: str, number: int = 0) -> Answer:
        """Sample the `number`-th answer to a row's prompt and read its sections. Raises `ModelError`.

        The seeds of a row's answers follow each other, as those that a server gives to the `n` answers of one request.
        """
        seed = (seed_of(digest(self.random_seed, row_id), f"{self.stage} 0") + number) % 2**31
        try:
            completion = await sample(self.model, prompt, self.sent_sampling, seed, self.usage)
        except Unanswered as error:
            return Answer("", {}, error.reason, str(error))
        read = self._read(completion)
        return replace(read, first_token=completion.first_token, tokens=completion.completion_tokens)

    def _read(self, completion: Completion) -> Answer:
        text = completion.text
        if cut := find_cut(completion):
            return Answer(text, {}, cut, shorten(text))
        reading = self._read_sections(text)
        if reading.problem:
            return Answer(text, {}, "unparsed", f"{reading.problem}\n{shorten(text)}".rstrip())
        return Answer(text, reading.sections, repairs=reading.repairs)

    def _read_sections(self, text: str) -> Reading:
        return read_sections(text, self.wanted)

    @cached_property
    def sent_sampling(self) -> Sampling:
        """The sampling parameters of a request: with stop strings, and the limit that the worked examples need."""
        stop = self.sampling.stop or (*stop_strings(self.wanted), *self.ends)
        most = self.sampling.max_tokens
        if self.estimated:
            most = min(most, estimate_tokens(self._pool, self.wanted))
        return replace(self.sampling, max_tokens=most, stop=stop, stop_loops=True)

    @cached_property
    def _pool(self) -> tuple[dict[str, str], ...]:
        return self.few_shot.pool(self.stage, self.examples)


async def sample(model: Model, prompt: str, sampling: Sampling, seed: int, usage: Usage) -> Completion:
    """Ask a model, and count what it costs: an answer that a journal kept costs nothing. Raises `Unanswered` and
    `ModelError`."""
    completion = await model.complete(prompt, sampling, seed=seed)
    if not completion.recalled:
        usage.add(completion)
    return completion


def find_cut(completion: Completion) -> str:
    """Why the end of a completion is missing, as the reason of a drop: "looping", "truncated", or "" if it is whole."""
    text, ended = completion.text, completion.finish_reason
    # Engines that do not watch for loops write them to the limit.
    if ended == "loop" or (ended == "length" and repeats(text)):
        return "looping"
    return "truncated" if ended == "length" else ""


def estimate_tokens(pool: Sequence[Mapping[str, str]], wanted: Sequence[str]) -> int:
    """Estimate the tokens that an answer may need: twice those of the longest worked example's wanted sections.

    Three characters count as one token, fewer than tokenizers of code need on average; no limit is below 96 tokens.

    >>> estimate_tokens([{"instruction": "x" * 600}, {"instruction": "x"}], ["instruction"])
    412
    """
    longest = max(sum(len(section(tag, one[tag])) for tag in wanted) - len(f"<{wanted[0]}>") for one in pool)
    return max(_LEAST_TOKENS, 2 * -(-longest // _LIMIT_CHARACTERS))


def shorten(text: str) -> str:
    """Shorten a completion to the detail of a drop."""
    return text if len(text) <= DETAIL_CHARACTERS else f"{text[:DETAIL_CHARACTERS]} … ({len(text)} characters)"
