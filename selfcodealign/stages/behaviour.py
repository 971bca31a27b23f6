"""Seed → seed: a function that returns a benchmark task's results for its arguments is that task, and goes.

For rows that have an answer already, the answer's functions are tried as well. A function that cannot run alone, or
runs out of time, is kept, and counted.
"""

from __future__ import annotations

from itertools import groupby

from selfcodealign.curation.contamination import Hit
from selfcodealign.curation.contamination.behaviour import Behaviours, find_candidates
from selfcodealign.fences import extract_python
from selfcodealign.parsing import Parser
from selfcodealign.rows import Dropped, Seed
from selfcodealign.stages import Each
from selfcodealign.stages.context import Context

NAME = "behaviour"


class TryBehaviour:
    """Runs the functions of a row in the sandbox on the arguments of every task that takes as many."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known = Behaviours.collect(context.benchmark_texts.loaded)
        generic = self._known.generic
        context.folder.record({"generic_behaviour": {name: sorted(tasks) for name, tasks in generic.items()}})

    async def __call__(self, row: Seed) -> list[Seed | Dropped]:
        for text in (row.seed, getattr(row, "response", "") or getattr(row, "given_response", "")):
            if text and (hit := await self._try(text)):
                return [Dropped(parent=row.id, reason="contaminated", detail=str(hit), row=row.fields())]
        return [row]

    async def _try(self, text: str) -> Hit | None:
        parser = Parser(sessions=False)
        code = text if parser.parse(text) else extract_python(text)
        tree = parser.parse(code)
        candidates = find_candidates(code, tree) if tree else {}
        by_arity = sorted(candidates.items(), key=lambda one: one[1])
        for arity, group in groupby(by_arity, key=lambda one: one[1]):
            program = self._known.program(code, dict(group))
            if program is None:
                continue
            verdict = await self._context.sandbox.run(program)
            if found := self._known.read(verdict, arity):
                name, task = found
                shown = "; ".join(f"{arguments} -> {result!r}" for arguments, result in task.calls[:3])
                return Hit(
                    "behaviour", task.benchmark, task.task, shown[:160], f"{name} in {' '.join(code.split())[:140]}"
                )
            self._context.count(NAME, "functions tried" if verdict.passed else "functions that could not be tried")
        return None


BEHAVIOUR = Each(
    name=NAME,
    takes=Seed,
    gives=Seed,
    needs=("sandbox",),
    decided_by=lambda context: context.benchmarks(),
    build=TryBehaviour,
    rows_at_once=lambda context: 2 * context.cores,
)
