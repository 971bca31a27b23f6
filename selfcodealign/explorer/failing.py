"""Where the line that ended a program stands in the texts of its answer.

A verdict counts lines in the code that was taken out of a text: of the tests, or of the response where the message says
so. The texts are Markdown; their blocks of code, joined by an empty line, are that code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfcodealign.fences import extract_python, read_tests
from selfcodealign.pages.code import Part, split_text
from selfcodealign.sandbox import Status

#: How messages say that the line is one of the response.
_OF_RESPONSE = re.compile(r"\(line of the response\)|\(<response>, line \d+\)")
_OF_TESTS = re.compile(r"\(<tests>, line \d+\)")
_QUOTED = re.compile(r"'(\w+)'")
#: Characters of a text beyond which it is not read again.
_MOST_READ = 200_000


@dataclass(frozen=True)
class Shown:
    """A part of a text; `marked` is the line of its code that ended the program (from 1; 0: none)."""

    part: Part
    marked: int = 0


def show_texts(row: Mapping[str, Any]) -> tuple[list[Shown], list[Shown]]:
    """Split response and tests of a row into parts, with the line that ended the program marked in one of them."""
    response, tests = row.get("response") or "", row.get("tests") or ""
    line = row.get("line") or 0
    if not tests or line < 1 or len(response) + len(tests) > _MOST_READ:
        in_response = bool(response) and not tests and line > 0 and len(response) <= _MOST_READ
        return _mark(response, extract_python(response), line) if in_response else _plain(response), _plain(tests)
    code, test_code = extract_python(response), read_tests(tests).code
    if _is_of_response(row, code, test_code):
        return _mark(response, code, line), _plain(tests)
    return _plain(response), _mark(tests, test_code, line)


def _is_of_response(row: Mapping[str, Any], code: str, test_code: str) -> bool:
    message, line = row.get("message") or "", row["line"]
    if row.get("status") == Status.TAMPERING or _OF_RESPONSE.search(message):
        return True
    if _OF_TESTS.search(message):
        return False
    own, asked = _line(code, line), _line(test_code, line)
    # Earlier versions did not say it of errors that came while the response was loaded.
    named = _QUOTED.search(message)
    return not asked.strip() or (named is not None and named[1] in own and named[1] not in asked)


def _line(code: str, number: int) -> str:
    lines = code.split("\n")
    return lines[number - 1] if number <= len(lines) else ""


def _plain(text: str) -> list[Shown]:
    return [Shown(part) for part in split_text(text)]


def _mark(text: str, code: str, line: int) -> list[Shown]:
    """The parts of a text with the line marked; where the code is none of them, it comes after them."""
    parts = split_text(text)
    found = place_line(parts, code, line)
    if found is None:
        if line > len(code.split("\n")):
            return [Shown(part) for part in parts]
        return [*(Shown(part) for part in parts if part.text.strip() != code.strip()), Shown(Part(code, True), line)]
    return [Shown(part, found[1] if number == found[0] else 0) for number, part in enumerate(parts)]


def place_line(parts: Sequence[Part], code: str, line: int) -> tuple[int, int] | None:
    """Return the number of the part that holds a line of the code, and the line in it (from 1); None if none does."""
    lines, begin = code.split("\n"), 0
    for number, part in enumerate(parts):
        own = part.text.removesuffix("\n").split("\n")
        if not part.is_code or lines[begin : begin + len(own)] != own:
            continue
        if begin < line <= begin + len(own):
            return number, line - begin
        begin += len(own) + 1  # with the empty line between two blocks
    return None
