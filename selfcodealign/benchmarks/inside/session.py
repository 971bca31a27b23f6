"""Where a judge starts: read the work from standard input, do it, report it as one record."""

from __future__ import annotations

import base64
import pickle
import sys
from collections.abc import Callable
from typing import Any

from selfcodealign.benchmarks.inside import calls, scripts, timing
from selfcodealign.benchmarks.inside.reference import BrokenReference
from selfcodealign.benchmarks.inside.task import Task

# The sandbox forgets modules named after the project before a program starts, so that none leads to its harness.
sys.modules["benchmark_judge"] = sys.modules[__name__]

_WORK: dict[str, Callable[[dict[str, Any]], list]] = {
    "calls": lambda data: calls.judge(Task(data["task"]), data["answers"]),
    "scripts": lambda data: scripts.judge(data["tests"], data["answers"], data["seconds"]),
    "timing": lambda data: timing.measure(Task(data["task"]), data["references"], data["answers"]),
}


def run_session(record: Callable[[Any], None]) -> None:
    """Judge what standard input holds: `(kind, data)` as `programs.judge_program` packed it.

    Records {"answers": […]}, one entry per answer, or {"broken": why} when the benchmark's own code does not run.
    """
    kind, data = pickle.loads(base64.b64decode(sys.stdin.buffer.read()))
    try:
        record({"answers": _WORK[kind](data)})
    except BrokenReference as broken:
        record({"broken": str(broken)})
