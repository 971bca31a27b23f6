"""The line that ended a program is marked in the text that the model wrote."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from selfcodealign.explorer.failing import Shown, place_line, show_texts
from selfcodealign.pages.code import Part
from selfcodealign.sandbox import Limits, Program, Sandbox


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


RIGHT = "Text first.\n\n" + fenced("x = 1\ndef f(n):\n    return 1")
#: Response, tests, and where the line stands: "response" or "tests", and the line as it is written.
CASES: dict[str, tuple[str, str, str, str]] = {
    "an assertion": (
        RIGHT,
        "Tests:\n\n" + fenced("# c\nassert f(0) == 1\nassert f(1) == 3"),
        "tests",
        "assert f(1) == 3",
    ),
    "the second block": (
        RIGHT,
        fenced("a = 2") + "\n\nmore\n\n" + fenced("b = 2\nassert f(0) == b"),
        "tests",
        "assert f(0) == b",
    ),
    "empty lines first": (RIGHT, fenced("\n\n\nassert f(0) == 2"), "tests", "assert f(0) == 2"),
    "an indented block": (RIGHT, "  ```python\n  y = 2\n  assert f(0) == y\n  ```", "tests", "assert f(0) == y"),
    "a session": (RIGHT, fenced(">>> f(0)\n1\n>>> f(1)\n2"), "tests", ">>> f(1)"),
    "unittest": (
        RIGHT,
        fenced(
            "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(0), 2)"
        ),
        "tests",
        "        self.assertEqual(f(0), 2)",
    ),
    "an error below an assertion": (
        fenced("def f(n):\n    raise ValueError(n)"),
        fenced("y = 1\nassert f(y) == 3"),
        "tests",
        "assert f(y) == 3",
    ),
    "tests that do not parse": (RIGHT, fenced("y = 1\nassert f(0) = 1"), "tests", "assert f(0) = 1"),
    "a response that does not load": (
        fenced("x = 1\ny = 1 / 0\ndef f(n):\n    return 1"),
        fenced("z = 0\nassert f(0) == 1"),
        "response",
        "y = 1 / 0",
    ),
    "a response that does not parse": (
        fenced("x = 1\ndef f(n:\n    return 1"),
        fenced("z = 0\nassert f(0) == 1"),
        "response",
        "def f(n:",
    ),
    "a response that reaches for the judge": (
        fenced("import sys\ndef f(n):\n    sys._getframe(1).f_globals\n    return 1"),
        fenced("y = 1\nz = 2\nassert f(0) == 1"),
        "response",
        "    sys._getframe(1).f_globals",
    ),
    "code without fences": ("def f(n):\n    return 1", "y = 2\nassert f(0) == y", "tests", "assert f(0) == y"),
}


@pytest.fixture(scope="module")
def judged() -> dict[str, dict[str, Any]]:
    """The rows that real runs of these programs give."""

    async def judge() -> dict[str, dict[str, Any]]:
        async with Sandbox(workers=2, limits=Limits(memory_mib=2048), warm=()) as sandbox:
            rows = {}
            for name, (response, tests, _, _) in CASES.items():
                seen = await sandbox.run(Program(response, tests))
                assert not seen.passed, name
                rows[name] = {
                    "response": response,
                    "tests": tests,
                    "status": str(seen.status),
                    "message": seen.message,
                    "line": seen.line or -1,
                }
            return rows

    return asyncio.run(judge())


def marked(parts: list[Shown]) -> list[str]:
    return [one.part.text.split("\n")[one.marked - 1] for one in parts if one.marked]


@pytest.mark.parametrize("name", CASES)
def test_the_line_that_ended_a_real_program_is_marked(judged: dict[str, dict[str, Any]], name: str) -> None:
    """In the tests or in the response, wherever its block stands; one line, and the right one."""
    response, tests = show_texts(judged[name])
    _, _, where, line = CASES[name]
    assert (marked(response), marked(tests)) == (([line], []) if where == "response" else ([], [line]))


def test_without_a_line_nothing_is_marked() -> None:
    """A time-out has none, and neither has a row that was never run."""
    for line in (-1, 0, None):
        response, tests = show_texts({"response": RIGHT, "tests": fenced("assert f(0)"), "line": line, "message": None})
        assert marked(response) == marked(tests) == []
    assert show_texts({"response": None, "tests": None, "line": 3}) == ([], [])


def test_a_name_in_the_message_tells_where_older_verdicts_mean() -> None:
    """Earlier versions did not say that an error came while the response was loaded."""
    row = {
        "response": fenced("x = 1\ndef f(n: List):\n    return 1"),
        "tests": fenced("y = 1\nassert f(0) == 1"),
        "status": "error",
        "message": "name 'List' is not defined",
        "line": 2,
    }
    assert marked(show_texts(row)[0]) == ["def f(n: List):"]


def test_a_line_beyond_the_code_is_nowhere() -> None:
    """Damaged rows mark nothing, and raise nothing."""
    assert place_line([Part("a = 1", True)], "a = 1", 7) is None
    response, tests = show_texts(
        {"response": RIGHT, "tests": fenced("assert f(0)"), "line": 70, "message": "", "status": ""}
    )
    assert marked(response) == marked(tests) == []
