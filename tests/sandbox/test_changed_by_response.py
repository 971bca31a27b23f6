"""What a response changes of its tests: an assertion that compares the change with what it returned proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from selfcodealign.sandbox import Program, Status
from selfcodealign.sandbox.python.build import sides_for_judge
from tests.support.judge import Judge


@pytest.fixture(scope="module")
def judge(mode: Any) -> Iterator[Judge]:
    judge = Judge(mode, mutation_testing=False)
    yield judge
    judge.close()


EMPTIES = "def order(items):\n    items.clear()\n    return list(items)\n"
FORGED = {
    "in one line": (EMPTIES, "words = ['b', 'a']\nassert order(words) == sorted(words)\n"),
    "in two names": (
        EMPTIES,
        "def test_order():\n    words = ['b', 'a']\n    got = order(words)\n"
        "    want = sorted(words)\n    assert got == want\n",
    ),
    "by a method": (
        EMPTIES,
        "import unittest\nclass T(unittest.TestCase):\n    def test_order(self):\n        words = ['b', 'a']\n"
        "        self.assertEqual(order(words), sorted(words))\n",
    ),
    "by a function of the tests": (
        EMPTIES,
        "def check(got, want):\n    assert got == want\nwords = ['b', 'a']\ncheck(order(words), sorted(words))\n",
    ),
    "in a fixture": (
        "class Sorter:\n    def order(self, items):\n        items.clear()\n        return []\n",
        "import pytest\n@pytest.fixture\ndef sorter():\n    return Sorter()\n"
        "def test_order(sorter):\n    words = ['b', 'a']\n    assert sorter.order(words) == sorted(words)\n",
    ),
    "of a dictionary": (
        "def total(prices):\n    prices.clear()\n    return 0\n",
        "prices = {'tea': 3, 'milk': 2}\nassert total(prices) == sum(prices.values())\n",
    ),
    "as a part of an assertion": (
        EMPTIES,
        "words = ['b', 'a']\nassert order(words) == sorted(words) and len(words) < 9\n",
    ),
    "of a file": (
        "def count_lines(path):\n    open(path, 'w').close()\n    return 0\n",
        "from pathlib import Path\nPath('notes').write_text('one\\ntwo\\n')\n"
        "assert count_lines('notes') == len(Path('notes').read_text().splitlines())\n",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_an_expected_value_that_the_response_changed_proves_nothing(judge: Judge, name: str) -> None:
    """The response empties what it was given; the tests then compute what they expect from that."""
    verdict = judge(*FORGED[name])
    assert (verdict.status, verdict.proof) == (Status.WEAK_TESTS, ""), verdict


SORTS = "def order(items):\n    items.sort()\n    return items\n"
HONEST = {
    "a change that is tested": (SORTS, "words = ['b', 'a']\norder(words)\nassert words == ['a', 'b']\n"),
    "what is returned is what was given": (
        SORTS,
        "words = ['b', 'a']\nassert order(words) == words\nassert words == ['a', 'b']\n",
    ),
    "an expected value that the change leaves alone": (
        SORTS,
        "words = ['b', 'a']\nassert order(words) == sorted(words)\n"
        "more = ['d', 'c']\nassert order(more) == sorted(more)\n",
    ),
    "an expected value from before": (
        SORTS,
        "words = ['b', 'a']\nwant = sorted(words)\norder(words)\nassert words == want\n",
    ),
    "how many are left, and which": (
        "def drop(items, value):\n    items[:] = [item for item in items if item != value]\n    return len(items)\n",
        "items = [3, 1, 3]\nleft = drop(items, 3)\nassert left == len(items)\nassert items[:left] == [1]\n",
    ),
    "a file that is changed": (
        "def shout(path):\n    text = open(path).read()\n"
        "    open(path, 'w').write(text.upper())\n    return len(text)\n",
        "def test_shout(tmp_path):\n    path = tmp_path / 'notes'\n    path.write_text('hi')\n"
        "    assert shout(str(path)) == 2\n    assert path.read_text() == 'HI'\n",
    ),
    "a file that grows": (
        "def log(path, text):\n    with open(path, 'a') as file:\n        file.write(text)\n",
        "open('log', 'w').close()\nlog('log', 'a')\nlog('log', 'b')\nassert open('log').read() == 'ab'\n",
    ),
    "a file that is read": (
        "def count_lines(path):\n    return len(open(path).readlines())\n",
        "open('notes', 'w').write('one\\ntwo\\n')\nassert count_lines('notes') == sum(1 for _ in open('notes'))\n",
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_is_meant_to_work_in_place_has_split_proof(judge: Judge, name: str) -> None:
    """Tests compare the change with a value that rests neither on the change nor on the response."""
    verdict = judge(*HONEST[name])
    assert (verdict.status, verdict.proof) == (Status.PASSED, "split"), verdict


def test_other_assertions_leave_the_proof_shared(judge: Judge) -> None:
    """One assertion rests on a change that no other one tests; another proves something about the response."""
    response, tests = EMPTIES, "words = ['b', 'a']\nassert order([]) == []\nassert order(words) == sorted(words)\n"
    verdict = judge(Program(response, tests))
    assert (verdict.status, verdict.proof) == (Status.PASSED, "shared"), verdict


def test_sides_derive_from_the_response() -> None:
    """Names are followed through assignments, functions and fixtures of the tests, and what these are given."""
    tests = (
        "from solution import order as o\n"
        "def run(xs):\n    return o(xs)\n"
        "def check(got, want):\n    assert got == want\n"
        "xs = [2, 1]\nys = run(xs)\n"
        "assert ys == sorted(xs)\nassert xs == [1, 2]\ncheck(ys, xs)\nassert len(ys) and xs\n"
    )
    sides = sides_for_judge({"response": SORTS, "tests": tests}, [])
    assert sides == {5: [True, False], 8: [True, False], 9: [False, False], 11: [True]}
