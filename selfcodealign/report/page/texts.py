"""Rows as a person reads them: their texts in order, code with the line that failed, and what became of the row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from selfcodealign.fences import read_answer, read_tests
from selfcodealign.markdown import split_lines
from selfcodealign.pages.code import Part, split_text
from selfcodealign.report.facts import Shown

#: Fields that have a heading of their own, in order: the seed, what was made of it, and what judges it.
_TEXTS = (
    ("old_code", "Code before the commit", "code"),
    ("seed", "Seed", "code"),
    ("commit_message", "Commit message", "prose"),
    ("instruction", "Instruction", "parts"),
    ("response", "Response", "parts"),
    ("tests", "Tests", "parts"),
)
#: Fields of the small table below the texts, in order.
_FACTS = (
    ("function", "function"),
    ("origin", "origin"),
    ("source_path", "path"),
    ("licence", "licence"),
    ("category", "category"),
    ("difficulty", "difficulty"),
    ("sample", "sample"),
    ("seconds", "seconds"),
    ("mutation_score", "mutation score"),
    ("killed_by_value", "notices other values"),
    ("proof", "proof"),
    ("repairs", "repairs"),
    ("pass_rate", "pass rate"),
)
#: Ids, from that of the last row to that of the first.
_IDS = ("response_id", "instruction_id", "concepts_id", "seed_id", "source_id")
#: Letters of an answer beyond which no line is looked for: reading an answer takes time.
_MOST_READ = 20_000
#: Letters of a text that are split into prose and code.
_MOST_SPLIT = 8_000
#: Letters of a row's title.
_TITLE = 90


@dataclass(frozen=True)
class Piece:
    """Prose or code of one field; `marked` is the line of the code that failed, 0 for none."""

    text: str
    is_code: bool
    marked: int = 0


@dataclass(frozen=True)
class Text:
    """One field of a row."""

    title: str
    pieces: Sequence[Piece]
    letters: int = 0


@dataclass(frozen=True)
class ReadRow:
    """One row, to be read."""

    stage: str
    row_id: str
    #: What the row is about, in a few words: its task, or the function that it comes from.
    title: str
    kept: bool
    reason: str
    detail: str
    status: str
    error: str
    line: str
    output: str
    concepts: Sequence[str]
    texts: Sequence[Text]
    facts: Sequence[tuple[str, str]]


def read_shown(shown: Shown) -> ReadRow:
    """Lay out a row; fields that it does not have, or that are empty, are left out."""
    row = shown.row
    where, line = find_line(row)
    concepts = row.get("concepts")
    named = [str(one) for one in concepts] if isinstance(concepts, (list, tuple)) else []
    error = ": ".join(filter(None, (_text(row, "error_type"), _text(row, "message"))))
    return ReadRow(
        stage=shown.stage,
        row_id=next(filter(None, (_text(row, name) for name in _IDS)), ""),
        title=_title(row),
        kept=shown.kept,
        reason=shown.reason,
        detail=shown.detail,
        status=_text(row, "status"),
        error=error,
        line=f"line {line} of the {where}" if line else "",
        output=_text(row, "output"),
        concepts=named,
        texts=[
            _read(title, how, text, line if field == where else 0)
            for field, title, how in _TEXTS
            if (text := _text(row, field))
        ],
        facts=[(name, told) for field, name in _FACTS if (told := _tell(row.get(field)))],
    )


def _title(row: Mapping[str, Any]) -> str:
    texts = (_text(row, name) for name in ("instruction", "commit_message", "function", "source_path"))
    lines = next(filter(None, (text.strip() for text in texts)), "").split("\n")
    return lines[0] if len(lines[0]) <= _TITLE else f"{lines[0][: _TITLE - 1].rstrip()}…"


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _tell(value: object) -> str:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _read(title: str, how: str, text: str, line: int) -> Text:
    if how == "parts":
        parts = split_text(text[:_MOST_SPLIT])
        marked = _marked_lines(text, parts, line, title == "Tests") if line else {}
        pieces = [Piece(part.text, part.is_code, marked.get(place, 0)) for place, part in enumerate(parts)]
    else:
        pieces = [Piece(text, how == "code")]
    return Text(title, pieces, len(text))


def find_line(row: Mapping[str, Any]) -> tuple[Literal["tests", "response"], int]:
    """In which text the line that ended a program is, and its number in the code of that text; 0: there is none.

    The line is one of the tests, unless the exception came from the response alone: an error of syntax says so, and
    else the tests have no code in that line.
    """
    line, tests = row.get("line"), _text(row, "tests")
    if not isinstance(line, int) or isinstance(line, bool) or line < 1:
        return "tests", 0
    message = _text(row, "message")
    if "(<response>, line" in message or not tests:
        return "response", line
    if "(<tests>, line" in message or len(tests) > _MOST_READ:
        return "tests", line
    lines = split_lines(read_tests(tests).code)
    blank = line > len(lines) or not lines[line - 1].strip() or lines[line - 1].lstrip().startswith("#")
    return ("response" if blank else "tests"), line


def _marked_lines(text: str, parts: Sequence[Part], line: int, of_tests: bool) -> dict[int, int]:
    """Where a line of a text's code is among the parts of the text: the part's number, and the line in it."""
    if len(text) > _MOST_READ:
        return {}
    code = split_lines((read_tests(text) if of_tests else read_answer(text)).code)
    begin = 0
    for place, part in enumerate(parts):
        own = split_lines(part.text.rstrip("\n"))
        at = next((n for n in range(begin, len(code) - len(own) + 1) if code[n : n + len(own)] == own), None)
        if at is None:
            continue
        if at < line <= at + len(own):
            return {place: line - at}
        begin = at + len(own)
    return {}
