"""Instruction → responses: answers with tests, each executed as soon as it is sampled.

Sampling and execution flow together: while the sandbox runs one answer the model writes others, and nothing waits
for a batch. A uniformly random verified answer among n has the same distribution as the first verified one, so by
default an instruction is sampled no further than that. Its samples begin in waves (`generation.waves`), which change no
row. With `execution.cross`, all that were drawn are then compared (`siblings`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from selfcodealign.generation.echo import find_echo
from selfcodealign.generation.question import Question
from selfcodealign.generation.waves import Drawn, Waves
from selfcodealign.judging.stored import verdict_fields
from selfcodealign.models import Sampling
from selfcodealign.rows import Dropped, Instruction, Response, digest
from selfcodealign.sandbox import Program, Verdict
from selfcodealign.settings import MOST_TOKENS, ResponseSettings
from selfcodealign.stages import Asked, Each
from selfcodealign.stages.answers import grow_response, read_written
from selfcodealign.stages.context import Context
from selfcodealign.stages.siblings import measure

#: The name under which a run counts answers that passed apart from their tests.
SPLIT_PROOF = "verified with split proof"
#: The names under which it counts samples that began before it was known that they are not needed, the tokens of those
#: that were written to the end, and instructions that were given up.
UNNEEDED, UNNEEDED_TOKENS = "samples drawn and not needed", "tokens of samples drawn and not needed"
GIVEN_UP = "instructions given up"
#: Answers that are thought to be drawn until one passes its tests: a model that passes half of them.
_DRAWS_PER_PASS = 2


class Answerer:
    """Samples answers to one instruction at a time: in waves while verified ones are still wanted, or all at once when
    `stop_after_passes` is 0, since no answer then depends on another's verdict."""

    def __init__(self, context: Context) -> None:
        self._sandbox = context.sandbox
        self._count = context.count
        self._settings = settings = context.recipe.responses
        self._question = ask_for_responses(context)
        execution = context.recipe.execution
        self._wants_cross = execution.cross
        self._model, self._cores, self._executing = context.model_of("responses"), context.cores, 0
        self._waves: Waves[Response | Dropped] = Waves(
            settings.samples,
            settings.stop_after_passes,
            give_up=settings.give_up,
            room=self._room,
            waves=context.waves,
        )
        self._digest = digest(settings.result_digest(), execution.result_digest(), self._question.digest)

    async def __call__(self, row: Instruction) -> Sequence[Response | Dropped]:
        prompt = self._question.lay_out(row.id, {"instruction": row.instruction}, row.seed_id)
        if self._settings.stop_after_passes == 0:
            samples = range(self._settings.samples)
            return await self._cross(
                await asyncio.gather(*(self._sample(row, prompt, sample, {}) for sample in samples))
            )
        tokens: dict[int, int] = {}
        drawn = await self._waves.draw(
            lambda sample: self._sample(row, prompt, sample, tokens), _is_verified, _is_prompt_too_long
        )
        self._count_unneeded(drawn, tokens)
        return await self._cross(drawn.kept)

    def _room(self) -> int:
        """How many more requests are worth sending now: none while programs wait for the sandbox."""
        return self._model.spare if self._executing <= self._cores else 0

    def _count_unneeded(self, drawn: Drawn[Response | Dropped], tokens: dict[int, int]) -> None:
        if drawn.given_up:
            self._count("responses", GIVEN_UP)
        if drawn.unneeded:
            self._count("responses", UNNEEDED, drawn.unneeded)
            written = sum(number for sample, number in tokens.items() if sample >= len(drawn.kept))
            self._count("responses", UNNEEDED_TOKENS, written)

    async def _cross(self, outcome: Sequence[Response | Dropped]) -> Sequence[Response | Dropped]:
        """Add to each answer where it stands among all that were drawn, where that is wanted."""
        if not self._wants_cross:
            return outcome
        written = [one.fields() if isinstance(one, Response) else one.row for one in outcome]
        return [
            replace(one, **own) if isinstance(one, Response) else replace(one, row=one.row | own)
            for one, own in zip(outcome, await measure(written, self._sandbox.run_against), strict=True)
        ]

    async def _sample(self, row: Instruction, prompt: str, sample: int, tokens: dict[int, int]) -> Response | Dropped:
        """Draw one answer and execute it; `tokens` is told how many it has."""
        answer = await self._question.ask(prompt, row.id, sample)
        tokens[sample] = answer.tokens
        response_id = digest(row.id, self._digest, sample)
        problem, detail = answer.problem, answer.detail
        if not problem:
            examples, explained = self._question.draw(row.id, row.seed_id), answer.sections["response"]
            if detail := find_echo(explained, examples, ("instruction", "response"), own=row.instruction):
                problem = "echo"
        if problem:
            written = row.fields() | {"response_id": response_id, "sample": sample, "completion": answer.text}
            return Dropped(parent=row.id, reason=problem, detail=detail, row=written)
        written = read_written(answer)
        verdict = verdict_fields(await self._execute(written.program))
        response = grow_response(row, response_id, sample, written, verdict)
        if response.status == "passed":
            if response.proof == "split":
                self._count("responses", SPLIT_PROOF)
            return response
        return Dropped(parent=row.id, reason=response.status, detail=response.message, row=response.fields())

    async def _execute(self, program: Program) -> Verdict:
        self._executing += 1
        try:
            return await self._sandbox.run(program)
        finally:
            self._executing -= 1


def _is_verified(one: Response | Dropped) -> bool:
    return isinstance(one, Response)


def _is_prompt_too_long(one: Response | Dropped) -> bool:
    """Whether no other sample has to be drawn: all have the same prompt."""
    return isinstance(one, Dropped) and one.reason == "prompt_too_long"


def ask_for_responses(context: Context) -> Question:
    """The question about an instruction."""
    settings = context.recipe.responses
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens or MOST_TOKENS["responses"])
    return context.question(
        "responses", ("response", "tests"), settings.examples, sampling, estimated=settings.max_tokens is None
    )


def _rows_at_once(context: Context) -> int:
    """More instructions than the model takes at once: while some are in the sandbox, others keep the model busy."""
    at_once = 2 * context.model_of("responses").concurrency + 2 * context.cores
    settings = context.recipe.responses
    return at_once if settings.stop_after_passes else -(-at_once // settings.samples)


def _asks(context: Context) -> list[Asked]:
    settings = context.recipe.responses
    first = min(settings.samples, _DRAWS_PER_PASS * settings.stop_after_passes)
    drawn = first if settings.stop_after_passes else settings.samples
    return [Asked("responses", settings.examples, settings.max_tokens, most=settings.samples, typical=drawn)]


RESPONSES = Each(
    name="responses",
    takes=Instruction,
    gives=Response,
    settings=ResponseSettings,
    needs=("model", "sandbox"),
    check=lambda context: context.check_examples("responses", context.recipe.responses.examples),
    decided_by=lambda context: {**context.deciding("responses", "execution"), **context.asking("responses")},
    build=Answerer,
    prefix=lambda context: ask_for_responses(context).by_draw(),
    rows_at_once=_rows_at_once,
    asks=_asks,
)
