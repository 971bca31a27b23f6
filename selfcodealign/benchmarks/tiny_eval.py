"""tiny-eval, a small benchmark in HumanEval's format; it is part of the package and needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from selfcodealign.benchmarks import Benchmark, Grade
from selfcodealign.benchmarks.answers import complete
from selfcodealign.benchmarks.assertions import AssertionProblem, assertion_outcome, assertion_program
from selfcodealign.benchmarks.problem_files import Row, Source, check_fields

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program, Verdict


class TinyEval(Benchmark[AssertionProblem]):
    """Tasks of which a model with a few million parameters can solve some."""

    begins_program = True
    name = "tiny-eval"
    source = Source(packaged="tiny_eval.jsonl")
    scores = ("tiny-eval",)

    def problems(self, rows: Sequence[Row]) -> list[AssertionProblem]:
        return [self._read(row) for row in rows]

    def _read(self, row: Row) -> AssertionProblem:
        fields = ("task_id", "instruction", "prompt", "entry_point", "canonical_solution", "test")
        check_fields(self.name, row, fields)
        return AssertionProblem(
            task_id=row["task_id"],
            prompt=row["prompt"],
            instruction=row["instruction"],
            entry_point=row["entry_point"],
            reference=row["prompt"] + row["canonical_solution"],
            tests=f"{row['test'].rstrip()}\n\ncheck({row['entry_point']})\n",
            # The embedded model's fence token includes the line end, so the model writes the fence itself.
            response_prefix="",
            family=str(row.get("key", "")),
        )

    def join(self, problem: AssertionProblem, code: str) -> str:
        return complete(problem.prompt, code)

    def program(self, problem: AssertionProblem, codes: Sequence[str]) -> Program:
        return assertion_program(problem, codes)

    def outcomes(self, problem: AssertionProblem, verdict: Verdict, count: int) -> list[Grade]:
        return assertion_outcome(self.name, verdict, problem)
