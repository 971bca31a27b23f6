"""Rows to read: which line is marked as the one that ended the program, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from selfcodealign.report.facts import Shown
from selfcodealign.report.page.render import render
from selfcodealign.report.page.texts import ReadRow, find_line, read_shown
from tests.support.report_facts import make_facts, make_row


def read(**given: Any) -> ReadRow:
    return read_shown(Shown("responses", False, "failed", "", make_row(**given)))


def marked(row: ReadRow) -> dict[str, str]:
    """The marked line of each text that has one."""
    return {
        text.title: piece.text.splitlines()[piece.marked - 1]
        for text in row.texts
        for piece in text.pieces
        if piece.marked
    }


TESTS = "Some tests:\n```python\nassert added(7, 1) == 8\n```\nand\n```python\n\nassert added(6, 5) == 30\n```"


def test_the_line_of_the_tests_is_marked() -> None:
    """Code blocks are joined before a program runs; the line is found in the block that it came from."""
    row = read(tests=TESTS, status="failed", line=4)
    assert marked(row) == {"Tests": "assert added(6, 5) == 30"}
    assert row.line == "line 4 of the tests"
    assert marked(read(tests=TESTS, status="failed", line=1)) == {"Tests": "assert added(7, 1) == 8"}


def test_an_error_of_syntax_names_its_text() -> None:
    """The message says whether the response or the tests could not be read."""
    broken = "```python\ndef added(a, b)\n    return a + b\n```"
    row = read(response=broken, status="error", line=1, message="expected ':' (<response>, line 1)")
    assert marked(row) == {"Response": "def added(a, b)"}
    row = read(status="error", line=2, message="unmatched ']' (<tests>, line 2)")
    assert marked(row) == {"Tests": "assert added(6, 5) == 6 + 5"}


def test_a_line_beyond_the_tests_is_one_of_the_response() -> None:
    """An exception of the response alone has a line of the response."""
    response = "```python\nimport nothing_here\n\n\ndef added(a, b):\n    return a + b\n\n\nprint(1 / 0)\n```"
    row = read(response=response, status="error", error_type="ZeroDivisionError", line=8)
    assert marked(row) == {"Response": "print(1 / 0)"}


@pytest.mark.parametrize("line", [-1, 0, None, True, "2", 10_000])
def test_a_line_that_is_none_marks_nothing(line: Any) -> None:
    """A passing program has no line; damage is no error."""
    assert marked(read(line=line)) == {}


def test_a_long_answer_is_not_read_for_its_line() -> None:
    """The line is told and not looked for: reading takes time."""
    row = make_row(tests="```python\n" + "assert added(1, 1) == 2\n" * 2_000 + "```", line=7)
    assert find_line(row) == ("tests", 7)
    assert marked(read_shown(Shown("responses", False, "failed", "", row))) == {}


def test_rows_without_texts_are_told_by_their_reason() -> None:
    """A source file that could not be read has an id, a reason and a detail."""
    row = read_shown(Shown("seeds", False, "test_code", "tests/test_a.py", {"source_id": "a1", "seed": None}))
    assert (row.row_id, row.reason, row.detail, list(row.texts)) == ("a1", "test_code", "tests/test_a.py", [])


def test_the_marked_line_says_so_without_colour() -> None:
    """The line has a class, to which the style adds words."""
    page = render(make_facts())
    assert page.count('class="line marked"') == 1
    assert '.marked::after { content: "  ← here"' in page


def test_a_row_says_in_its_heading_what_it_is_about() -> None:
    """The first line of its task, else its function; a long one is cut."""
    assert read(instruction="\nAdd two numbers.\nThey are whole.").title == "Add two numbers."
    assert read(instruction="", function="added").title == "added"
    assert len(read(instruction="many words " * 30).title) <= 90
