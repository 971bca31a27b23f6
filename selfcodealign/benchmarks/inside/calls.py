"""Judges answers by calling their function: against a reference solution, or against given values."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from selfcodealign.benchmarks.inside.answer_process import AnswerProcess, load, silence
from selfcodealign.benchmarks.inside.kept_values import KeptValues
from selfcodealign.benchmarks.inside.oracles import UNORDERED, find_check, has_oracle
from selfcodealign.benchmarks.inside.reference import Reference
from selfcodealign.benchmarks.inside.task import Task
from selfcodealign.benchmarks.inside.values import OPAQUE, digest


def judge(task: Task, sources: list[str], read_late: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return {"answers": verdicts, "kept": text}, a verdict for each answer.

    A verdict is by suite: status "pass", "fail" or "timeout", `index` of the first failure. `kept` is the text of
    `KeptValues` ("": nothing new). All processes are forked before the first expected value is computed or read:
    `read_late` returns {"expected": values by suite} or {"kept": values of earlier judges}. Raises `BrokenReference`.
    """
    # References build large lists and few cycles; collecting garbage only takes time.
    gc.disable()
    calls = task.calls()
    whole = has_oracle(task.rule, task.oracle)
    gather = task.rule == "mbpp" and task.entry_point in UNORDERED
    processes = [
        {name: AnswerProcess(source, task.find, given, gather, whole) for name, given in calls.items()}
        for source in sources
    ]
    late = read_late()
    silence()
    task.expected = late.get("expected", {})
    kept = KeptValues([*calls], late.get("kept", b""))
    reference = Reference(task, task.calls(), kept=kept)
    try:
        verdicts = [
            {name: _judge_suite(task, name, calls[name], process[name], reference) for name in calls}
            for process in processes
        ]
        return {"answers": verdicts, "kept": kept.text()}
    finally:
        for process in processes:
            for one in process.values():
                one.end()
        reference.end()


def _judge_suite(task: Task, suite: str, calls: list, process: AnswerProcess, reference: Reference) -> dict[str, Any]:
    """Ask for a few calls at a time; meanwhile the reference computes the expected values of the next calls.

    The first requests are small, because most wrong answers fail at once and may be slow on later calls.
    """
    check = find_check(task.rule, task.oracle, task.atol)
    left = min(task.total, task.floor * max(1, len(calls))) + 1
    process.request(-1, [left])
    expected = reference.ahead(suite, 0, process.replied)
    kind, used, *details = process.reply(left)[0]
    verdict: dict[str, Any] = {"status": "pass", "index": -1, "passed": 0, "calls": len(calls), "seconds": used}
    if kind != "value":
        process.end()
        return verdict | _failure(kind, -1, details)
    left = task.total
    number, burst = 0, 1
    while number < len(calls):
        expected = expected or reference.some(suite, number)
        limits = [min(left, max(task.floor, task.factor * seconds)) for _, seconds in expected[:burst]]
        process.request(number, limits)
        ahead = reference.ahead(suite, number + len(expected), process.replied)
        for (value, _), reply in zip(expected, replies := process.reply(max(limits)), strict=False):
            kind, used, *details = reply
            left -= used
            verdict["seconds"] += used
            if kind == "digest" or (
                kind == "value" and not _accepts(check, details[1], details[0], value, calls[number])
            ):
                same = kind == "digest" and details == [type(value).__name__, digest(value)]
                kind, details = ("value", []) if same else ("wrong", [details[1], value])
            if kind != "value" or left <= 0:
                process.end()
                return verdict | _failure(kind if kind != "value" else "time", number, details)
            verdict["passed"] += 1
            number += 1
        expected = expected[len(replies) :] + ahead
        burst *= 4
    process.end()
    return verdict


def _accepts(check: Callable, data: bytes, foreign: bool, expected: Any, arguments: list) -> bool:
    try:
        return bool(check(load(data), foreign, expected, arguments))
    except Exception:
        # An oracle that raises on a value (a text instead of a number) has found a wrong answer.
        return False


def _failure(kind: str, number: int, details: list) -> dict[str, Any]:
    if kind == "wrong":
        value = load(details[0]) if isinstance(details[0], bytes) else OPAQUE
        shown = "something else" if value is OPAQUE else _show(value)
        message = f"gave {shown}, expected {_show(details[1])}"
    elif kind == "time":
        message = "took too long"
    else:
        message = ": ".join(part for part in details if part)[:600]
    return {"status": "timeout" if kind == "time" else "fail", "kind": kind, "index": number, "message": message}


def _show(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError, MemoryError):
        # By default Python refuses to convert numbers of more than 4300 digits.
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= 200 else text[:120] + " … " + text[-60:]
