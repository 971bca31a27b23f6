"""Imported instruction → response: the given response runs against the given tests. No model is asked."""

from __future__ import annotations

from typing import Any

from selfcodealign.fences import read_answer, read_tests
from selfcodealign.judging.stored import not_run_fields, verdict_fields
from selfcodealign.rows import Dropped, Imported, Response, digest, grow
from selfcodealign.sandbox import Program, Status
from selfcodealign.settings import VerifySettings
from selfcodealign.stages import Each
from selfcodealign.stages.context import Context
from selfcodealign.stages.responses import SPLIT_PROOF
from selfcodealign.stages.siblings import unmeasured

_NAME = "verify"


class Verifier:
    """Keeps responses that pass, or with `verify.execute = false` all of them, as rows that were not run."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._execute = context.recipe.verify.execute
        execution = context.recipe.execution.result_digest() if self._execute else ""
        self._digest = digest(_NAME, execution)

    async def __call__(self, row: Imported) -> list[Response | Dropped]:
        if not row.given_response.strip():
            return [Dropped(parent=row.id, reason="without_response", detail="", row=row.fields())]
        if self._execute and not row.given_tests.strip():
            return [Dropped(parent=row.id, reason="without_tests", detail="", row=row.fields())]
        reading, tests = read_answer(row.given_response), read_tests(row.given_tests)
        program = Program(response=reading.text, tests=tests.text)
        repairs = ", ".join(dict.fromkeys((*reading.repairs, *tests.repairs)))
        if not self._execute:
            return [self._grow(row, program, repairs, not_run_fields())]
        verdict = await self._context.sandbox.run(program)
        response = self._grow(row, program, repairs, verdict_fields(verdict))
        if verdict.status is not Status.PASSED:
            return [Dropped(parent=row.id, reason=response.status, detail=response.message, row=response.fields())]
        if response.proof == "split":
            self._context.count(_NAME, SPLIT_PROOF)
        return [response]

    def _grow(self, row: Imported, program: Program, repairs: str, verdict: dict[str, Any]) -> Response:
        return grow(
            row,
            Response,
            response_id=digest(row.id, self._digest),
            sample=0,
            completion=row.given_response,
            response=program.response,
            tests=program.tests,
            repairs=repairs,
            **verdict,
            **unmeasured(),
        )


def _decided_by(context: Context) -> dict[str, Any]:
    """Nothing of the sandbox decides rows that are not run."""
    return context.deciding(_NAME, *(["execution"] if context.recipe.verify.execute else []))


VERIFY = Each(
    name=_NAME,
    takes=Imported,
    gives=Response,
    settings=VerifySettings,
    needs=("sandbox",),
    decided_by=_decided_by,
    build=Verifier,
    rows_at_once=lambda context: 2 * context.cores,
)
