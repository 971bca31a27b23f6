"""CanItEdit (Cassano et al. 2023, arXiv 2312.12450): change a program as an instruction says.

Every problem is asked twice, with a descriptive and with a lazy instruction, and each kind has its own score. An
answer is the whole changed program; the hidden tests run after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from selfcodealign.benchmarks import Benchmark, Grade, Mode, Prompt
from selfcodealign.benchmarks.assertions import (
    AssertionProblem,
    assertion_outcome,
    assertion_program,
    imported_modules,
)
from selfcodealign.benchmarks.problem_files import Row, Source, check_fields

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program, Verdict

KINDS = ("descriptive", "lazy")
#: Some tests train small networks or wait for threads; the authors' harness allows 30 s.
SECONDS = 30.0


class CanItEdit(Benchmark[AssertionProblem]):
    """Both kinds of instructions from one file; `group` is the kind."""

    name = "canitedit"
    source = Source(hub="nuprl/CanItEdit", versions={"1517f71207d8624ece2c56e2e4aba21d": "CanItEdit, 105 problems"})
    scores = ("canitedit-descriptive", "canitedit-lazy")

    def problems(self, rows: Sequence[Row]) -> list[AssertionProblem]:
        return [self._read(row, kind) for row in rows for kind in KINDS]

    def _read(self, row: Row, kind: str) -> AssertionProblem:
        check_fields(self.name, row, ("full_name", "before", "after", "tests", f"instruction_{kind}"))
        wanted = row[f"instruction_{kind}"]
        return AssertionProblem(
            task_id=f"{row['full_name']}/{kind}",
            prompt=f"## Code Before:\n{row['before']}\n## Instruction:\n{wanted}\n## Code After:\n",
            instruction=f"{wanted}\n```python\n{row['before']}\n```",
            reference=row["after"],
            group=kind,
            tests=row["tests"],
            libraries=imported_modules(f"{row['before']}\n{row['tests']}"),
        )

    def prompt(self, problem: AssertionProblem, mode: Mode) -> Prompt:
        if mode == "completion":
            return Prompt(problem.prompt, stop=("## Code After:", "## Instruction:", "## Code Before:", "\n```"))
        return super().prompt(problem, mode)

    def program(self, problem: AssertionProblem, codes: Sequence[str]) -> Program:
        return assertion_program(problem, codes, SECONDS)

    def outcomes(self, problem: AssertionProblem, verdict: Verdict, count: int) -> list[Grade]:
        return assertion_outcome(f"canitedit-{problem.group}", verdict, problem)
