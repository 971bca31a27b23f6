"""The rows of one page of a list, and how many there are: places first, then the shown fields of these rows alone.

A filter on short fields is counted and paged by number. A search in texts reads gigabytes in a large run: it goes
through the files in order, stops at a full page or after `SEARCH_SECONDS`, and says where to go on.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from selfcodealign.explorer.database import fetch
from selfcodealign.explorer.filters import Filter, needed, where
from selfcodealign.explorer.tables import DETAIL, KEPT, REASON, Kind, Pair, StageTable, quote
from selfcodealign.run_folder.marks import Mark

PAGE_ROWS = 50
#: A search goes on until this time is over, and has looked at one portion of files at least.
SEARCH_SECONDS = 0.6
#: Rows that a search looks at before it looks at the time again.
_PORTION_ROWS = 10_000
#: Characters of a text that a list shows the first line of.
_SHOWN_CHARACTERS = 300
#: Characters of the line that opens a block of code, which is not shown.
_FENCE = 40
_LISTED_ITEMS = 8
FACETS = ("reason", "status", "category", "difficulty", "proof", "kind", "licence", "direction", "heuristic")
_FACET_VALUES = 8

Place = tuple[str, int]


@dataclass(frozen=True)
class Page:
    """Rows of a list by column, each with its `file` and `number`.

    A search has looked at `searched` rows before those of the last portion; `after` is where it goes on ("": it is
    through).
    """

    rows: Sequence[Mapping[str, Any]]
    searched: int = 0
    after: str = ""


@dataclass(frozen=True)
class Asked:
    """What a list is made of: the table, the filter, and what people said of rows."""

    table: StageTable
    chosen: Filter
    marks: Mapping[str, Mark] = field(default_factory=dict)


def list_rows(cursor: duckdb.DuckDBPyConnection, asked: Asked, page: int, after: str = "") -> Page:
    """Return a page: by number (from 1), or a search's rows behind `after`."""
    if not asked.table.pairs:
        return Page(())
    if asked.chosen.reads_texts and not asked.chosen.sort:
        return _search(cursor, asked, after)
    table, chosen = asked.table, asked.chosen
    source, files = table.select(needed(chosen, table))
    condition, given = where(chosen, table, asked.marks)
    order = f"ORDER BY {quote(chosen.sort)} {'DESC' if chosen.down else 'ASC'} NULLS LAST, file, number"
    if table.kinds.get(chosen.sort) == "number":  # not measured is not the largest
        order = order.replace("ORDER BY", f"ORDER BY coalesce(isnan({quote(chosen.sort)}::DOUBLE), true),")
    query = f"SELECT file, number FROM {source} WHERE {condition} {order if chosen.sort else ''} LIMIT ? OFFSET ?"
    found = cursor.execute(query, [*files, *given, PAGE_ROWS, (page - 1) * PAGE_ROWS]).fetchall()
    return Page(read_rows(cursor, table, found))


def count_rows(cursor: duckdb.DuckDBPyConnection, asked: Asked) -> int:
    """Count the rows that meet the filter."""
    if not asked.table.pairs:
        return 0
    condition, given = where(asked.chosen, asked.table, asked.marks)
    if condition == "true":
        return asked.table.size
    source, files = asked.table.select(needed(asked.chosen, asked.table))
    found = cursor.execute(f"SELECT count(*) FROM {source} WHERE {condition}", [*files, *given]).fetchone()
    return found[0] if found else 0


def count_facets(cursor: duckdb.DuckDBPyConnection, asked: Asked) -> dict[str, list[tuple[str, int]]]:
    """Count kept and dropped rows, and the most frequent values of short fields, of the rows that meet the filter."""
    table = asked.table
    names = [KEPT, *(name for name in FACETS if name in table.kinds)]
    if not table.pairs:
        return {}
    source, files = table.select([*needed(asked.chosen, table), *names])
    condition, given = where(asked.chosen, table, asked.marks)
    sets = ", ".join(f"({quote(name)})" for name in names)
    groups = ", ".join(f"{quote(name)}::VARCHAR" for name in names)
    known = ", ".join(f"grouping({quote(name)})" for name in names)
    query = f"SELECT [{known}], [{groups}], count(*) FROM {source} WHERE {condition} GROUP BY GROUPING SETS ({sets})"
    found: dict[str, list[tuple[str, int]]] = {name: [] for name in names}
    for absent, values, count in cursor.execute(query, [*files, *given]).fetchall():
        place = absent.index(0)
        if values[place]:
            found[names[place]].append((values[place], count))
    return {
        name: sorted(values, key=lambda one: (-one[1], one[0]))[:_FACET_VALUES]
        for name, values in found.items()
        if values
    }


