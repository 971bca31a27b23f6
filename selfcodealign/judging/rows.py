"""A row to judge: the text of a JSON object, of which only what the sandbox needs is read.

The text is kept as it was written, because reading and writing it again would lose something: numbers that no float
holds (1e400, 1.10), integers of any length, escaped halves of surrogate pairs, nesting of any depth, repeated names.
A verdict is put into the text, in place of fields of the same names.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import Any, NamedTuple

from selfcodealign.sandbox import Verdict

# The fields added to each row. `records` is for benchmark programs, which are not judged by rows.
VERDICT_FIELDS = ("status", "error_type", "message", "line", "output", "seconds", "peak_memory_mib", "repairs", "proof")
VERDICT_FIELDS += ("killed_by_value",)
#: The mutation score, and its name in the release before.
SCORE_FIELDS = ("mutation_score", "strength")
ADDED_FIELDS = (*VERDICT_FIELDS, *SCORE_FIELDS)
#: Longer lines are rows with a reason: they bound the memory.
LONGEST_LINE_MIB = 32
#: Characters that are kept of a line that is too long.
SHOWN_CHARACTERS = 1000

_ONE_OBJECT = "every line must be one JSON object"
_SPACE = re.compile(r"[ \t\n\r]*")
# Numbers are not read: they may have too many digits, and nothing is done with them.
_scan = JSONDecoder(parse_int=lambda _: 0, parse_float=lambda _: 0.0).scan_once  # type: ignore[arg-type]


class _Deep:
    """Stands for a value that is nested too deeply for the parser."""


DEEP = _Deep()


class Fields(NamedTuple):
    """The names of the fields that hold a response and its tests."""

    response: str = "response"
    tests: str = "tests"


class Member(NamedTuple):
    """A name and its value in an object: the name begins at `begin`, the value is `text[start:end]`."""

    name: str
    value: Any
    begin: int
    start: int
    end: int


@dataclass(slots=True)
class Row:
    """`head` is the row's text without its verdict and the last brace; a `fault` says why it cannot be judged."""

    head: str
    response: Any = None
    tests: Any = None
    names: tuple[str, ...] = ()
    fault: str = ""
    line: int | None = None

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return 2 * sys.getsizeof(self.head)

    def with_verdict(self, verdict: Verdict) -> bytes:
        """Return the line of the row and its verdict; what UTF-8 cannot hold is written as in JSON: \\ud800."""
        return f"{self.head}{_comma(self.head)}{_verdict_text(verdict)}\n".encode("utf-8", "backslashreplace")

    def read_verdict(self, line: bytes) -> dict[str, Any] | None:
        """Return the verdict in a line that `with_verdict` has made of this row; None for any other line."""
        begin = (self.head + _comma(self.head)).encode("utf-8", "backslashreplace")
        if not line.startswith(begin):
            return None
        try:
            found = json.loads(b"{" + line[len(begin) :])
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) and tuple(found) == ADDED_FIELDS else None


def read_row(line: bytes, number: int, fields: Fields) -> Row | None:
    """Read line `number`, counted from 1; None for an empty one. A line that is no object is a row with a fault."""
    if len(line) > LONGEST_LINE_MIB << 20:
        shown = line[:SHOWN_CHARACTERS].decode("utf-8", "replace")
        return _broken(
            number, shown, f"the line is longer than {LONGEST_LINE_MIB} MiB; {SHOWN_CHARACTERS} bytes are kept"
        )
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        shown = line.decode("utf-8", "replace").rstrip("\r\n")
        return _broken(number, shown, "this line is not UTF-8; save the file as UTF-8")
    if not text.strip():
        return None
    try:
        row = row_of(text.strip(" \t\r\n"), fields)
    except JSONDecodeError as found:
        return _broken(number, text.rstrip("\r\n"), f"not JSON ({found.msg}); {_ONE_OBJECT}")
    except TypeError as found:
        return _broken(number, text.rstrip("\r\n"), f"{found}; {_ONE_OBJECT}")
    # A carriage return can only stand between values here, and would be an end of a line for some readers.
    row.head = row.head.replace("\r", " ")
    return row


def row_of(text: str, fields: Fields) -> Row:
    """Read the text of a JSON object. Raises `JSONDecodeError`, and `TypeError` for another value."""
    found = list(members(text))
    values = {member.name: member.value for member in found}
    kept = [member for member in found if member.name not in ADDED_FIELDS]
    if len(kept) == len(found):
        head = text[:-1].rstrip(" \t\n\r")
    else:
        head = "{" + ", ".join(text[member.begin : member.end] for member in kept)
    return Row(head, values.get(fields.response), values.get(fields.tests), tuple(values))


