"""The messages that a model is tuned on: assertions for the user, parts and comments of the assistant."""

from __future__ import annotations

import re

import pytest

from selfcodealign.rows import Response
from selfcodealign.settings import ANSWER_PARTS, SelectionSettings
from selfcodealign.stages.messages import Messages, find_assertions, without_comments
from tests.support.rows import make_response

TESTS = "```python\n" + "\n".join(f"assert f({n}) == {n + 1}" for n in range(9)) + "\n```"
COMPLETION = (
    "First think.\n</reasoning>\n<response>\n```python\ndef f(n): return n + 1\n```\n</response>\n"
    f"<explanation>\nThen explain.\n</explanation>\n<tests>\n{TESTS}\n"
)


def write(row: Response, parts: tuple[str, ...] = ("response", "tests"), **settings: object) -> dict[str, str]:
    return Messages(SelectionSettings().model_copy(update=settings), parts).of(row)


def rows(count: int, **changes: object) -> list[Response]:
    return [make_response(number, tests=TESTS, **changes) for number in range(count)]


def test_by_default_the_verified_texts_are_the_messages() -> None:
    """Empty fields: nothing differs."""
    assert write(make_response(1)) == {"user": "", "assistant": ""}


def test_half_of_the_instructions_show_one_to_five_assertions() -> None:
    """The draw comes from the row's id; shown are assertions of the row's own tests, in their order."""
    told = [write(row, tests_in_instruction=0.5)["user"] for row in rows(200)]
    assert 70 < sum(map(bool, told)) < 130
    assert told == [write(row, tests_in_instruction=0.5)["user"] for row in rows(200)]
    counts = set()
    for row, user in zip(rows(200), told, strict=True):
        if user:
            assert user.startswith(f"{row.instruction}\n\n")
            shown = re.findall(r"^assert .*$", user, re.MULTILINE)
            assert shown == sorted(shown)
            assert set(shown) <= set(TESTS.split("\n"))
            counts.add(len(shown))
    assert counts == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("text", ["Assert it.", "For example, 1.", "Write tests."])
def test_an_instruction_that_shows_examples_stays(text: str) -> None:
    """One of the three words, in any case, is enough."""
    assert not write(make_response(1, instruction=text, tests=TESTS), tests_in_instruction=1.0)["user"]


def test_only_assertions_that_stand_alone_are_shown() -> None:
    """Not those with names that the tests bind, nor long ones; a line of a test function may be."""
    code = (
        "import math\nx = 3\nassert f(1) == 2\nassert f(x) == 4\nassert math.isclose(f(2), 3)\n"
        "def test():\n    y = f(5)\n    assert y == 6\n    assert f(\n        6\n    ) == 7\n"
        "assert f(7) == [\n1,\n2,\n3,\n4,\n]\nassert all(f(n) == n + 1 for n in range(3))\n"
    )
    assert find_assertions(code) == [
        "assert f(1) == 2",
        "assert f(\n    6\n) == 7",
        "assert all(f(n) == n + 1 for n in range(3))",
    ]
    assert find_assertions("assert (") == []


def test_parts_are_kept_by_chance_and_in_order() -> None:
    """Reasoning before the response, the explanation after it; each is drawn apart, with the row's id."""
    whole = write(make_response(1, completion=COMPLETION), ANSWER_PARTS)["assistant"]
    assert whole.index("First think.") < whole.index("```python") < whole.index("Then explain.")
    half = {"keep_reasoning": 0.5, "keep_explanation": 0.5}
    told = [write(row, ANSWER_PARTS, **half)["assistant"] for row in rows(200, completion=COMPLETION)]
    kinds = {("First" in one, "Then" in one) for one in told}
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}
    assert 70 < sum("First" in one for one in told) < 130


def test_tests_follow_where_the_instruction_asks_for_them() -> None:
    """Only then, and below everything else."""
    asked = make_response(1, instruction="Add numbers and test it.", tests=TESTS)
    assert write(asked, tests_in_response="asked")["assistant"].endswith(TESTS)
    assert not write(make_response(1, tests=TESTS), tests_in_response="asked")["assistant"]


def test_comments_go_and_the_code_stays() -> None:
    """Strings with #, docstrings and blank lines stay; code that does not parse is left alone."""
    code = 'def f(x):  # why\n    """# doc"""\n    # a whole line\n    return "#" + x  # end'
    assert without_comments(code) == 'def f(x):\n    """# doc"""\n    return "#" + x'
    fenced = f"Words # here\n```python\n{code}\n```\nMore # words"
    assert without_comments(fenced).startswith("Words # here\n```python\ndef f(x):\n")
    assert without_comments(fenced).endswith("\n```\nMore # words")
    assert without_comments("def f(:  # no") == "def f(:  # no"
