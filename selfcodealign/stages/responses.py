"""Instruction → responses: answers with tests, each executed as soon as it is sampled.

Sampling and execution flow together: while the sandbox runs one answer the model writes others, and nothing waits
for a batch. A uniformly random verified answer among n has the same distribution as the first verified one, so by
default an instruction is sampled no further than that. Its samples begin in waves (`generation.waves`), which change no
row. With `execution.cross`, all that were drawn are then compared (`siblings`). With `responses.execute` false nothing
is run: every answer that can be read counts, and says that it was not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from selfcodealign.generation.echo import find_echo
from selfcodealign.generation.question import Question
from selfcodealign.generation.waves import Drawn, Waves
from selfcodealign.models import Sampling
from selfcodealign.rows import Dropped, Instruction, Response, digest
from selfcodealign.settings import MOST_TOKENS, PLAIN_PARTS, ResponseSettings
from selfcodealign.stages import Asked, Each
from selfcodealign.stages.answering import Taker
from selfcodealign.stages.chat import ask_chat, chat_facts, check_chat
from selfcodealign.stages.context import Context
from selfcodealign.stages.siblings import measure

#: The names under which it counts samples that began before it was known that they are not needed, the tokens of those
#: that were written to the end, and instructions that were given up.
UNNEEDED, UNNEEDED_TOKENS = "samples drawn and not needed", "tokens of samples drawn and not needed"
GIVEN_UP = "instructions given up"
#: Answers that are thought to be drawn until one passes its tests: a model that passes half of them.
_DRAWS_PER_PASS = 2
#: What a chat model is told behind an instruction whose answer is to have tests.
WITH_TESTS = """{instruction}

Write your answer in two parts. Begin the first with a line <response>: explain the solution briefly, give the complete
code in one fenced Python block, and end the part with a line </response>. Begin the second with a line <tests>: one
fenced Python block with assertions that call this code and check its exact results, for ordinary and special cases, and
end with a line </tests>."""


class Answerer:
    """Samples answers to one instruction at a time: in waves while verified ones are still wanted, or all at once when
    `stop_after_passes` is 0, since no answer then depends on another's verdict."""

    def __init__(self, context: Context, stage: str = "responses") -> None:
        self._sandbox = context.sandbox
        self._count = context.count
        self._settings = settings = context.recipe.responses
        self._stage, self._question = stage, ask_for_responses(context, stage)
        execution = context.recipe.execution
        self._wants_cross = execution.cross and settings.execute
        self._model, self._cores = context.model_of(stage), context.cores
        self._take = Taker(context, stage, execute=settings.execute)
        self._waves: Waves[Response | Dropped] = Waves(
            settings.samples,
            settings.stop_after_passes,
            give_up=settings.give_up,
            room=self._room,
            waves=context.waves,
        )
        judged_by = execution.result_digest() if settings.execute else "nothing is run"
        self._digest = digest(settings.result_digest(), judged_by, self._question.digest)

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
        return self._model.spare if self._take.executing <= self._cores else 0

    def _count_unneeded(self, drawn: Drawn[Response | Dropped], tokens: dict[int, int]) -> None:
        if drawn.given_up:
            self._count(self._stage, GIVEN_UP)
        if drawn.unneeded:
            self._count(self._stage, UNNEEDED, drawn.unneeded)
            written = sum(number for sample, number in tokens.items() if sample >= len(drawn.kept))
            self._count(self._stage, UNNEEDED_TOKENS, written)

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
            examples, prose = self._question.draw(row.id, row.seed_id), [*self._question.wanted[:-1]]
            explained = "\n".join(answer.sections[tag] for tag in prose)
            if detail := find_echo(explained, examples, ("instruction", *prose), own=row.instruction):
                problem = "echo"
        if problem:
            written = row.fields() | {"response_id": response_id, "sample": sample, "completion": answer.text}
            return Dropped(parent=row.id, reason=problem, detail=detail, row=written)
        return await self._take(row, response_id, sample, answer.text, answer.sections, answer.repairs)


def _is_verified(one: Response | Dropped) -> bool:
    return isinstance(one, Response)


