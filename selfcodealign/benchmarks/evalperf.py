"""EvalPerf (Liu et al. 2024, arXiv 2408.06450): the efficiency of correct answers.

A task has a performance-exercising input and reference solutions from slow to fast, each with the share of answers it
beats. A correct answer gets the score of the fastest reference that it is at least as fast as (DPS), and the rank of
that reference among them (DPS_norm). Two things differ from EvalPerf's own tool: it counts processor instructions,
which the walls forbid, so here the median CPU time of three runs, alternating with the references, is taken; and an
answer is correct when it returns the fastest reference's value on that input, because the data has no other tests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from selfcodealign.benchmarks import Grade
from selfcodealign.benchmarks.answers import complete
from selfcodealign.benchmarks.differential import CallProblem, DifferentialBenchmark, pack_late, pack_task
from selfcodealign.benchmarks.humaneval import ask
from selfcodealign.benchmarks.inside.timing import SECONDS
from selfcodealign.benchmarks.mbpp import shape_calls
from selfcodealign.benchmarks.problem_files import Row, Source, check_fields
from selfcodealign.benchmarks.programs import judge_program, read_report

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program, Verdict

SUITES = ("performance",)


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceProblem(CallProblem):
    """`references` are complete solutions from slow to fast, `ranks` their scores (0..100)."""

    references: tuple[str, ...]
    ranks: tuple[float, ...]


class EvalPerf(DifferentialBenchmark[PerformanceProblem]):
    """`evalperf` is the share of right answers; `evalperf-dps` and `evalperf-dps-norm` are means over right ones."""

    begins_program = True
    name = "evalperf"
    source = Source(hub="evalplus/evalperf")
    scores = ("evalperf-dps", "evalperf-dps-norm", "evalperf")

    def problems(self, rows: Sequence[Row]) -> list[PerformanceProblem]:
        return [self._read(row) for row in rows]

    def _read(self, row: Row) -> PerformanceProblem:
        check_fields(self.name, row, ("task_id", "entry_point", "pe_input", "reference", "scores"))
        calls = json.loads(row["pe_input"]) if isinstance(row["pe_input"], str) else row["pe_input"]
        mbpp = row["task_id"].startswith("Mbpp/")
        prompt = row.get("prompt", "")
        return PerformanceProblem(
            task_id=row["task_id"],
            prompt=prompt,
            instruction=ask(prompt or f"def {row['entry_point']}(...): ..."),
            entry_point=row["entry_point"],
            reference=row["reference"][-1],
            suites={"performance": (shape_calls(row["task_id"], calls) if mbpp else calls)[:1]},
            shown={"performance": calls[:1]},
            rule="mbpp" if mbpp else "humaneval",
            oracle=row["entry_point"],
            # A slow answer can be correct; the timing has its own limit.
            floor=SECONDS,
            references=tuple(row["reference"]),
            ranks=tuple(row["scores"]),
        )

    def join(self, problem: PerformanceProblem, code: str) -> str:
        return complete(problem.prompt, code) if problem.prompt else code

    def program(self, problem: PerformanceProblem, codes: Sequence[str]) -> Program:
        data = {"task": pack_task(problem), "references": list(problem.references), "answers": list(codes)}
        seconds = 45.0 * 3 * (len(codes) + len(problem.references)) + 60
        return judge_program("timing", data, seconds, pack_late(problem))

    def outcomes(self, problem: PerformanceProblem, verdict: Verdict, count: int) -> list[Grade]:
        found = super().outcomes(problem, verdict, count)
        report = read_report(verdict)
        if report is None or "broken" in report:
            return found
        return [
            replace(outcome, values={"evalperf": float(outcome.status == "passed")} | rank(problem, measured))
            for outcome, measured in zip(found, report["answers"], strict=True)
        ]

    def _outcome(self, found: Mapping[str, Any]) -> Grade:
        return super()._outcome({name: suite for name, suite in found.items() if name in SUITES})


def rank(problem: PerformanceProblem, measured: Mapping[str, Any]) -> dict[str, float]:
    """Return DPS and DPS_norm (0..1) of a correct answer from the costs; nothing for a wrong one."""
    if "cost" not in measured:
        return {}
    count = len(problem.ranks)
    # From the fastest reference on: the first one that the answer is at least as fast as.
    for place in reversed(range(count)):
        if measured["cost"] <= measured["costs"][place]:
            return {"evalperf-dps": problem.ranks[place] / 100, "evalperf-dps-norm": (place + 1) / count}
    return {"evalperf-dps": 0.0, "evalperf-dps-norm": 0.0}
