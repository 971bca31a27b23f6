"""The whole story of a row as plain values: what it was made from, what was made of it, why it stayed or went."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfcodealign.explorer.diffs import Line, unified
from selfcodealign.explorer.failing import Shown, show_texts
from selfcodealign.explorer.reasons import describe_verdict, explain_choice, explain_fate, split_ids
from selfcodealign.report.matrix import SIGNS
from selfcodealign.report.search import Search
from selfcodealign.rows import Example
from selfcodealign.run_folder.marks import Mark
from selfcodealign.sandbox import Status

Row = Mapping[str, Any]
#: Rows of one stage in a story, and rows that were dropped as like one of them.
MOST_ROWS, MOST_COPIES = 200, 50
_KNOWN = {*Example.field_names(), "parent", "reason", "detail", "stage", "kept", "ancestors"}
_IDS = ("seed_id", "concepts_id", "instruction_id", "response_id")
_SAFE_LINK = re.compile(r"https://[A-Za-z0-9.-]+(:\d+)?(/[\w.~/%+=&?#-]*)?")


@dataclass(frozen=True)
class Answer:
    """An answer to a task. `fate` says what became of it, in pieces of (text, id of a row or ""); `verdict` are pairs
    of a name and a value, `chosen` sentences on why it was taken, `extra` the fields of stages of others."""

    row: Row
    fate: Sequence[tuple[str, str]]
    response: Sequence[Shown]
    tests: Sequence[Shown]
    verdict: Sequence[tuple[str, str]]
    chosen: Sequence[str]
    extra: Mapping[str, str]

    @property
    def id(self) -> str:
        """The id of the response; "" where an answer was asked for in vain."""
        return self.row.get("response_id") or ""

    @property
    def passed(self) -> bool:
        return self.row.get("status") == Status.PASSED

    @property
    def in_data_set(self) -> bool:
        return self.row["kept"] and "pass_rate" in self.row


@dataclass(frozen=True)
class Sibling:
    """A line of the matrix of siblings: the number of the sample, a sign and a word for each sibling's tests."""

    sample: int
    cells: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Task:
    """An instruction with its answers, in the order they were drawn. `fate` says what became of it where it has none.

    `compare` are the ids of an answer that passed and of one that did not.
    """

    row: Row
    answers: Sequence[Answer]
    fate: Sequence[tuple[str, str]]
    matrix: Sequence[Sibling]
    compare: tuple[str, str] | None

    @property
    def id(self) -> str:
        return self.row.get("instruction_id") or ""


@dataclass(frozen=True)
class Story:
    """A row, found by the id `id` in the field `field`, with its ancestors and its descendants.

    `first` is the row that tells of the ancestors, `fate` what became of it where it has no instruction. `copies` are
    rows that were dropped as like one of these. `marks` hold for rows of the story, by id. `more`: rows are left out.
    """

    id: str
    field: str
    first: Row
    tasks: Sequence[Task]
    change: Sequence[Line]
    link: str
    fate: Sequence[tuple[str, str]]
    copies: Sequence[Row]
    extra: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)
    more: bool = False

    @property
    def kind(self) -> str:
        """What the row is, in a word."""
        return self.field.removesuffix("_id").replace("_", " ")


def build_story(search: Search, beginning: str, marks: Mapping[str, Mark], choose: str = "random") -> Story:
    """Build the story of the row whose id begins so, with all answers to its instruction; `choose` is the recipe's
    `selection.choose`. Raises `RunFolderError` unless one row has such an id."""
    name, row_id = search.find(beginning)
    task = search.value(name, row_id, "instruction_id") if name == "response_id" else None
    rows = search.rows("instruction_id", task, MOST_ROWS) if task else search.rows(name, row_id, MOST_ROWS)
    ids = list(dict.fromkeys([row_id, *(row.get(one) for one in ("instruction_id", "response_id") for row in rows)]))
    copies = search.copies([one for one in ids if one], MOST_COPIES)
    return tell(name, row_id, rows, marks, choose, copies)


def tell(
    name: str, row_id: str, rows: Sequence[Row], marks: Mapping[str, Mark], choose: str, copies: Sequence[Row] = ()
) -> Story:
    """Build a story of rows that were found, with their `stage` and `kept`; those of later stages come first."""
    first = rows[0] if rows else {"stage": "", "kept": True, name: row_id}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("instruction_id"):
            groups.setdefault(row["instruction_id"], []).append(row)
    ids = {row_id, *(row.get(one) or "" for row in rows for one in _IDS)}
    is_commit = bool(first.get("commit_message") and first.get("seed"))
    return Story(
        id=row_id,
        field=name,
        first=first,
        tasks=[_task(group, marks, choose) for group in groups.values()],
        change=unified(first.get("old_code") or "", first["seed"]) if is_commit else (),
        link=_link(first),
        fate=() if groups else split_ids(explain_fate(first)),
        copies=[one for one in copies if one["reason"] != "one_per_instruction" and one["parent"] != one["detail"]],
        extra={} if groups else extra_fields(first),
        marks={one: marks[one] for one in ids if one in marks},
        more=len(rows) >= MOST_ROWS,
    )


def extra_fields(row: Row) -> dict[str, str]:
    """Return what stages of others, and other journeys, have added to a row."""
    return {name: str(value) for name, value in row.items() if name not in _KNOWN and value not in (None, "")}


def _task(rows: Sequence[Row], marks: Mapping[str, Mark], choose: str) -> Task:
    drawn = sorted((row for row in rows if row.get("response_id")), key=lambda row: row.get("sample") or 0)
    answers = [_answer(row, drawn, marks, choose) for row in drawn]
    passed = next((one.id for one in answers if one.passed), "")
    failed = next((one.id for one in answers if not one.passed and one.row.get("response")), "")
    return Task(
        row=rows[0],
        answers=answers,
        fate=() if answers else split_ids(explain_fate(rows[0])),
        matrix=list(_siblings(drawn)),
        compare=(passed, failed) if passed and failed else None,
    )


def _answer(row: Row, siblings: Sequence[Row], marks: Mapping[str, Mark], choose: str) -> Answer:
    response, tests = show_texts(row)
    return Answer(
        row=row,
        fate=split_ids(explain_fate(row)),
        response=response,
        tests=tests,
        verdict=list(describe_verdict(row)),
        chosen=list(explain_choice(row, siblings, marks.get(row["response_id"]), choose)),
        extra=extra_fields(row),
    )


def _siblings(rows: Sequence[Row]) -> Iterator[Sibling]:
    for row in rows:
        if row.get("siblings"):
            words = row["siblings"]
            yield Sibling(row.get("sample") or 0, [(SIGNS.get(word, word), word or "not run") for word in words])


def _link(row: Row) -> str:
    """The address of the repository, if it is a plain one that a browser may be sent to; it is shown as it is."""
    for name in ("repository", "origin"):
        address = row.get(name) or ""
        if _SAFE_LINK.fullmatch(address):
            return address
    return ""
