"""HumanEval (Chen et al. 2021, arXiv 2107.03374) and HumanEval+ (Liu et al. 2023, arXiv 2305.01210).

Two formats are read: EvalPlus's release file (inputs, compared with the reference's values) and OpenAI's own (a `test`
that defines `check(candidate)`). HumanEval+ is reported as EvalPlus does: `humaneval` uses the base
inputs, `humaneval+` requires the base inputs and the extra ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfcodealign.benchmarks import Problem
from selfcodealign.benchmarks.answers import complete
from selfcodealign.benchmarks.assertions import AssertionProblem
from selfcodealign.benchmarks.differential import CallProblem, DifferentialBenchmark
from selfcodealign.benchmarks.problem_files import Row, Source, check_fields
from selfcodealign.errors import BenchmarkError

# EvalPlus's file serves `humaneval`, too: its base inputs.
_PLUS_VERSIONS = {
    "84f4b93a1270b492e4c54d5212da7a5b": "HumanEval+ v0.1.9",
    "fe585eb4df8c88d844eeb463ea4d0302": "HumanEval+ v0.1.10",
}
OFFICIAL = Source(
    hub="openai/openai_humaneval", versions={"88771747746422b8669027625578460c": "HumanEval"} | _PLUS_VERSIONS
)
PLUS = Source(
    url="https://github.com/evalplus/humanevalplus_release/releases/download/v0.1.10/HumanEvalPlus.jsonl.gz",
    versions=_PLUS_VERSIONS,
)


class HumanEval(DifferentialBenchmark[Problem]):
    """`plus` runs the extra inputs as well."""

    begins_program = True

    def __init__(self, plus: bool) -> None:
        self.plus = plus
        self.name = "humaneval+" if plus else "humaneval"
        self.source = PLUS if plus else OFFICIAL
        self.scores = ("humaneval", "humaneval+") if plus else ("humaneval",)

    def problems(self, rows: Sequence[Row]) -> list[Problem]:
        return [self._read(row) for row in rows]

    def _read(self, row: Row) -> Problem:
        check_fields(self.name, row, ("task_id", "prompt", "entry_point", "canonical_solution"))
        texts = {
            "task_id": str(row["task_id"]),
            "prompt": row["prompt"],
            "instruction": ask(row["prompt"]),
            "entry_point": row["entry_point"],
            "reference": row["prompt"] + row["canonical_solution"],
        }
        if "base_input" in row:
            calls = {"base": row["base_input"], "plus": row["plus_input"]} if self.plus else {"base": row["base_input"]}
            return CallProblem(
                **texts, suites=calls, shown=calls, rule="humaneval", oracle=row["entry_point"], atol=row["atol"]
            )
        if self.plus:
            raise BenchmarkError("humaneval+ needs EvalPlus's problem file (with base_input and plus_input)")
        check_fields(self.name, row, ("test",))
        return AssertionProblem(**texts, tests=f"{row['test']}\n\ncheck({row['entry_point']})\n")

    def join(self, problem: Problem, code: str) -> str:
        return complete(problem.prompt, code)

    def values(self, passed: Mapping[str, bool]) -> Mapping[str, bool]:
        base = {"humaneval": passed["base"]}
        return base | {"humaneval+": passed["base"] and passed["plus"]} if self.plus else base


def ask(prompt: str) -> str:
    """Return the instruction for a tuned model, in the wording of the paper's evaluation."""
    return f"Write a Python function to solve the following task:\n```python\n{prompt.strip()}\n```"