def members(text: str, scan: Any = _scan) -> Iterator[Member]:
    """Yield the members of the object that is the text. A value that is nested too deeply is `DEEP`.

    Raises `JSONDecodeError`, and `TypeError` for a value that is no object.
    """
    at = _past_space(text, 0)
    if text[at : at + 1] != "{":
        value, end = _read_value(text, at, scan)
        _check_end(text, end)
        raise TypeError(f"a JSON {'list' if value is DEEP else type(value).__name__}")
    at = _past_space(text, at + 1)
    more = text[at : at + 1] != "}"
    while more:
        begin = at
        name, at = _read_name(text, at)
        start = _past_space(text, at)
        value, end = _read_value(text, start, scan)
        yield Member(name, value, begin, start, end)
        at = _past_space(text, end)
        more = text[at : at + 1] == ","
        if more:
            at = _past_space(text, at + 1)
    if text[at : at + 1] != "}":
        raise JSONDecodeError("Expecting ',' delimiter", text, at)
    _check_end(text, at + 1)


def add_verdict(row: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """Return the row with the verdict's fields; they replace fields of the same names."""
    return dict(row) | verdict_fields(verdict)


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """Return what a row gets, in the order of `ADDED_FIELDS`."""
    fields = {name: getattr(verdict, name) for name in VERDICT_FIELDS}
    return fields | dict.fromkeys(SCORE_FIELDS, verdict.mutation_score)


def join_tests(tests: Any) -> Any:
    """Return a list of tests, or the JSON text of one, as one text; other values unchanged (None as "").

    AceCode and opc-sft have lists of assertions, some data sets have them as JSON. The JSON text of another list is
    no text of tests: that list is returned.
    """
    if isinstance(tests, str) and tests.lstrip().startswith("["):
        try:
            listed = json.loads(tests)
        except (ValueError, RecursionError):
            return tests
        # Lists of texts or objects are somebody's form of storage; [1, 2] may as well be an expression.
        if isinstance(listed, list) and all(isinstance(one, str | dict) for one in listed):
            tests = listed
    if isinstance(tests, list | tuple) and all(isinstance(one, str) for one in tests):
        return "\n".join(tests)
    return "" if tests is None else tests


def _broken(number: int, text: str, fault: str) -> Row:
    # Its number becomes the `line` of the verdict.
    return Row(json.dumps({"text": text}, ensure_ascii=False)[:-1], fault=fault, line=number)


def _verdict_text(verdict: Verdict) -> str:
    return json.dumps(verdict_fields(verdict), ensure_ascii=False)[1:]


def _comma(head: str) -> str:
    return "" if head == "{" else ", "


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _check_end(text: str, at: int) -> None:
    if _past_space(text, at) != len(text):
        raise JSONDecodeError("Extra data", text, at)


def _read_name(text: str, at: int) -> tuple[str, int]:
    """Read a name and the colon after it."""
    if text[at : at + 1] != '"':
        raise JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    name, at = _scan(text, at)
    at = _past_space(text, at)
    if text[at : at + 1] != ":":
        raise JSONDecodeError("Expecting ':' delimiter", text, at)
    return name, at + 1


def _read_value(text: str, at: int, scan: Any) -> tuple[Any, int]:
    try:
        return scan(text, at)
    except StopIteration as found:
        raise JSONDecodeError("Expecting value", text, found.value) from None
    except RecursionError:
        return DEEP, _past_deep(text, at)


def _past_deep(text: str, at: int) -> int:
    """Return where a value ends, without recursion. Raises `JSONDecodeError`."""
    closing: list[str] = []  # of the brackets that are open
    while True:
        at = _past_space(text, at)
        opened = text[at : at + 1]
        if opened == "[" or opened == "{":
            closing.append("]" if opened == "[" else "}")
            at = _past_space(text, at + 1)
            if text[at : at + 1] != closing[-1]:
                at = at if opened == "[" else _read_name(text, at)[1]
                continue
        else:
            try:
                _, at = _scan(text, at)
            except StopIteration as found:
                raise JSONDecodeError("Expecting value", text, found.value) from None
        while closing:
            at = _past_space(text, at)
            if text[at : at + 1] == closing[-1]:
                closing.pop()
                at += 1
            elif text[at : at + 1] == ",":
                at = _past_space(text, at + 1)
                at = at if closing[-1] == "]" else _read_name(text, at)[1]
                break
            else:
                raise JSONDecodeError("Expecting ',' delimiter", text, at)
        else:
            return at
