"""The entry point of a judge: read the work from standard input, do it, report it as one record."""

from __future__ import annotations

import base64
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

from selfcodealign.benchmarks.inside import calls, predictions, scripts, timing, unit_tests
from selfcodealign.benchmarks.inside.reference import BrokenReference
from selfcodealign.benchmarks.inside.task import PART_HEAD, Task

# The sandbox removes the project's modules from `sys.modules`, so that no program finds its harness through them.
sys.modules["benchmark_judge"] = sys.modules[__name__]

_WORK: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "calls": lambda data: calls.judge(Task(data["task"]), data["answers"], _read_part),
    "scripts": lambda data: {"answers": scripts.judge(data["tests"], data["answers"], data["seconds"])},
    "predictions": lambda data: {"answers": predictions.judge(**data)},
    "timing": lambda data: timing.measure(Task(data["task"]), data["references"], data["answers"], _read_part),
    "unit tests": lambda data: {"answers": unit_tests.judge(**data)},
}


def run_session(record: Callable[[Any], None]) -> None:
    """Judge the work on standard input: `(kind, data)`, packed by `programs.judge_program`.

    Records {"answers": […], …}, one entry per answer, or {"broken": message} when the reference does not run.
    """
    kind, data = _read_part()
    try:
        record(_WORK[kind](data))
    except BrokenReference as broken:
        record({"broken": str(broken)})


def _read_part() -> Any:
    """Read the next part of standard input, and no byte more: a later part is not for the answers' processes."""
    size = int(_read(PART_HEAD))
    return pickle.loads(base64.b64decode(_read(size)))


def _read(size: int) -> bytes:
    parts = []
    while size:
        part = os.read(0, size)
        if not part:
            raise EOFError("the judge's work ends early")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
