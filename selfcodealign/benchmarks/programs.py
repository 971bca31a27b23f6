"""The sandbox program that runs the judge: its data arrives on standard input, its report leaves as a record."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfcodealign.benchmarks import Grade, not_judged
from selfcodealign.benchmarks.inside.task import PART_HEAD
from selfcodealign.sandbox import Limits, Program

if TYPE_CHECKING:
    from selfcodealign.sandbox import Verdict

#: The module that the sandbox's servers load in advance. Programs import it as `benchmark_judge`, because the sandbox
#: hides the project's modules from them; mentioning its name sends a program to a server that has loaded it.
JUDGE_MODULE = "selfcodealign.benchmarks.inside.session"
#: The folder that those servers must be able to read: the judge and its imports.
JUDGE_FOLDER = str(Path(__file__).resolve().parent)
_RESPONSE = f"""
if False:
    import {JUDGE_MODULE}
from benchmark_judge import run_session
"""
_TESTS = "run_session(__record__)\n"


def judge_program(kind: str, data: Mapping[str, Any], seconds: float, late: Mapping[str, Any] | None = None) -> Program:
    """Return a program whose judge does work of this `kind` on `data` (plain builtins) in `seconds` of CPU time.

    The judge reads `late` only after it has started the answers' processes.
    """
    parts = [base64.b64encode(pickle.dumps(part)).decode("ascii") for part in ((kind, dict(data)), dict(late or {}))]
    stdin = "".join(f"{len(part):0{PART_HEAD}}{part}" for part in parts)
    limits = Limits(seconds=seconds, cpu_seconds=seconds)
    return Program(response=_RESPONSE, tests=_TESTS, kind="check", stdin=stdin, limits=limits, mutation_testing=False)


def read_report(verdict: Verdict) -> dict[str, Any] | None:
    """Return the judge's report; None when there is none: then the verdict has the reason, and no answer is judged."""
    if not verdict.passed or not verdict.records or not isinstance(verdict.records[-1], dict):
        return None
    return verdict.records[-1]


def read_grades(score: str, verdict: Verdict, count: int) -> list[Grade]:
    """Return the grades of `count` answers whose judge reports (status, message, seconds) for each, in one score."""
    report = read_report(verdict)
    if report is not None and "broken" in report:
        return [not_judged(f"the benchmark's own solution does not pass here: {report['broken']}")] * count
    if report is not None:
        return [_grade(score, *one) for one in report["answers"]]
    detail = f"{verdict.error_type} {verdict.message}".strip()
    if count == 1 and verdict.status in ("memory", "blocked", "timeout"):
        # The answer caused it: the judge itself stays far below the limits.
        return [Grade(status=str(verdict.status), values={score: 0.0}, detail=detail)]
    return [not_judged(f"{verdict.status}: {detail}")] * count


def _grade(score: str, status: str, message: str, seconds: float) -> Grade:
    shown = {"pass": "passed", "wrong": "failed", "time": "timeout"}.get(status, status)
    return Grade(status=shown, values={score: float(status == "pass")}, detail=message, seconds=seconds)
