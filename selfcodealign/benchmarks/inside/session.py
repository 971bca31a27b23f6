"""The entry point of a judge: read the work from standard input, do it, report it as one record."""

from __future__ import annotations

import base64
import pickle
import sys
from collections.abc import Callable
from typing import Any

from selfcodealign.benchmarks.inside import calls, predictions, scripts, timing, unit_tests
from selfcodealign.benchmarks.inside.reference import BrokenReference
from selfcodealign.benchmarks.inside.task import Task

# The sandbox removes the project's modules from `sys.modules`, so that no program finds its harness through them.
sys.modules["benchmark_judge"] = sys.modules[__name__]

_WORK: dict[str, Callable[[dict[str, Any]], list]] = {
    "calls": lambda data: calls.judge(Task(data["task"]), data["answers"]),
    "scripts": lambda data: scripts.judge(data["tests"], data["answers"], data["seconds"]),
    "predictions": lambda data: predictions.judge(**data),
    "timing": lambda data: timing.measure(Task(data["task"]), data["references"], data["answers"]),
    "unit tests": lambda data: unit_tests.judge(**data),
}


def run_session(record: Callable[[Any], None]) -> None:
    """Judge the work on standard input: `(kind, data)`, packed by `programs.judge_program`.

    Records {"answers": […]}, one entry per answer, or {"broken": message} when the reference does not run.
    """
    kind, data = pickle.loads(base64.b64decode(sys.stdin.buffer.read()))
    try:
        record({"answers": _WORK[kind](data)})
    except BrokenReference as broken:
        record({"broken": str(broken)})
