"""EvalPerf: the CPU time of an answer on a performance-exercising input, compared with ranked references."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from selfcodealign.benchmarks.inside.answer_process import AnswerProcess
from selfcodealign.benchmarks.inside.calls import judge
from selfcodealign.benchmarks.inside.reference import BrokenReference
from selfcodealign.benchmarks.inside.task import Task

#: Time limit of an answer in seconds (EvalPerf's); beyond it an answer ranks below the slowest reference.
SECONDS = 45.0
#: Runs of each solution, alternating with the others; the median counts.
ROUNDS = 3


def measure(
    task: Task, references: list[str], answers: list[str], read_late: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return the report of `calls.judge`; correct answers have a `cost` as well, and the references' `costs` (s).

    References are ordered from slow to fast, as in EvalPerf's data. Solutions run in turn, so that a change of the
    machine's speed affects all of them. Raises `BrokenReference` when a reference does not run.
    """
    report = judge(task, answers, read_late)
    verdicts: list[dict[str, Any]] = report["answers"]
    right = [number for number, verdict in enumerate(verdicts) if all(s["status"] == "pass" for s in verdict.values())]
    if not right:
        return report
    codes = references + [answers[number] for number in right]
    times: list[list[float]] = [[] for _ in codes]
    for _ in range(ROUNDS):
        for number, code in enumerate(codes):
            seconds = _time(task, code)
            if seconds is None and number < len(references):
                raise BrokenReference(f"reference {number} does not run within {SECONDS:.0f} s")
            times[number].append(SECONDS if seconds is None else seconds)
    medians = [statistics.median(one) for one in times]
    for place, number in enumerate(right, len(references)):
        verdicts[number] |= {"cost": medians[place], "costs": medians[: len(references)]}
    return report


def _time(task: Task, code: str) -> float | None:
    """Return the CPU seconds of one run of the task's calls in a new process; None when it fails."""
    (calls,) = task.calls().values()
    process = AnswerProcess(code, task.find, calls)
    try:
        total = 0.0
        for number in range(-1, len(calls)):
            process.request(number, [SECONDS])
            kind, seconds, *_ = process.reply(SECONDS)[0]
            if kind != "value":
                return None
            total += seconds if number >= 0 else 0.0
        return total
    finally:
        process.end()
