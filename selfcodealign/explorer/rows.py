"""The rows of a stage: a list with filters, one row as JSON, and downloads."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from selfcodealign.errors import RunFolderError
from selfcodealign.explorer.access import NotFound
from selfcodealign.explorer.database import Database
from selfcodealign.explorer.downloads import FORMATS, send_rows
from selfcodealign.explorer.filters import MARK, read_filter, tell
from selfcodealign.explorer.listing import (
    PAGE_ROWS,
    Asked,
    count_facets,
    count_rows,
    list_rows,
    read_row,
)
from selfcodealign.explorer.rendering import respond
from selfcodealign.explorer.tables import KEPT, REASON, StageTable, open_table
from selfcodealign.run_folder.marks import FILE, Mark, read_marks

#: Pages by number; the last rows of a long list are reached by sorting the other way.
_MOST_PAGES = 1_000_000
#: Filters whose facets are remembered. Files never change: a run in progress has others.
_MOST_COUNTED = 64
Facets = dict[str, list[tuple[str, int]]]


class Rows:
    """The pages of a run's stages."""

    def __init__(self, run: Path, database: Database) -> None:
        self._run = run
        self._database = database
        self._counted: dict[Hashable, Facets] = {}

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/stage/{stage}", self._list)
        app.router.add_get("/stage/{stage}/count", self._count)
        app.router.add_get("/stage/{stage}/row/{file}/{number}", self._row)
        app.router.add_get("/stage/{stage}/rows.{format}", self._download)

    async def _list(self, request: web.Request) -> web.Response:
        asked = self._read(request)
        page, after = _page_number(request), request.query.get("after", "")
        found, facets = await asyncio.gather(
            self._database.ask(lambda cursor: list_rows(cursor, asked, page, after)), self._facets(asked)
        )
        total = None if facets is None else sum(count for _, count in facets.get(KEPT, []))
        return respond(
            request,
            "stage.html",
            table=asked.table,
            columns=_telling(asked.table.columns, asked),
            heads=_telling((KEPT, REASON), asked),
            chosen=asked.chosen,
            marks=asked.marks,
            marks_problem=self._marks_problem(),
            found=found,
            rows=[_with_links(row, asked.table) for row in found.rows],
            page=page,
            total=total,
            pages=math.ceil((total or 0) / PAGE_ROWS),
            facets=facets or {},
            page_rows=PAGE_ROWS,
            formats=FORMATS,
            tell=lambda one: tell(one, asked.table),
            value=show_value,
            mark_field=MARK,
        )

    async def _facets(self, asked: Asked) -> Facets | None:
        """The facets of a filter, which all its pages share; None for a search, which is not counted unasked."""
        if asked.chosen.reads_texts and not asked.chosen.sort:
            return None
        chosen, marks = asked.chosen, asked.marks
        key = (
            asked.table.name,
            tuple(asked.table.pairs),
            chosen.search,
            tuple(chosen.conditions),
            tuple(marks.items()),
        )
        if key not in self._counted:
            while len(self._counted) >= _MOST_COUNTED:
                self._counted.pop(next(iter(self._counted)))
            self._counted[key] = await self._database.ask(lambda cursor: count_facets(cursor, asked))
        return self._counted[key]

    async def _count(self, request: web.Request) -> web.Response:
        asked = self._read(request)
        return web.json_response({"total": await self._database.ask(lambda cursor: count_rows(cursor, asked))})

    async def _row(self, request: web.Request) -> web.Response:
        table, number = self._table(request), request.match_info["number"]
        if not (number.isascii() and number.isdecimal() and len(number) < 12):
            raise NotFound
        row = await self._database.ask(lambda one: read_row(one, table, request.match_info["file"], int(number)))
        if row is None:
            raise NotFound
        return web.json_response({name: plain(value) for name, value in row.items()})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["format"] not in FORMATS:
            raise NotFound
        return await send_rows(request, self._database, self._read(request), request.match_info["format"])

    def _read(self, request: web.Request) -> Asked:
        table = self._table(request)
        return Asked(table, read_filter(request.query, table), self._marks())

    def _table(self, request: web.Request) -> StageTable:
        table = open_table(self._run, request.match_info["stage"])
        if table is None:
            raise NotFound("This run has no stage of this name with rows.")
        return table

    def _marks(self) -> Mapping[str, Mark]:
        if not (self._run / FILE).is_file():
            return {}
        try:
            return read_marks(self._run)
        except RunFolderError:
            return {}

    def _marks_problem(self) -> str:
        """Why the marks of the run are not shown; "" where they are."""
        try:
            if (self._run / FILE).is_file():
                read_marks(self._run)
        except RunFolderError as error:
            return str(error)
        return ""


def _page_number(request: web.Request) -> int:
    text = request.query.get("page", "1")
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:9]) <= _MOST_PAGES and len(text) < 9):
        raise NotFound("There is no such page.")
    return int(text)


def _telling(columns: Sequence[str], asked: Asked) -> list[str]:
    """The columns that differ between the rows: a condition above the list says what the others hold."""
    same = {one.field for one in asked.chosen.conditions if one.operator == "is"}
    return [name for name in columns if name not in same]


def _with_links(row: Mapping[str, Any], table: StageTable) -> dict[str, Any]:
    """A row with the id that its story is found by, and the end of its place's address."""
    own = row.get(table.row_id) or row.get("parent") or row.get(table.parent)
    return {**row, "row_id": own or "", "place": f"{os.path.basename(row['file'])}/{row['number']}"}


def show_value(value: Any) -> str:
    """Return a value as it stands in a list: of texts the first line, of numbers four digits.

    >>> show_value(0.75), show_value("a\\nb"), show_value(["x", "y"]), show_value(float("nan")), show_value(True)
    ('0.75', 'a …', 'x, y', '', 'yes')
    """
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}" if math.isfinite(value) else ""
        case list():
            return ", ".join(str(one) for one in value)
        case str():
            first, _, rest = value.partition("\n")
            return f"{first} …" if rest.strip() else first
        case _:
            return str(value)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: what was not measured is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
