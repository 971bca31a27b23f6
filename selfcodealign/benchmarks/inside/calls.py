"""Judge answers by calling their function: against a reference solution, or against values known beforehand."""

from __future__ import annotations

import gc
import pickle
import time
from collections.abc import Callable
from typing import Any

from selfcodealign.benchmarks.inside.answer_process import TURN, AnswerProcess, define, describe, silence
from selfcodealign.benchmarks.inside.oracles import PRESENCE, UNORDERED, find_check, has_oracle
from selfcodealign.benchmarks.inside.values import OPAQUE, digest, pack, unpack

#: Most calls asked for at once.
CALLS = 256
_PLAIN = (bool, int, float, complex, str, list, tuple, dict, set, type(None))


class BrokenReference(Exception):
    """The benchmark's own solution does not run here: nobody's answer can be judged."""


class Task:
    """One task's calls, as `differential.pack_task` wrote them (a pickle of plain builtins).

    `suites` maps a suite's name to its calls: lists of arguments, or texts of arguments where `written`.
    `reference` is the code that gives the expected values; `expected` holds them where there is no such code.
    """

    def __init__(self, data: bytes) -> None:
        fields = pickle.loads(data)
        self.entry_point: str = fields["entry_point"]
        self.reference: str = fields["reference"]
        self.rule: str = fields["rule"]
        self.oracle: str = fields["oracle"]
        self.atol: float = fields["atol"]
        self.floor: float = fields["floor"]
        self.factor: float = fields["factor"]
        self.total: float = fields["total"]
        self.expected: dict[str, list] = fields["expected"]
        self._written: bool = fields["written"]
        self._suites: bytes = fields["suites"]

    def calls(self) -> dict[str, list]:
        """A fresh copy of every suite's arguments, because functions change what they are given."""
        suites = pickle.loads(self._suites)
        if self._written:
            return {name: [eval(f"[{text}]", {}) for text in texts] for name, texts in suites.items()}
        return suites

    def find(self, names: dict[str, Any]) -> Callable:
        """The function under test among an answer's names; LeetCode answers have it as a method of `Solution`."""
        if self.entry_point not in names and "Solution" in names:
            return getattr(names["Solution"](), self.entry_point)
        return names[self.entry_point]


class Reference:
    """Expected values, computed call by call and only as far as an answer gets."""

    def __init__(self, task: Task, calls: dict[str, list]) -> None:
        self._task = task
        self._calls = calls
        self._known: dict[str, list[tuple[Any, float]]] = {name: [] for name in calls}
        self._function: Callable | None = None
        self._presence = task.rule == "mbpp" and task.entry_point in PRESENCE

    def some(self, suite: str, first: int, end: int) -> list[tuple[Any, float]]:
        """Values from call `first` on, with the seconds each took the reference: as many as `TURN` allows, at least
        one before `end`. Raises `BrokenReference`."""
        if not self._task.reference:
            return [(value, 0.0) for value in self._task.expected[suite][first : min(end, first + CALLS)]]
        known = self._known[suite]
        stop = time.monotonic() + TURN
        while len(known) < min(end, first + CALLS) and (len(known) <= first or time.monotonic() < stop):
            known.append(self._compute(suite, len(known)))
        return known[first : min(end, first + CALLS)]

    def _compute(self, suite: str, number: int) -> tuple[Any, float]:
        try:
            if self._function is None:
                self._function = self._task.find(define(self._task.reference, "reference"))
            start = time.process_time()
            value = self._function(*self._calls[suite][number])
            seconds = time.process_time() - start
        except Exception as error:
            raise BrokenReference(f"{suite} call {number}: {type(error).__name__}: {describe(error)}") from None
        if self._presence:
            return value is not None, seconds
        # Other values get the same plain form as an answer's, so that a Counter equals a Counter.
        return (value if type(value) in _PLAIN else unpack(pack(value)[1])), seconds


def judge(task: Task, sources: list[str]) -> list[dict[str, dict]]:
    """The verdict on each answer, by suite: status "pass", "fail" or "timeout", `index` of the first failing call.

    All processes are forked before the first expected value exists. Raises `BrokenReference`.
    """
    calls = task.calls()
    whole = has_oracle(task.rule, task.oracle)
    gather = task.rule == "mbpp" and task.entry_point in UNORDERED
    processes = [
        {name: AnswerProcess(source, task.find, given, gather, whole) for name, given in calls.items()}
        for source in sources
    ]
    silence()
    # References build large lists and no cycles worth collecting; looking for some only takes time.
    gc.disable()
    reference = Reference(task, task.calls())
    try:
        return [
            {name: _judge_suite(task, name, calls[name], process[name], reference) for name in calls}
            for process in processes
        ]
    finally:
        for process in processes:
            for one in process.values():
                one.end()


def _judge_suite(task: Task, suite: str, calls: list, process: AnswerProcess, reference: Reference) -> dict[str, Any]:
    """Ask for some calls at a time; while the answer computes their values the reference computes the next ones."""
    check = find_check(task.rule, task.oracle, task.atol)
    left = min(task.total, task.floor * max(1, len(calls))) + 1
    process.request(-1, [left])
    expected = reference.some(suite, 0, len(calls))
    kind, used, *details = process.reply(left)[0]
    verdict: dict[str, Any] = {"status": "pass", "index": -1, "passed": 0, "calls": len(calls), "seconds": used}
    if kind != "value":
        process.end()
        return verdict | _failure(kind, -1, details)
    left = task.total
    number = 0
    while number < len(calls):
        limits = [min(left, max(task.floor, task.factor * seconds)) for _, seconds in expected]
        process.request(number, limits)
        ahead = reference.some(suite, number + len(expected), len(calls))
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
    process.end()
    return verdict


def _accepts(check: Callable, data: bytes, foreign: bool, expected: Any, arguments: list) -> bool:
    try:
        return bool(check(unpack(data), foreign, expected, arguments))
    except Exception:
        # An oracle that cannot even look at the value (a text where a number should be) has seen a wrong answer.
        return False


def _failure(kind: str, number: int, details: list) -> dict[str, Any]:
    if kind == "wrong":
        value = unpack(details[0]) if isinstance(details[0], bytes) else OPAQUE
        shown = "something else" if value is OPAQUE else _show(value)
        message = f"gave {shown}, expected {_show(details[1])}"
    elif kind == "time":
        message = "took too long"
    else:
        message = ": ".join(part for part in details if part)
    return {"status": "timeout" if kind == "time" else "fail", "kind": kind, "index": number, "message": message}


def _show(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Numbers of more than 4300 digits have no text by default.
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= 200 else text[:120] + " … " + text[-60:]