def _is_prompt_too_long(one: Response | Dropped) -> bool:
    """Whether no other sample has to be drawn: all have the same prompt."""
    return isinstance(one, Dropped) and one.reason == "prompt_too_long"


def ask_for_responses(context: Context, stage: str = "responses") -> Question:
    """The question about an instruction; `stage` asks it."""
    settings = context.recipe.responses
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens or MOST_TOKENS["responses"])
    wanted = _wanted(settings)
    if settings.prompt == "instruction":
        return ask_chat(context, "responses", wanted, _words(settings), sampling, stage)
    estimated = settings.max_tokens is None
    return context.question(_kind(settings), wanted, settings.examples, sampling, estimated=estimated, stage=stage)


def _kind(settings: ResponseSettings) -> str:
    """The kind of prompt that asks for the parts of an answer."""
    return "responses" if tuple(settings.parts) == PLAIN_PARTS else "responses-explained"


def _wanted(settings: ResponseSettings) -> tuple[str, ...]:
    return tuple(part for part in settings.parts if settings.tests or part != "tests")


def _words(settings: ResponseSettings) -> str:
    return WITH_TESTS if settings.tests else "{instruction}"


def check_answering(context: Context, stage: str = "responses") -> Iterator[str]:
    """What a person has to fix where `stage` draws answers to instructions."""
    recipe = context.recipe
    if recipe.responses.prompt == "instruction":
        yield from check_chat(context, stage, 'responses.prompt = "instruction"')
    else:
        yield from context.check_examples(_kind(recipe.responses), recipe.responses.examples, stage)
    if recipe.responses.execute:
        return
    if recipe.execution.cross:
        yield (
            "execution.cross compares runs of answers, and responses.execute = false runs none: set "
            "execution.cross = false"
        )
    if recipe.selection.proof == "split" and "selection" in context.places:
        yield (
            'selection.proof = "split" would drop every answer, because responses.execute = false runs none: set '
            'selection.proof = "any"'
        )


def answering_facts(context: Context, stage: str = "responses") -> dict[str, Any]:
    """What decides the answers that `stage` draws."""
    settings = context.recipe.responses
    # What runs nothing is not decided by how programs are run.
    found = context.deciding("responses", *(("execution",) if settings.execute else ()))
    if settings.prompt == "instruction":
        return found | chat_facts(context, "responses", _words(settings), stage)
    return {**found, **context.asking(_kind(settings), stage)}


def _rows_at_once(context: Context) -> int:
    """More instructions than the model takes at once: while some are in the sandbox, others keep the model busy."""
    at_once = 2 * context.model_of("responses").concurrency + 2 * context.cores
    settings = context.recipe.responses
    return at_once if settings.stop_after_passes else -(-at_once // settings.samples)


def asked_for_answers(context: Context, prompts: int = 1) -> Asked:
    """What is asked for the answers to so many instructions."""
    settings = context.recipe.responses
    first = min(settings.samples, _DRAWS_PER_PASS * settings.stop_after_passes)
    drawn, most = first if settings.stop_after_passes else settings.samples, settings.samples
    if not settings.execute and settings.stop_after_passes:  # every answer counts
        drawn = most = min(settings.samples, settings.stop_after_passes)
    # A message has no worked example, and its answers no limit that follows from them.
    chat = settings.prompt == "instruction"
    examples = 0 if chat else settings.examples
    tokens = settings.max_tokens or (MOST_TOKENS["responses"] if chat else None)
    return Asked(_kind(settings), examples, tokens, prompts, most, drawn, prompts, _wanted(settings))


RESPONSES = Each(
    name="responses",
    takes=Instruction,
    gives=Response,
    settings=ResponseSettings,
    columns=("instruction", "status", "error_type", "message", "mutation_score", "difficulty", "sample"),
    needs=("model", "sandbox"),
    executes=lambda context: context.recipe.responses.execute,
    check=check_answering,
    decided_by=answering_facts,
    build=Answerer,
    prefix=lambda context: ask_for_responses(context).by_draw(),
    rows_at_once=_rows_at_once,
    asks=lambda context: [asked_for_answers(context)],
)
