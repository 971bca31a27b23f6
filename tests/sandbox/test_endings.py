"""Tests that assert by exits and exceptions instead of asserts, and how a text of tests may end."""

from __future__ import annotations

import pytest

from selfcodealign.sandbox import Status
from tests.support.answers import RIGHT, WRONG
from tests.support.judge import Judge

STYLES = {
    "exit at the end": "import sys\nassert add(1, 2) == 3\nsys.exit(0)",
    "exit with main's result": (
        "def main():\n    assert add(1, 2) == 3\n    return 0\nif __name__ == '__main__':\n    raise SystemExit(main())"
    ),
    "exit with what was seen": "import sys\nok = True\nok = ok and add(1, 2) == 3\nsys.exit(not ok)",
    "exit with a choice": (
        "bad = []\nfor a, b, c in [(1, 2, 3), (4, 5, 9)]:\n    if add(a, b) != c:\n        bad.append(a)\n"
        "exit(1 if bad else 0)"
    ),
    "exit when wrong": "import sys\nif add(1, 2) != 3:\n    print('wrong')\n    sys.exit(1)",
    "result of unittest.main": (
        "import sys, unittest\nclass TestAdd(unittest.TestCase):\n    def test_add(self):\n"
        "        self.assertEqual(add(1, 2), 3)\n"
        "sys.exit(not unittest.main(exit=False).result.wasSuccessful())"
    ),
    "plain exception": "if add(1, 2) != 3:\n    raise Exception('wrong')",
    "exception in else": "total = add(1, 2)\nif total == 3:\n    print('right')\nelse:\n    raise ValueError(total)",
    "exception in try's else": (
        "try:\n    add(None, 1)\nexcept ValueError:\n    pass\nelse:\n    raise RuntimeError('no error')"
    ),
    "exception after the call": (
        "try:\n    add(None, 1)\n    raise RuntimeError('no error')\nexcept ValueError:\n    print('right')"
    ),
    "executor left open": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)\n"
        "assert list(pool.map(add, [1, 2], [2, 3])) == [3, 5]"
    ),
    "called in another process only": (
        "import os\nout, into = os.pipe()\nif os.fork() == 0:\n    os.write(into, str(add(1, 2)).encode())\n"
        "    os._exit(0)\nassert os.read(out, 9) == b'3'"
    ),
    "unpacked": "whole, rest = divmod(add(10, 7), 5)\nassert whole == 3\nassert rest == 2",
    "annotated": "total: int = add(1, 2)\nexpected: int = 3\nassert total == expected",
    "bound by async with": (
        "import asyncio\nfrom contextlib import asynccontextmanager\n@asynccontextmanager\nasync def opened():\n"
        "    yield add(1, 2)\nasync def main():\n    async with opened() as total:\n        assert total == 3\n"
        "asyncio.run(main())"
    ),
}


#: Styles that need more of the machine than memory: what a wall could stand in the way of.
OUTWARD = ["executor left open", "called in another process only"]


@pytest.mark.parametrize("style", OUTWARD)
def test_styles_that_reach_outside_are_run_in_each_mode(style: str, judge: Judge) -> None:
    """A verdict does not depend on the walls."""
    assert judge(RIGHT, STYLES[style]).mutation_score
    assert judge(WRONG, STYLES[style]).status in (Status.FAILED, Status.ERROR)


@pytest.mark.one_mode
@pytest.mark.parametrize("style", STYLES)
def test_every_ending_proves_something(style: str, judge: Judge) -> None:
    """The right response passes with tests that kill mutants; the wrong one does not."""
    right = judge(RIGHT, STYLES[style])
    assert right.passed, right
    assert judge(WRONG, STYLES[style]).status in (Status.FAILED, Status.ERROR)


EXITING = {
    "a function that exits": "import sys\ndef half(n):\n    sys.exit(0)",
    "exit under another name": "import functools, sys\nhalf = functools.partial(sys.exit, 0)",
    "the result of pytest": "import pytest\ndef half(n):\n    raise SystemExit(pytest.ExitCode(0))",
}


@pytest.mark.one_mode
@pytest.mark.parametrize("way", EXITING)
def test_an_exit_of_the_response_ends_nothing_well(way: str, judge: Judge) -> None:
    """After an assertion has held, the response leaves with status 0: not where the tests' text exits."""
    response = f"def twice(n):\n    return n * 2\n{EXITING[way]}"
    tests = "assert twice(2) == 4\nassert half(4) == 2\nimport sys\nsys.exit(0)"
    assert judge(response, tests).status is Status.ERROR


@pytest.mark.one_mode
def test_a_mutant_outlives_the_responses_own_examples(judge: Judge) -> None:
    """Asserts and examples of the response at its top level are not what has to kill its mutants."""
    response = "def add(a, b):\n    return a + b\nassert add(1, 1) == 2\nprint(f'{add(1, 2):d}')"
    verdict = judge(response, "assert add(2, 3) == 5")
    assert (verdict.status, verdict.mutation_score) == (Status.PASSED, 1.0), verdict
    assert judge(response, "print(add(2, 3))\nassert True").status is Status.WEAK_TESTS


@pytest.mark.one_mode
def test_long_chains_are_built(judge: Judge) -> None:
    """What Python compiles is built: hundreds of `elif`, and a long sum."""
    branches = "\n".join(f"    elif n == {n}:\n        return 'n{n}'" for n in range(1, 400))
    response = f"def name(n):\n    if n == 0:\n        return 'n0'\n{branches}\n"
    assert judge(response, "assert name(0) == 'n0'\nassert name(399) == 'n399'").passed
    total = " + ".join(["n"] * 800)
    assert judge(f"def times(n):\n    return {total}\n", "assert times(2) == 1600").passed
