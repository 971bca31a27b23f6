"""Expected values: the same from one process and from several, and none that no answer needs."""

from __future__ import annotations

from typing import Any

import pytest

from selfcodealign.benchmarks.differential import CallProblem, pack_task
from selfcodealign.benchmarks.inside import reference
from selfcodealign.benchmarks.inside.reference import BrokenReference, Expected, Reference, Workers
from selfcodealign.benchmarks.inside.task import Task

SQUARES = "def f(n):\n    return [(n * n, str(n))] if n % 2 else {n: {n * n}}\n"


def make_task(code: str, calls: list[list[Any]], **changes: Any) -> Task:
    fields: dict[str, Any] = {"rule": "humaneval", "oracle": "f"} | changes
    return Task(
        pack_task(
            CallProblem(
                task_id="HumanEval/0",
                prompt="",
                instruction="",
                entry_point="f",
                reference=code,
                suites={"base": calls},
                shown={"base": calls},
                **fields,
            )
        )
    )


def compute_all(task: Task, slow: float) -> Expected:
    calls = task.calls()
    expected = Reference(task, calls, slow)
    found: Expected = []
    try:
        while len(found) < len(calls["base"]):
            found += expected.some("base", len(found))
    finally:
        expected.end()
    return found


@pytest.mark.parametrize("rule", ["humaneval", "evoeval"])
def test_values_of_workers_are_those_of_one_process(rule: str) -> None:
    """A slow reference's calls, split among processes, give the same values in the same order, each with its time."""
    task = make_task(SQUARES, [[number] for number in range(40)], rule=rule)
    alone, together = compute_all(task, slow=1e9), compute_all(task, slow=0.0)
    assert [value for value, _ in together] == [value for value, _ in alone]
    assert [type(value) for value, _ in together] == [type(value) for value, _ in alone]
    assert all(seconds >= 0 for _, seconds in together)


def test_workers_leave_to_the_judge_what_they_cannot_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge computes a call that needs more memory than a worker may use."""
    monkeypatch.setattr(reference, "_share", lambda: 300 << 20)
    monkeypatch.setattr(reference, "_count_workers", lambda: 2)
    code = "def f(n):\n    return len(bytearray(n))\n"
    sizes = [1, 400 << 20, 2, 3, 400 << 20, 4]
    found = compute_all(make_task(code, [[size] for size in sizes]), slow=0.0)
    assert [value for value, _ in found] == sizes


def test_a_reference_that_breaks_in_a_worker_is_reported_as_such() -> None:
    """The message names the exception, as when one process computes the call."""
    task = make_task("def f(n):\n    return 1 // (3 - n)\n", [[0], [1], [2], [3], [4]])
    with pytest.raises(BrokenReference, match="base call 3: ZeroDivisionError"):
        compute_all(task, slow=0.0)


def test_no_workers_where_the_judge_holds_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker starts with the judge's memory; together they would exceed the limit."""
    monkeypatch.setattr(reference, "_share", lambda: 1 << 20)
    task = make_task(SQUARES, [[1], [2]])
    workers = Workers(task, task.calls()["base"])
    assert [workers.take(0), workers.take(1)] == [None, None]


def test_nothing_is_computed_ahead_of_an_answer_that_is_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference slower than the answer computes what was asked for, and not the next call before that is judged."""
    monkeypatch.setattr(reference, "TURN", 60.0)  # a turn has the time for every call, however busy the machine
    code = (
        "made = []\ndef f(n):\n    import time\n    made.append(n)\n    end = time.process_time() + 0.01\n"
        "    while time.process_time() < end: pass\n    return list(made)\n"
    )
    task = make_task(code, [[number] for number in range(5)])
    expected = Reference(task, task.calls())
    assert [value for value, _ in expected.some("base", 0)] == [[0]]
    assert expected.ahead("base", 1, lambda seconds: True) == []
    ahead = [value for value, _ in expected.ahead("base", 1, lambda seconds: False)]
    assert ahead == [list(range(number + 1)) for number in range(1, 5)]


def test_a_call_ahead_that_breaks_the_reference_breaks_it_only_when_needed() -> None:
    """Perhaps no answer gets that far."""
    task = make_task("def f(n):\n    return 1 // n\n", [[1], [0]])
    expected = Reference(task, task.calls())
    assert [value for value, _ in expected.ahead("base", 0, lambda seconds: False)] == [1]
    with pytest.raises(BrokenReference):
        expected.some("base", 1)
