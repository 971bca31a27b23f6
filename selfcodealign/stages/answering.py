"""What a written answer becomes: it is run, or taken unverified, and grows its instruction into a response or a drop.

Every stage that gets answers uses it: `responses`, and stages that write tasks and answers together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfcodealign.fences import read_answer, read_tests
from selfcodealign.judging.stored import not_run_fields, verdict_fields
from selfcodealign.rows import Dropped, Instruction, Response, grow
from selfcodealign.sandbox import Program
from selfcodealign.stages.context import Context
from selfcodealign.stages.siblings import unmeasured

#: The name under which a run counts answers that passed apart from their tests.
SPLIT_PROOF = "verified with split proof"


class Taker:
    """Takes written answers for one stage: reads them, runs them in the sandbox where the recipe executes anything.

    With `execute` false nothing is run: every answer that could be read is taken, its status says "not_run".
    """

    def __init__(self, context: Context, stage: str, *, execute: bool = True) -> None:
        self._sandbox = context.sandbox if execute else None
        self._count, self._stage = context.count, stage
        #: Programs that wait for the sandbox or run in it.
        self.executing = 0

    async def __call__(
        self,
        row: Instruction,
        response_id: str,
        sample: int,
        completion: str,
        sections: Mapping[str, str],
        repairs: Sequence[str] = (),
    ) -> Response | Dropped:
        """Take one answer: its sections "response" and, where there are tests, "tests", as they were written."""
        # What is verified is what the data set holds: the sections as they were read, not as they were written.
        reading, tests = read_answer(sections["response"]), read_tests(sections.get("tests", ""))
        program = Program(response=reading.text, tests=tests.text)
        response = grow(
            row,
            Response,
            response_id=response_id,
            sample=sample,
            completion=completion,
            response=program.response,
            tests=program.tests,
            repairs=", ".join(dict.fromkeys((*repairs, *reading.repairs, *tests.repairs))),
            **await self._judge(program),
            **unmeasured(),
        )
        if self._sandbox is None:
            return response
        if response.status == "passed":
            if response.proof == "split":
                self._count(self._stage, SPLIT_PROOF)
            return response
        return Dropped(parent=row.id, reason=response.status, detail=response.message, row=response.fields())

    async def _judge(self, program: Program) -> dict[str, Any]:
        if self._sandbox is None:
            return not_run_fields()
        self.executing += 1
        try:
            return verdict_fields(await self._sandbox.run(program))
        finally:
            self.executing -= 1
