"""Tests that prove less than they seem: what never ran, what stayed silent, what nearly every answer meets."""

from __future__ import annotations

import pytest

from selfcodealign.sandbox import Status, Verdict
from tests.support.judge import Judge

# `double` is wrong; `greet` is right, and its assertion is the only one that proves something.
RESPONSE = """
def double(n):
    return n + 3

def greet(name):
    return "Hello " + name
"""
PROOF = "assert greet('Ann') == 'Hello Ann'\n"
RIGHT = """
import threading
from concurrent.futures import ThreadPoolExecutor

def double(n):
    if n < 0:
        raise ValueError("negative")
    return n * 2

def on_threads(work):
    with ThreadPoolExecutor() as pool:
        return pool.submit(work)
"""

NEVER_RAN = {
    "class with a constructor": "class TestDouble:\n    def __init__(self):\n        self.n = 2\n"
    "    def test_double(self):\n        assert double(self.n) == 4\n",
    "class that is no test": "class DoubleSuite:\n    def test_double(self):\n        assert double(2) == 4\n",
    "guard of another name": "def run():\n    assert double(2) == 4\nif __name__ == 'tests':\n    run()\n",
    "after a return": "def test_double():\n    return\n    assert double(2) == 4\n",
    "parameters without rows": "import pytest\n@pytest.mark.parametrize('n, m', [])\n"
    "def test_double(n, m):\n    assert double(n) == m\n",
    "loop over nothing": "for n, m in []:\n    assert double(n) == m\n",
    "nested function": "def test_double():\n    def inner():\n        assert double(2) == 4\n",
    "generator": "def test_double():\n    yield\n    assert double(2) == 4\ntest_double()\n",
    "early return on an error": "def test_double():\n    try:\n        found = double('x')\n    except TypeError:\n"
    "        return\n    assert found == 'xx'\n",
    "skipped test": "import pytest\n@pytest.mark.skip\ndef test_double():\n    assert double(2) == 4\n",
    "variable of the environment": "import os\nif os.environ.get('FULL'):\n    assert double(2) == 4\n",
    "skipped example": ">>> greet('Ann')\n'Hello Ann'\n>>> double(2)  # doctest: +SKIP\n4\n",
}

SILENT = {
    "thread": "import threading\ndef check():\n    if double(2) != 4:\n        raise ValueError('wrong')\n"
    "thread = threading.Thread(target=check)\nthread.start()\nthread.join()\n",
    "future": "from concurrent.futures import ThreadPoolExecutor\ndef check(n):\n    1 / (double(n) == n * 2)\n"
    "with ThreadPoolExecutor() as pool:\n    pool.map(check, [1, 2])\n",
    "gathered": "import asyncio\nasync def check():\n    1 / (double(2) == 4)\nasync def main():\n"
    "    await asyncio.gather(check(), return_exceptions=True)\nasyncio.run(main())\n",
    "task": "import asyncio\nasync def check():\n    1 / (double(2) == 4)\nasync def main():\n"
    "    asyncio.create_task(check())\n    await asyncio.sleep(0)\n    await asyncio.sleep(0)\nasyncio.run(main())\n",
    "manager of the tests": "class Calm:\n    def __enter__(self):\n        return self\n"
    "    def __exit__(self, *error):\n        return True\nwith Calm():\n    1 / (double(2) == 4)\n",
    "suppress": "from contextlib import suppress\nfor n in (3, 'x'):\n    with suppress(Exception):\n"
    "        assert double(n) == n * 2\n",
    "broad handler": "for n in (3, 'x'):\n    try:\n        assert double(n) == n * 2\n    except Exception:\n"
    "        pass\n",
    "return in finally": "def check():\n    try:\n        1 / (double(2) == 4)\n    finally:\n"
    "        return\ncheck()\n",
    "printed": "if double(2) == 4:\n    print('PASS')\nelse:\n    print('FAIL: double')\n",
    "printed at once": "print('ok' if double(2) == 4 else 'FAILED')\n",
    "plain exception": "def check(n):\n    if double(n) != n * 2:\n        raise RuntimeError('no')\n"
    "try:\n    check(2)\nexcept RuntimeError:\n    pass\n",
    "comparison without assert": "double(2) == 4\n",
    "test that returns its result": "def test_double():\n    return double(2) == 4\n",
}

