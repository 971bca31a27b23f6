"""Benchmarks that judge by calling a function: their sandbox programs, and the reading of the reports.

These benchmarks do not store expected values: the reference solution computes them from the same inputs, in the same
program, only as far as an answer gets. The judge is `selfcodealign.benchmarks.inside`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfcodealign.benchmarks import Benchmark, Grade, P, Problem, Suite, not_judged
from selfcodealign.benchmarks.assertions import AssertionProblem, assertion_outcome, assertion_program
from selfcodealign.benchmarks.programs import judge_program, read_report
from selfcodealign.benchmarks.reference_cache import read_values, write_values

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program, Verdict

#: EvalPlus's time limits: at least a second per call, or four times what the reference took; a minute for a suite.
FLOOR_SECONDS, REFERENCE_FACTOR, SUITE_SECONDS = 1.0, 4.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallProblem(Problem):
    """A task judged by calls of `entry_point`.

    `suites` holds the calls of each suite: lists of arguments, or texts of arguments where `written`. `expected` holds
    the values where no `reference` computes them. `floor` and `total` limit a call and a suite, in seconds.
    `rule` and `oracle` name the comparison (`inside.oracles.find_check`); `shown` holds the suites' calls as in the
    problem file, for reports.
    """

    suites: Mapping[str, Sequence[Any]]
    shown: Mapping[str, Sequence[Any]]
    rule: str
    oracle: str
    atol: float = 0.0
    written: bool = False
    expected: Mapping[str, Sequence[Any]] | None = None
    floor: float = FLOOR_SECONDS
    total: float = SUITE_SECONDS


def pack_task(problem: CallProblem) -> bytes:
    """Pack a task for `inside.task.Task`: a pickle of plain builtins, with the suites pickled inside it."""
    return pickle.dumps(
        {
            "entry_point": problem.entry_point,
            "reference": problem.reference,
            # Bytes, because every process that uses the arguments unpickles its own copy.
            "suites": pickle.dumps({name: list(calls) for name, calls in problem.suites.items()}),
            "rule": problem.rule,
            "oracle": problem.oracle,
            "atol": problem.atol,
            "written": problem.written,
            "floor": problem.floor,
            "factor": REFERENCE_FACTOR,
            "total": problem.total,
        }
    )


def pack_late(problem: CallProblem) -> dict[str, Any]:
    """Return what the judge reads after it has started the answers' processes: the expected values that are known."""
    if problem.expected is not None:
        return {"expected": {name: list(values) for name, values in problem.expected.items()}}
    return {"kept": read_values(task_digest(problem))}


def task_digest(problem: CallProblem) -> str:
    """Return the digest of all that decides a task's expected values."""
    fields = (problem.task_id, problem.entry_point, problem.reference, problem.rule, problem.oracle, problem.written)
    calls = json.dumps([*fields, {name: list(one) for name, one in problem.shown.items()}], default=repr)
    return hashlib.sha256(calls.encode("utf-8", "surrogatepass")).hexdigest()


class DifferentialBenchmark(Benchmark[P]):
    """Judges by calls; subclasses compute their scores from the suites.

    Tasks that have assertions instead (the original files of HumanEval and MBPP) are judged by those.
    """

    answers_per_program = 8

    def answers_at_once(self, problem: P) -> int:
        return 1 if isinstance(problem, AssertionProblem) else self.answers_per_program

    def weight(self, problem: P) -> float:
        """Return the largest integer argument: slow tasks mostly count up to one."""
        if not isinstance(problem, CallProblem):
            return 0.0
        arguments = (one for calls in problem.suites.values() for call in calls for one in call)
        return max((float(min(abs(one), 10**15)) for one in arguments if type(one) is int), default=0.0)

    def program(self, problem: P, codes: Sequence[str]) -> Program:
        if isinstance(problem, AssertionProblem):
            return assertion_program(problem, codes)
        assert isinstance(problem, CallProblem)
        # The judge enforces the limits; this one is for the case that it cannot. `+ 1` is the reference's run.
        seconds = 3 * problem.total * len(problem.suites) * (len(codes) + 1) + 30
        return judge_program("calls", {"task": pack_task(problem), "answers": list(codes)}, seconds, pack_late(problem))

    def outcomes(self, problem: P, verdict: Verdict, count: int) -> list[Grade]:
        if isinstance(problem, AssertionProblem):
            return assertion_outcome(self.scores[0], verdict, problem)
        report = read_report(verdict)
        if report is None:
            return self._failed_judge(problem, verdict) if count == 1 else [not_judged(str(verdict.status))] * count
        if "broken" in report:
            return [not_judged(f"the benchmark's own solution does not run here: {report['broken']}")] * count
        if report.get("kept"):
            assert isinstance(problem, CallProblem)
            write_values(task_digest(problem), base64.b64decode(report["kept"]))
        return [self._outcome(suites) for suites in report["answers"]]

    def _failed_judge(self, problem: P, verdict: Verdict) -> list[Grade]:
        """Return the outcome when a judge of a single answer could not finish.

        When the program exceeded its limits or tampered with the sandbox's report, the answer caused it (the reference
        stays far below the limits). Anything else is a fault of the machine or of this package.
        """
        detail = f"{verdict.error_type} {verdict.message}".strip()
        if verdict.status not in ("memory", "blocked", "timeout"):
            return [not_judged(f"{verdict.status}: {detail}")]
        suites = {name: Suite(status="fail", message=detail) for name in self.suite_names(problem)}
        values = self.values(dict.fromkeys(suites, False))
        values = {score: float(value) for score, value in values.items()}
        return [Grade(status=str(verdict.status), values=values, detail=detail, suites=suites)]

    def suite_names(self, problem: P) -> tuple[str, ...]:
        """Return the names of the suites that a report on this task has."""
        assert isinstance(problem, CallProblem)
        return tuple(problem.suites)

    def _outcome(self, found: Mapping[str, Mapping[str, Any]]) -> Grade:
        suites = {
            name: Suite(status=one["status"], index=one["index"], message=one.get("message", ""))
            for name, one in found.items()
        }
        passed = {name: suite.status == "pass" for name, suite in suites.items()}
        values = {score: float(value) for score, value in self.values(passed).items()}
        if all(passed.values()):
            status, detail = "passed", ""
        else:
            name, first = next((name, one) for name, one in found.items() if one["status"] != "pass")
            status = {"time": "timeout", "error": "error", "crashed": "crashed"}.get(first["kind"], "failed")
            where = f"{name} test {first['index']}" if first["index"] >= 0 else "defining the function"
            detail = f"{where}: {first['message']}"
        seconds = sum(one["seconds"] for one in found.values())
        return Grade(status=status, values=values, detail=detail, suites=suites, seconds=seconds)

    def values(self, passed: Mapping[str, bool]) -> Mapping[str, bool]:
        """Return the scores of an answer from the suites it passed; by default the one score requires all suites."""
        return {self.scores[0]: all(passed.values())}
