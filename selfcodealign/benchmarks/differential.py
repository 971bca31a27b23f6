"""Benchmarks that judge by calling a function: their programs for the sandbox, and how to read what comes back.

Expected values are not stored in these benchmarks: they come from running the reference solution on the same inputs,
in the same program, only as far as an answer gets. The judge itself is `selfcodealign.benchmarks.inside`.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfcodealign.benchmarks import Benchmark, Outcome, P, Problem, Suite, not_judged
from selfcodealign.benchmarks.assertions import AssertionProblem, assertion_outcome, assertion_program
from selfcodealign.benchmarks.programs import judge_program, read_report

if TYPE_CHECKING:
    from selfcodealign.sandbox import Program, Verdict

#: EvalPlus's time limits: at least a second per call, or four times what the reference took; a minute for a suite.
FLOOR_SECONDS, REFERENCE_FACTOR, SUITE_SECONDS = 1.0, 4.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallProblem(Problem):
    """A task judged by calls of `entry_point`.

    `suites` holds the calls of each suite: lists of arguments, or texts of arguments where `written`. `expected` holds
    the values where there is no `reference` to compute them. `floor` and `total` limit a call and a suite, in seconds.
    `rule` and `oracle` name the comparison (`inside.oracles.find_check`); `shown` is the suites' calls as the problem
    file has them, for reports.
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
    """A task as `inside.calls.Task` reads it: a pickle of plain builtins, the suites pickled once more."""
    return pickle.dumps(
        {
            "entry_point": problem.entry_point,
            "reference": problem.reference,
            # Bytes, because every process that needs the arguments unpickles a copy of its own.
            "suites": pickle.dumps({name: list(calls) for name, calls in problem.suites.items()}),
            "expected": {name: list(values) for name, values in (problem.expected or {}).items()},
            "rule": problem.rule,
            "oracle": problem.oracle,
            "atol": problem.atol,
            "written": problem.written,
            "floor": problem.floor,
            "factor": REFERENCE_FACTOR,
            "total": problem.total,
        }
    )


class DifferentialBenchmark(Benchmark[P]):
    """Judges by calls; subclasses say what their scores are made of.

    Tasks that come with assertions instead (the original files of HumanEval and MBPP) are judged by those.
    """

    answers_per_program = 8

    def answers_at_once(self, problem: P) -> int:
        return 1 if isinstance(problem, AssertionProblem) else self.answers_per_program

    def weight(self, problem: P) -> float:
        """The largest whole number among the arguments: what takes long here mostly counts up to one."""
        if not isinstance(problem, CallProblem):
            return 0.0
        arguments = (one for calls in problem.suites.values() for call in calls for one in call)
        return max((float(min(abs(one), 10**15)) for one in arguments if type(one) is int), default=0.0)

    def program(self, problem: P, codes: Sequence[str]) -> Program:
        if isinstance(problem, AssertionProblem):
            return assertion_program(problem, codes)
        assert isinstance(problem, CallProblem)
        # The judge keeps the time itself; this is for the case that it cannot. The reference runs once more.
        seconds = 3 * problem.total * len(problem.suites) * (len(codes) + 1) + 30
        return judge_program("calls", {"task": pack_task(problem), "answers": list(codes)}, seconds)

    def outcomes(self, problem: P, verdict: Verdict, count: int) -> list[Outcome]:
        if isinstance(problem, AssertionProblem):
            return assertion_outcome(self.scores[0], verdict, problem)
        report = read_report(verdict)
        if report is None:
            return self._brought_down(problem, verdict) if count == 1 else [not_judged(str(verdict.status))] * count
        if "broken" in report:
            return [not_judged(f"the benchmark's own solution does not run here: {report['broken']}")] * count
        return [self._outcome(suites) for suites in report["answers"]]

    def _brought_down(self, problem: P, verdict: Verdict) -> list[Outcome]:
        """What to make of a judge that could not finish with a single answer.

        Beyond the limits of all processes together, or caught at the sandbox's own report: that was the answer (the
        reference stays far below). Anything else is the machine's fault or ours.
        """
        detail = f"{verdict.error_type} {verdict.message}".strip()
        if verdict.status not in ("memory", "blocked", "timeout"):
            return [not_judged(f"{verdict.status}: {detail}")]
        assert isinstance(problem, CallProblem)
        suites = {name: Suite(status="fail", message=detail) for name in problem.suites}
        values = self.values(dict.fromkeys(suites, False))
        values = {score: float(value) for score, value in values.items()}
        return [Outcome(status=str(verdict.status), values=values, detail=detail, suites=suites)]

    def _outcome(self, found: Mapping[str, Mapping[str, Any]]) -> Outcome:
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
        return Outcome(status=status, values=values, detail=detail, suites=suites, seconds=seconds)

    def values(self, passed: Mapping[str, bool]) -> Mapping[str, bool]:
        """The scores of an answer from which suites it passed: by default the one score wants all of them."""
        return {self.scores[0]: all(passed.values())}
