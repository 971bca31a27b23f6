"""Mutation testing: mutants tell tests that prove something from tests that prove nothing."""

from __future__ import annotations

import ast

import pytest

from selfcodealign.sandbox import Status, Verdict
from selfcodealign.sandbox.python.mutants import GATES, apply_mutant, list_mutants
from tests.support.judge import Judge

#: What a verdict says of a program does not depend on the wall around it.
pytestmark = pytest.mark.one_mode

CLAMP = """
def clamp(x, low=0, high=10):
    "Keep x between low and high."
    if x < low:
        return low
    return min(x, high) + 0 * 1
"""


def test_strong_tests_have_a_higher_mutation_score_than_weak_ones(judge: Judge) -> None:
    """The mutation score orders tests by how many mutants they kill."""
    strong = judge(
        CLAMP, "assert clamp(-5) == 0\nassert clamp(5) == 5\nassert clamp(50) == 10\nassert clamp(3, 4, 5) == 4"
    )
    weak = judge(CLAMP, "assert clamp(5) == 5")
    assert strong.passed
    assert weak.passed
    assert strong.mutation_score is not None
    assert weak.mutation_score is not None
    assert strong.mutation_score > 0.7 > weak.mutation_score > 0


@pytest.mark.parametrize(
    "tests",
    [
        "assert clamp(5) == clamp(5) + 0 or True",
        "x = clamp(5)\nassert [x] == [x]",
        "expected = clamp(5)\nassert clamp(5) == expected",
        "for line in []:\n    assert clamp(line) == line\nassert isinstance(clamp(3), object)",
        "seen = [clamp(n) for n in range(3)]\nassert len(seen) == 3",
        "import random\nclamp(4)\nassert random.random() < 2",
        "assert 0 <= clamp(5) <= 10",
        "assert clamp(5) is not None and type(clamp(5)) is int",
    ],
)
def test_tests_that_kill_no_mutant_are_weak(tests: str, judge: Judge) -> None:
    """Assertions that run, mention the response and hold, but would hold for anything, are no pass."""
    assert judge(CLAMP, tests).status is Status.WEAK_TESTS


def test_only_what_ran_is_mutated(judge: Judge) -> None:
    """Functions that the tests never call do not lower the score."""
    unused = "\ndef unused(x):\n" + "".join(f"    x = x + {n} * 3 - 1\n" for n in range(30)) + "    return x\n"
    tests = "assert clamp(-5) == 0\nassert clamp(5) == 5\nassert clamp(50) == 10"
    assert judge(CLAMP + unused, tests).mutation_score == pytest.approx(judge(CLAMP, tests).mutation_score, abs=0.25)


def test_classes_and_constants_are_mutated_too(judge: Judge) -> None:
    """Responses without any function still have mutants."""
    data = "from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int\n    y: int = 7\n"
    assert judge(data, "assert Point(1).y == 7\nassert Point(1, 2) == Point(1, 2)\nassert Point(1).x == 1").passed
    assert judge("LIMIT = 10\nNAMES = ['a', 'b']\n", "assert LIMIT == 10\nassert NAMES == ['a', 'b']").passed
    assert judge("double = lambda x: x * 2\n", "assert double(4) == 8").passed


def test_an_endless_mutant_counts_as_killed_and_costs_little(judge: Judge) -> None:
    """A mutant that loops forever is stopped after a small multiple of the program's own time."""
    count = "def count(n):\n    total = 0\n    while n > 0:\n        n, total = n - 1, total + 1\n    return total\n"
    verdict = judge(count, "assert count(5) == 5")
    assert verdict.passed
    assert verdict.mutation_score is not None
    assert verdict.mutation_score > 0.5


WORDS = """
def words(text):
    return [word for word in text.split() if word]

def table(text):
    return {word: len(word) for word in words(text)}
"""


@pytest.mark.parametrize(
    "tests",
    [
        "assert words('a b') is not None\nassert table('a b') is not None",
        "assert len(words('a b')) == 2\nassert len(table('a b')) == 2",
        "assert all(type(word) is str for word in words('a b'))\nassert type(table('')) is dict",
        "def test_types():\n    assert isinstance(words('a b')[0], str)\n    assert isinstance(table('a')['a'], int)",
    ],
)
def test_tests_that_look_only_at_types_and_lengths_are_weak(tests: str, judge: Judge) -> None:
    """Where no test notices other values of the same types, nothing is known about the values."""
    verdict = judge(WORDS, tests)
    assert verdict.status is Status.WEAK_TESTS
    assert not verdict.killed_by_value


@pytest.mark.parametrize(
    ("response", "tests", "expected"),
    [
        (WORDS, "assert words('a b') == ['a', 'b']", True),
        (WORDS, "assert words('') == []", True),
        ("def half(x):\n    return x / 2\n", "assert abs(half(3) - 1.5) < 1e-9", True),
        ("def roll(seed):\n    return seed * 7 % 6\n", "assert roll(1) == roll(1)\nassert roll(1) != roll(2)", True),
        ("def evens():\n    yield 0\n    yield 2\n", "assert list(evens()) == [0, 2]", True),
        ("async def one():\n    return 1\n", "import asyncio\nassert asyncio.run(one()) == 1", True),
        ("double = lambda x: x * 2\n", "assert double(4) == 8", True),
        ("class Box:\n    def __init__(self):\n        self.x = 1\n", "assert Box().x == 1", None),
        ("LIMIT = 10\n", "assert LIMIT == 10", None),
        ("def add(a, b):\n    return a + b\n\nassert add(1, 1) == 2\n", "assert add(2, 3) == 5", True),
        ("def add(a, b):\n    return a + b\n\ndef test_add():\n    assert add(2, 3) == 5\n", "", True),
    ],
)
def test_values_are_noticed_where_plain_values_reach_the_tests(
    response: str, tests: str, expected: bool | None, judge: Judge
) -> None:
    """`killed_by_value` says whether an assertion notices other values; None where no plain value is returned."""
    verdict = judge(f"<response>{response}</response><tests></tests>" if not tests else response, tests)
    assert verdict.passed, verdict
    assert verdict.killed_by_value is expected


def test_mutation_testing_can_be_left_out(judge: Judge) -> None:
    """Without it a pass has no mutation score."""
    assert judge(CLAMP, "assert clamp(5) == 5", mutation_testing=False).mutation_score is None


def test_the_earlier_name_of_the_score_warns() -> None:
    """`Verdict.strength` still gives the mutation score, with a DeprecationWarning that names the present one."""
    with pytest.warns(DeprecationWarning, match="mutation_score"):
        assert Verdict(Status.PASSED, mutation_score=0.5).strength == 0.5


def test_every_mutant_compiles_and_changes_the_program() -> None:
    """Mutants are named stably, apply one at a time, leave valid code, and are different from the original."""
    source = (
        CLAMP + "\nclass A:\n    y = 3\n    def f(self):\n        return [not i for i in range(self.y) if i != 2]\n"
    )
    names = [*GATES, *(name for _, name in list_mutants(ast.parse(source)))]
    assert len(names) == len(set(names)) > 15
    for name in names:
        tree = ast.parse(source)
        apply_mutant(tree, name)
        compile(tree, "<mutant>", "exec")
        assert ast.dump(tree) != ast.dump(ast.parse(source)), name
