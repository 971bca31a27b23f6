"""EvalPerf: how much processor time an answer takes on a hard input, beside reference solutions of known rank."""

from __future__ import annotations

import statistics
from typing import Any

from selfcodealign.benchmarks.inside.answer_process import AnswerProcess
from selfcodealign.benchmarks.inside.calls import judge
from selfcodealign.benchmarks.inside.reference import BrokenReference
from selfcodealign.benchmarks.inside.task import Task

#: An answer that takes longer than this is beyond the slowest reference (EvalPerf's limit, in seconds).
SECONDS = 45.0
#: Each code is run this often, in turn with the others; the median is what counts.
ROUNDS = 3


def measure(task: Task, references: list[str], answers: list[str]) -> list[dict[str, Any]]:
    """For each answer: the verdict of `calls.judge`, and for a right one `cost` and the references' `costs` in seconds.

    References are ordered from slow to fast, as in EvalPerf's data. Codes take turns, so that a change of the
    machine's speed meets all of them. Raises `BrokenReference` when a reference does not run.
    """
    verdicts: list[dict[str, Any]] = list(judge(task, answers))
    right = [number for number, verdict in enumerate(verdicts) if all(s["status"] == "pass" for s in verdict.values())]
    if not right:
        return verdicts
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
    return verdicts


def _time(task: Task, code: str) -> float | None:
    """Processor seconds of one run of the task's calls in a process of its own; None when it fails."""
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
