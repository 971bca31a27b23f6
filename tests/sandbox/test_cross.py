"""One response against several tests: each ends as it would in a process alone, and none disturbs another."""

from __future__ import annotations

from typing import Any

import pytest

from selfcodealign.sandbox import Program, Status, Verdict
from selfcodealign.sandbox.cross import CrossRun
from tests.support.judge import Judge

ADD = "def add(a, b):\n    return a + b\n"
TESTS = {
    "passes": "assert add(1, 2) == 3",
    "fails": "assert add(1, 2) == 4",
    "other name": "assert plus(1, 2) == 3",
    "raises": "assert add('a', 1) == 3",
    "no Python": "x = (",
    "pytest": "from solution import add\n\ndef test_add():\n    assert add(2, 2) == 4",
    "unittest": "import unittest\n\nclass T(unittest.TestCase):\n    def test(self):\n"
    "        self.assertEqual(add(1, 1), 3)",
    "doctest": ">>> add(1, 2)\n3",
    "nothing asserted": "print(add(1, 2))",
    "asks nothing": "assert add(1, 2) is not add",
    "costly to build": f"x = {'[' * 60}{']' * 60}\nassert add(1, 2) == 3",
    "blank": " ",
}
DISTURBING = {
    "ends the process": "import os\nassert add(1, 1) == 2\nos._exit(0)",
    "never ends": "while True:\n    pass",
    "leaves a thread": "import _thread, time\n_thread.start_new_thread(time.sleep, (9,))\nassert add(1, 1) == 2",
    "patches": "import builtins\nbuiltins.len = None\nassert add(1, 1) == 2",
    "leaves a file": "open('left', 'x').write('a')\nassert add(1, 1) == 2",
}


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many processes ran several tests, and how many one."""
    counts = {"together": 0, "alone": 0}
    together, alone = CrossRun._run_together, CrossRun._run_alone

    async def run_together(self: CrossRun, numbers: Any) -> Any:
        counts["together"] += 1
        return await together(self, numbers)

    async def run_alone(self: CrossRun, number: int) -> Any:
        counts["alone"] += 1
        return await alone(self, number)

    monkeypatch.setattr(CrossRun, "_run_together", run_together)
    monkeypatch.setattr(CrossRun, "_run_alone", run_alone)
    return counts


def cross(judge: Judge, response: str, tests: list[str]) -> list[Verdict]:
    return judge.wait(judge.sandbox.run_against(response, tests))


def alone(judge: Judge, response: str, tests: list[str]) -> list[tuple[Any, ...]]:
    """How each ends in a plain run."""
    runs = judge.all([Program(response, one or " ", mutation_testing=False, split=False) for one in tests])
    return [told(one) for one in runs]


def told(verdict: Verdict) -> tuple[Any, ...]:
    return verdict.status, verdict.error_type, verdict.message, verdict.line


def test_tests_end_in_one_process_as_alone(judge: Judge, processes: dict[str, int]) -> None:
    """Status, exception, message and line; texts that are costly to build, or are no Python, among them."""
    tests = [one for name, one in TESTS.items() if name != "blank"]
    assert list(map(told, cross(judge, ADD, tests))) == alone(judge, ADD, tests)
    assert processes == {"together": 1, "alone": 0}


def test_blank_tests_and_responses_without_code_are_told_without_a_run(judge: Judge, processes: dict[str, int]) -> None:
    """Each has its word at its place."""
    assert [one.status for one in cross(judge, ADD, [" ", TESTS["passes"]])] == [Status.NO_TESTS, Status.PASSED]
    assert [one.status for one in cross(judge, "```python\n```", [TESTS["passes"]] * 2)] == [Status.NO_CODE] * 2
    assert cross(judge, ADD, []) == []
    assert processes == {"together": 0, "alone": 1}


@pytest.mark.parametrize("disturbing", DISTURBING.values(), ids=DISTURBING)
def test_tests_that_disturb_others_change_no_verdict(walled: Judge, disturbing: str) -> None:
    """Whatever one test leaves behind, those before and after it end as alone, in either order."""
    tests = [TESTS["passes"], disturbing, TESTS["fails"], "assert add([1], [2]) == [1, 2]\nassert len([1]) == 1"]
    tests.append("import os\nassert not os.path.exists('left')\nassert add(2, 2) == 4")
    expected = alone(walled, ADD, tests)
    assert list(map(told, cross(walled, ADD, tests))) == expected
    assert list(map(told, cross(walled, ADD, tests[::-1]))) == expected[::-1]


def test_a_response_whose_runs_depend_on_each_other_gets_processes(judge: Judge, processes: dict[str, int]) -> None:
    """The first tests fail when they run again, so each runs alone, where all pass."""
    response = (
        "import copyreg\nseen = copyreg.dispatch_table\nseen['runs'] = seen.get('runs', 0) + 1\n"
        "def add(a, b):\n    return a + b if seen['runs'] == 1 else 0\n"
    )
    found = cross(judge, response, [TESTS["passes"], "assert add(2, 2) == 4", "assert add(3, 3) == 6"])
    assert [one.status for one in found] == [Status.PASSED] * 3
    assert processes == {"together": 1, "alone": 3}


def test_a_response_that_reaches_for_the_judge_is_tampering_with_all_tests(judge: Judge) -> None:
    """Before it is run, as alone."""
    response = "import sys\ndef add(a, b):\n    return sys._getframe(1).f_locals\n"
    assert {one.status for one in cross(judge, response, [TESTS["passes"], TESTS["fails"]])} == {Status.TAMPERING}