def _search(cursor: duckdb.DuckDBPyConnection, asked: Asked, after: str) -> Page:
    """Look through the files in portions of pairs, in order; in a portion kept rows come before dropped ones."""
    pairs = asked.table.pairs
    begin, size, skip = _read_after(pairs, after)
    places: list[Place] = []
    going_on, until = "", time.monotonic() + SEARCH_SECONDS
    while begin < len(pairs):
        taken = pairs[begin : begin + size] if size else _take(pairs[begin:], _PORTION_ROWS)
        found = _search_portion(cursor, asked, taken, PAGE_ROWS - len(places) + 1, skip)
        if len(places) + len(found) > PAGE_ROWS:
            going_on = _write_after(taken, len(taken), skip + PAGE_ROWS - len(places))
            places += found[: PAGE_ROWS - len(places)]
            break
        places += found
        begin, size, skip = begin + len(taken), 0, 0
        if begin < len(pairs) and time.monotonic() > until:
            going_on = _write_after(pairs[begin:], 0, 0)
            break
    searched = sum(pair.rows for pair in pairs[:begin])
    return Page(read_rows(cursor, asked.table, places), searched, going_on)


def _search_portion(
    cursor: duckdb.DuckDBPyConnection, asked: Asked, pairs: Sequence[Pair], most: int, skip: int
) -> list[Place]:
    source, files = asked.table.select(needed(asked.chosen, asked.table), pairs)
    condition, given = where(asked.chosen, asked.table, asked.marks)
    query = f"SELECT file, number FROM {source} WHERE {condition} LIMIT ? OFFSET ?"
    return cursor.execute(query, [*files, *given, most, skip]).fetchall()


def _take(pairs: Sequence[Pair], rows: int) -> Sequence[Pair]:
    """The first pairs with about this many rows, one at least."""
    count = 0
    while count < len(pairs) and (not count or pairs[count].rows <= rows):
        rows -= pairs[count].rows
        count += 1
    return pairs[:count]


def _write_after(pairs: Sequence[Pair], size: int, skip: int) -> str:
    return f"{skip}.{size}.{os.path.basename(pairs[0].kept)}"


def _read_after(pairs: Sequence[Pair], after: str) -> tuple[int, int, int]:
    """Where a search goes on: the first pair, the size of its portion (0: any), the rows that were shown of it."""
    skip, _, rest = after.partition(".")
    size, _, name = rest.partition(".")
    if not (skip.isdecimal() and size.isdecimal() and len(skip + size) < 12):
        return 0, 0, 0
    # Files may have come or gone meanwhile; then the first one behind is the nearest.
    return bisect_left([os.path.basename(pair.kept) for pair in pairs], name), int(size), int(skip)


def read_rows(cursor: duckdb.DuckDBPyConnection, table: StageTable, places: Sequence[Place]) -> list[dict[str, Any]]:
    """Read the shown fields of rows, in the order of `places`; of texts the beginning."""
    names = list(dict.fromkeys([*table.columns, *(one for one in (table.row_id, table.parent) if one in table.fields)]))
    numbers: dict[str, list[int]] = {}
    for file, number in places:
        numbers.setdefault(file, []).append(number)
    found: dict[Place, dict[str, Any]] = {}
    shown = ", ".join(_cut(name, table.kinds[name]) for name in names)
    for file, wanted in numbers.items():
        told = ", reason, left(detail, ?) AS detail, parent" if _is_dropped(file) else ""
        query = f"SELECT file_row_number AS number, {shown}{told} FROM read_parquet(?) WHERE file_row_number IN "
        query += f"({', '.join(map(str, wanted))})"
        for row in fetch(cursor, query, [*([_SHOWN_CHARACTERS] if told else []), [file]]):
            missing = {REASON: None, DETAIL: None, "parent": None}
            found[file, row["number"]] = missing | row | {"file": file, KEPT: not _is_dropped(file)}
    return [found[place] for place in places if place in found]


def _cut(name: str, kind: Kind) -> str:
    column = quote(name)
    if kind == "text":
        begun = f"left(ltrim({column}), {_SHOWN_CHARACTERS + _FENCE})"
        return f"left(ltrim(regexp_replace({begun}, '^```[^\n]{{0,{_FENCE}}}\n', '')), {_SHOWN_CHARACTERS}) AS {column}"
    return f"list_slice({column}, 1, {_LISTED_ITEMS}) AS {column}" if kind == "list" else column


def _is_dropped(file: str) -> bool:
    return os.path.basename(file).startswith("dropped-")


def read_row(cursor: duckdb.DuckDBPyConnection, table: StageTable, file: str, number: int) -> dict[str, Any] | None:
    """Return all fields of one row, whose file is named without its folder; None if there is none."""
    paths = [path for pair in table.pairs for path in (pair.kept, pair.dropped) if os.path.basename(path) == file]
    if not paths:
        return None
    found = fetch(cursor, "SELECT * FROM read_parquet(?) WHERE file_row_number = ?", [paths, number])
    return {KEPT: not _is_dropped(file), **found[0]} if found else None