MET_BY_MOST = [
    "assert len(greet('Ann')) >= 0",
    "assert -1 < len(greet('Ann'))",
    "assert callable(greet) and greet('Ann') is not None",
    "greet('Ann')\nassert greet",
    "assert hasattr(greet('Ann'), 'upper')",
    "assert (letter for letter in greet('Ann'))",
    "assert any(double(n) == m for n, m in [(3, 6), (2, 4)])",
    "assert double(3) == 6 or double(2) == 4",
    "import math\nassert math.isclose(double(2), 4, abs_tol=50)",
    "import pytest\nassert double(2) == pytest.approx(4, rel=3)",
    "assert abs(double(2) - 4) < 10",
    "import pytest\nwith pytest.raises(Exception):\n    assert double('x') == 'xx'",
]

HONEST = {
    "skipped test": "import pytest\n@pytest.mark.skip\ndef test_later():\n    assert double(3) == 6\n",
    "test that skips itself": "import pytest\ndef test_later():\n    pytest.importorskip('no_such_library')\n"
    "    assert double(3) == 6\n",
    "either branch": "for n in (1, 2):\n    if n > 5:\n        assert double(n) > 10\n    else:\n"
    "        assert double(n) <= 10\n",
    "the machine decides": "import sys\nif sys.platform == 'win32':\n    assert double(3) == 6\n",
    "expected error": "try:\n    double(-1)\n    assert False, 'no error'\nexcept ValueError as error:\n"
    "    assert str(error) == 'negative'\n",
    "in another process": "import multiprocessing\ndef check():\n    assert double(3) == 6\n"
    "process = multiprocessing.Process(target=check)\nprocess.start()\nprocess.join()\n",
    "raised for the response": "def broken():\n    raise KeyError('meant')\non_threads(broken)\n",
    "future that is read": "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n"
    "    assert isinstance(pool.submit(double, -1).exception(), ValueError)\n",
    "cleaning up": "import os\nfrom contextlib import suppress\nwith suppress(Exception):\n    os.remove('missing')\n",
    "shown error": "try:\n    double(-1)\nexcept Exception as error:\n    print('Doubling failed:', error)\n",
    "meant failure": "try:\n    double(-1)\nexcept ValueError:\n    print('Test failed as expected')\n",
    "report of the number": "failed = 0\nprint(f'FAILED: {failed}')\n",
    "either of two results": "assert double(2) == 4 or double(2) == 5\n",
    "search in a result": "assert any(n > 3 for n in [double(2)])\n",
    "near enough": "assert abs(double(0.1) - 0.2) < 0.01\n",
}
INSIDE = """
def double(n):
    if n < 0:
        assert n > -100, "far too small"
    return n * 2

def test_double():
    assert double(2) == 4
"""


def judged(judge: Judge, response: str, tests: str) -> Verdict:
    return judge(response, tests, mutation_testing=False)


@pytest.mark.one_mode
@pytest.mark.parametrize("name", NEVER_RAN)
def test_an_assertion_that_never_ran_makes_tests_weak(name: str, judge: Judge) -> None:
    """What looks like a check and is not executed is no check, whatever else is proven."""
    tests = NEVER_RAN[name]
    verdict = judged(judge, RESPONSE, tests if tests.startswith(">>>") else PROOF + tests)
    assert verdict.status is Status.WEAK_TESTS
    assert "never ran" in verdict.message or "skipped" in verdict.message


@pytest.mark.one_mode
@pytest.mark.parametrize("name", SILENT)
def test_a_failure_that_nobody_sees_counts(name: str, judge: Judge) -> None:
    """Swallowed, left in a thread, a future or a task, or only printed: the tests failed."""
    assert judged(judge, RESPONSE, PROOF + SILENT[name]).status in (Status.FAILED, Status.ERROR)


@pytest.mark.one_mode
@pytest.mark.parametrize("tests", MET_BY_MOST)
def test_what_almost_every_answer_meets_proves_nothing(tests: str, judge: Judge) -> None:
    """Presence, lengths from 0 on, one case of several, far tolerances, errors of any kind around an assertion."""
    assert judged(judge, RESPONSE, tests).status is Status.WEAK_TESTS


@pytest.mark.parametrize("name", HONEST)
def test_honest_tests_of_similar_form_pass(name: str, judge: Judge) -> None:
    """A skip, a branch, an expected error and a report without a failure are no reason for doubt."""
    verdict = judged(judge, RIGHT, "assert double(4) == 8\n" + HONEST[name])
    assert verdict.passed, verdict


@pytest.mark.one_mode
def test_the_response_may_leave_its_own_assertions_unused(judge: Judge) -> None:
    """Where one text holds both, only the assertions of its tests must run."""
    assert judge(INSIDE, mutation_testing=False).passed
