"""Instruction → responses: answers with tests of their own, each executed as soon as it is written.

Sampling and execution flow together: while the sandbox runs one answer the model writes others, and nothing waits
for a batch. A uniformly random verified answer among n has the same distribution as the first verified one, so by
default an instruction is sampled no further than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import nan
from typing import Protocol

from selfcodealign.generation.few_shot_file import FewShotFile
from selfcodealign.generation.question import Answer, Question
from selfcodealign.models import Model, Sampling
from selfcodealign.rows import Dropped, Instruction, Response, digest
from selfcodealign.sandbox import Program, Verdict
from selfcodealign.settings import ExecutionSettings, FewShotSettings, ResponseSettings


class RunsPrograms(Protocol):
    """What answers are judged by: the sandbox."""

    async def run(self, program: Program) -> Verdict: ...


class Answerer:
    """Samples answers to one instruction at a time: one after the other while verified ones are still wanted, or all
    at once when `stop_after_passes` is 0, since no answer then depends on another's verdict."""

    def __init__(
        self,
        model: Model,
        sandbox: RunsPrograms,
        few_shot: FewShotFile,
        settings: ResponseSettings,
        execution: ExecutionSettings,
        few: FewShotSettings,
        random_seed: int,
    ) -> None:
        self._sandbox = sandbox
        self._settings = settings
        sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens)
        self._question = Question(
            model, few_shot, "responses", ("response", "tests"), settings.examples, few.draws, sampling, random_seed
        )
        self.digest = digest(settings.result_digest(), execution.result_digest(), self._question.digest)

    async def __call__(self, row: Instruction) -> Sequence[Response | Dropped]:
        prompt = self._question.lay_out(row.id, {"instruction": row.instruction})
        if self._settings.stop_after_passes == 0:
            samples = range(self._settings.samples)
            return await asyncio.gather(*(self._sample(row, prompt, sample) for sample in samples))
        outcome: list[Response | Dropped] = []
        verified = 0
        for sample in range(self._settings.samples):
            one = await self._sample(row, prompt, sample)
            outcome.append(one)
            verified += isinstance(one, Response)
            if verified == self._settings.stop_after_passes:
                break
            if isinstance(one, Dropped) and one.reason == "prompt_too_long":
                break  # the other samples have the same prompt
        return outcome

    async def _sample(self, row: Instruction, prompt: str, sample: int) -> Response | Dropped:
        answer = await self._question.ask(prompt, row.id, sample)
        response_id = digest(row.id, self.digest, sample)
        if answer.problem:
            written = row.fields() | {"response_id": response_id, "sample": sample, "completion": answer.text}
            return Dropped(parent=row.id, reason=answer.problem, detail=answer.detail, row=written)
        program = Program(response=answer.sections["response"], tests=answer.sections["tests"])
        response = _grow(row, response_id, sample, answer, await self._sandbox.run(program))
        if response.status == "passed":
            return response
        return Dropped(parent=row.id, reason=response.status, detail=response.message, row=response.fields())


def _grow(row: Instruction, response_id: str, sample: int, answer: Answer, verdict: Verdict) -> Response:
    return Response(
        **row.fields(),
        response_id=response_id,
        sample=sample,
        completion=answer.text,
        response=answer.sections["response"],
        tests=answer.sections["tests"],
        status=str(verdict.status),
        error_type=verdict.error_type,
        message=verdict.message,
        line=verdict.line if verdict.line is not None else -1,
        output=verdict.output,
        seconds=verdict.seconds,
        peak_memory_mib=verdict.peak_memory_mib,
        mutation_score=nan if verdict.mutation_score is None else verdict.mutation_score,
    )
