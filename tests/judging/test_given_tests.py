"""Tests of other data sets become one text that the sandbox runs, or None for a shape that nobody knows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from selfcodealign.judging.given_tests import read_given_tests

ASSERTS = ["assert f(1) == 2", "assert f(2) == 3"]
JOINED = "\n".join(ASSERTS)
PYTEST = "from solution import f\n\ndef test_f():\n    assert f(1) == 2\n"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([JOINED], JOINED),
        ([ASSERTS], JOINED),
        ([json.dumps(ASSERTS)], JOINED),
        ([str(ASSERTS)], JOINED),
        ([PYTEST], PYTEST),
        ([f"```python\n{JOINED}\n```"], f"```python\n{JOINED}\n```"),
        (["import math", ASSERTS], f"import math\n{JOINED}"),
        (["", ASSERTS], JOINED),
        ([">>> f(1)\n2\n"], ">>> f(1)\n2\n"),
        (["check(f)"], "check(f)"),
    ],
)
def test_known_shapes_become_one_text(values: list[Any], text: str) -> None:
    """Code, fenced or bare, lists of assertions and their texts, pytest functions, several columns."""
    assert read_given_tests(values) == text


@pytest.mark.parametrize("values", [[], [None], [""], ["  \n"], [[]], ["[]"]])
def test_nothing_is_no_tests(values: list[Any]) -> None:
    """Such a row may still be answered or compared: its shape is known."""
    assert read_given_tests(values) == ""


@pytest.mark.parametrize(
    "values",
    [
        [{"inputs": [1], "outputs": [2]}],
        ['{"inputs": ["1"], "outputs": ["2"]}'],
        [[{"input": "1", "output": "2"}]],
        ['[{"input": "1", "output": "2"}]'],
        [7],
        ["12"],
        ["The function should return the sum."],
        [JOINED, 3],
    ],
)
def test_another_shape_is_unknown(values: list[Any]) -> None:
    """Inputs with outputs, numbers and prose are no programs; one such column makes the row's tests unknown."""
    assert read_given_tests(values) is None


def test_a_check_that_nothing_calls_is_called_with_the_entry_point() -> None:
    """HumanEval's tests are a function of the candidate; one that is called already stays."""
    check = "def check(candidate):\n    assert candidate(1) == 2\n"
    assert read_given_tests([check], "f") == f"{check}\ncheck(f)\n"
    assert read_given_tests([f"{check}\ncheck(f)\n"], "f") == f"{check}\ncheck(f)\n"
    assert read_given_tests([check]) == check
