"""Rows that a report shows whole: half of them kept ones, half drops, spread over stages and reasons.

Rows are drawn by the MD5 sum of their ids, so the same run gives the same rows in whatever order its files lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any, TypeVar

from selfcodealign.report.facts.tables import FILES, RunTables, StageTable
from selfcodealign.report.facts.types import Shown

#: Characters of a text beyond which it is cut.
MOST_CHARACTERS = 20_000
#: Where a row stands: its file, and its number in there.
_PLACE = "filename = true, file_row_number = true"
_FILES = FILES.removesuffix(")") + f", {_PLACE})"
#: A drawn row: file, number in it, reason ("" where it was kept).
_Drawn = tuple[str, int, str]
_T = TypeVar("_T")


def draw_shown(tables: RunTables, count: int) -> list[Shown]:
    """Draw `count` rows: kept ones of the last stage that kept any, and drops; more of one kind where the other lacks.

    Drops are dealt out by the stages in turn, the last stage first: of each reason one, then of each a second one.
    """
    if count < 1:
        return []
    last = tables.last()
    kept = [(last, one) for one in _draw_kept(tables, last, count)] if last else []
    by_stage = [
        [(table, one) for one in _in_turn(_draw_dropped(tables, table, count))] for table in reversed(tables.stages)
    ]
    dropped = _in_turn(by_stage)
    wanted = max(count // 2, count - len(kept))
    dropped = dropped[:wanted]
    kept = kept[: count - len(dropped)]
    order = {table.name: place for place, table in enumerate(tables.stages)}
    dropped.sort(key=lambda one: (order[one[0].name], one[1][2]))
    return [*_fetch(tables, kept), *_fetch(tables, dropped)]


def _in_turn(piles: Iterable[Sequence[_T]]) -> list[_T]:
    """The first of each pile, then the second of each, until all are empty."""
    return [one for one in chain(*zip_longest(*piles)) if one is not None]


def _draw_kept(tables: RunTables, table: StageTable, count: int) -> list[_Drawn]:
    query = (
        f"SELECT filename, file_row_number FROM {_FILES} "
        f"ORDER BY md5({table.column(table.row_id)}), filename, file_row_number LIMIT ?"
    )
    return [(file, row, "") for file, row in tables.ask(query, table.kept, count)]


def _draw_dropped(tables: RunTables, table: StageTable, count: int) -> Iterator[list[_Drawn]]:
    """The first drops of each reason, the most frequent reason first."""
    # Drops of one row have its parent in common, and may have no id of their own.
    key = f"md5(concat_ws('|', parent, coalesce({table.column(table.row_id)}, ''), detail))"
    query = (
        "SELECT reason, arg_min({'file': filename, 'row': file_row_number}, (draw, filename, file_row_number), ?) FROM "
        f"(SELECT reason, {key} AS draw, filename, file_row_number FROM {_FILES}) "
        "GROUP BY reason ORDER BY count(*) DESC, reason"
    )
    for reason, found in tables.ask(query, count, table.dropped):
        yield [(one["file"], one["row"], reason) for one in found]


def _fetch(tables: RunTables, drawn: Sequence[tuple[StageTable, _Drawn]]) -> Iterator[Shown]:
    """Read the rows from their files, in the given order; a file is read once."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    by_columns: dict[str, list[_Drawn]] = {}
    for table, one in drawn:
        by_columns.setdefault(f"{table.name} {bool(one[2])}", []).append(one)
    for wanted in by_columns.values():
        places = [f"{file}:{row}" for file, row, _ in wanted]
        query = f"SELECT * FROM {_FILES} WHERE filename || ':' || file_row_number IN (SELECT unnest(?))"
        for row in tables.named(query, sorted({file for file, _, _ in wanted}), places):
            rows[row.pop("filename"), row.pop("file_row_number")] = row
    for table, (file, number, reason) in drawn:
        row = rows[file, number]
        _, _, detail = row.pop("parent", None), row.pop("reason", None), row.pop("detail", None)
        yield Shown(table.name, not reason, reason, detail or "", _cut(row))


def _cut(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: f"{value[:MOST_CHARACTERS]}\n… {len(value) - MOST_CHARACTERS:,} more characters"
        if isinstance(value, str) and len(value) > MOST_CHARACTERS
        else value
        for name, value in row.items()
    }
