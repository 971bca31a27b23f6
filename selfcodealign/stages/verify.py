"""Imported instruction → response: the given response runs against the given tests. No model is asked."""

from __future__ import annotations

from typing import Any

from selfcodealign.rows import Dropped, Imported, Response, digest
from selfcodealign.settings import VerifySettings
from selfcodealign.stages import Each
from selfcodealign.stages.answering import Taker
from selfcodealign.stages.context import Context

_NAME = "verify"


class Verifier:
    """Keeps responses that pass, or with `verify.execute = false` all of them, as rows that were not run."""

    def __init__(self, context: Context) -> None:
        self._execute = context.recipe.verify.execute
        self._take = Taker(context, _NAME, execute=self._execute)
        execution = context.recipe.execution.result_digest() if self._execute else ""
        self._digest = digest(_NAME, execution)

    async def __call__(self, row: Imported) -> list[Response | Dropped]:
        if not row.given_response.strip():
            return [Dropped(parent=row.id, reason="without_response", detail="", row=row.fields())]
        if self._execute and not row.given_tests.strip():
            return [Dropped(parent=row.id, reason="without_tests", detail="", row=row.fields())]
        sections = {"response": row.given_response, "tests": row.given_tests}
        return [await self._take(row, digest(row.id, self._digest), 0, row.given_response, sections)]


def _decided_by(context: Context) -> dict[str, Any]:
    """Nothing of the sandbox decides rows that are not run."""
    return context.deciding(_NAME, *(["execution"] if context.recipe.verify.execute else []))


VERIFY = Each(
    name=_NAME,
    takes=Imported,
    gives=Response,
    settings=VerifySettings,
    needs=("sandbox",),
    executes=lambda context: context.recipe.verify.execute,
    decided_by=_decided_by,
    build=Verifier,
    rows_at_once=lambda context: 2 * context.cores,
)
