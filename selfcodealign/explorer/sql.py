"""The page with a box for SQL over the rows of a run; each query runs in a locked process of its own."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from selfcodealign.explorer.rendering import respond
from selfcodealign.explorer.tables import StageTable, find_stages, open_table

#: Seconds after which a query's process is killed.
MOST_SECONDS = 10.0
#: Characters of a query, and bytes of an answer that are read.
_MOST_QUERY, _MOST_ANSWER = 20_000, 8_000_000
#: Queries at once: each may take 300 MB.
_AT_ONCE = 2
#: Where Python finds this package.
_OWN_FOLDER = Path(__file__).parents[2]
#: A value that is the id of a row, as far as it looks.
_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
_PATH = re.compile(r"""(?:(?<=["'\s(=])|^)/[^\s"']+""")
EXAMPLES = (
    ("How the answers ended", "SELECT status, count(*) AS answers FROM responses GROUP BY ALL ORDER BY answers DESC"),
    (
        "Concepts whose answers fail most",
        "SELECT concept, count(*) AS answers, round(avg((status = 'passed')::INT), 3) AS passed\n"
        "FROM (SELECT unnest(concepts) AS concept, status FROM responses)\n"
        "GROUP BY ALL HAVING answers >= 20 ORDER BY passed LIMIT 20",
    ),
    (
        "Why rows were dropped, with an instance",
        "SELECT reason, count(*) AS rows, any_value(detail) AS instance FROM responses\n"
        "WHERE NOT kept GROUP BY ALL ORDER BY rows DESC",
    ),
)


@dataclass(frozen=True)
class Answer:
    """Rows as texts, or an `error`; `cut` says what of the result is shown, where it is not all."""

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str | None]] = ()
    cut: str = ""
    error: str = ""
    seconds: float = field(default=0.0, compare=False)


class SqlPage:
    """The page for queries of a run."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._places = asyncio.Semaphore(_AT_ONCE)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/sql", self._show)
        app.router.add_post("/sql", self._run_query)

    async def _show(self, request: web.Request) -> web.Response:
        return self._respond(request, request.query.get("query", "")[:_MOST_QUERY], None)

    async def _run_query(self, request: web.Request) -> web.Response:
        form = await request.post()
        query = str(form.get("query", ""))
        async with self._places:
            answer = await ask_process(self._run, query)
        return self._respond(request, query, answer)

    def _respond(self, request: web.Request, query: str, answer: Answer | None) -> web.Response:
        tables = find_tables(self._run)
        names = {table.name for table in tables}
        examples = [one for one in EXAMPLES if "responses" in names]
        return respond(
            request, "sql.html", query=query, answer=answer, tables=tables, examples=examples, is_id=_ID.fullmatch
        )


def find_tables(run: Path) -> list[StageTable]:
    """The stages with rows on disk; each is a view."""
    found = (open_table(run, name) for name in find_stages(run))
    return [table for table in found if table is not None and table.pairs]


async def ask_process(run: Path, query: str, seconds: float = MOST_SECONDS) -> Answer:
    """Run a query in a process of its own, which is killed after `seconds`, and when the asker is gone."""
    if len(query) > _MOST_QUERY:
        return Answer(error=f"a query has at most {_MOST_QUERY:,} characters")
    tables = await asyncio.to_thread(find_tables, run)
    asked = {"query": query, "views": [_view(table) for table in tables], "readable": _folders(tables)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *_flags(), "-m", "selfcodealign.explorer.sql_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_environment(),
        limit=_MOST_ANSWER,
    )
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(seconds):
            text = await _talk(process, json.dumps(asked).encode())
            await process.wait()
    except TimeoutError:
        return Answer(error=f"the query took longer than {seconds:g} s and was stopped")
    finally:
        if process.returncode is None:
            process.kill()
            await asyncio.shield(process.wait())
    return _read(text, process.returncode, run, asyncio.get_running_loop().time() - began)


async def _talk(process: asyncio.subprocess.Process, asked: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(asked)
    try:
        await process.stdin.drain()
        process.stdin.close()
    except ConnectionError:  # it ended before it had read all
        pass
    found = bytearray()
    while len(found) < _MOST_ANSWER and (piece := await process.stdout.read(1 << 16)):
        found += piece
    return bytes(found)


def _read(text: bytes, code: int | None, run: Path, seconds: float) -> Answer:
    try:
        told: Mapping[str, Any] = json.loads(text)
    except ValueError:
        told = {"error": f"the query needed more memory or time than it may take (its process ended with {code})"}
    if "error" in told:
        return Answer(error=hide_paths(told["error"], run), seconds=seconds)
    return Answer(told["columns"], told["rows"], told["cut"], seconds=seconds)


def hide_paths(text: str, run: Path) -> str:
    """Return a message without paths outside the run, and those inside from the run on.

    >>> hide_paths('cannot read "/etc/passwd", but "/runs/one/seeds/kept-main-000001.parquet"', Path("/runs/one"))
    'cannot read "…", but "seeds/kept-main-000001.parquet"'
    """
    return _PATH.sub("…", text.replace(f"{run}/", ""))


def _view(table: StageTable) -> dict[str, Any]:
    files = {"kept": [pair.kept for pair in table.pairs], "dropped": [pair.dropped for pair in table.pairs]}
    return {"name": table.name, "columns": list(table.fields), **files}


def _folders(tables: Sequence[StageTable]) -> list[str]:
    return [str(Path(table.pairs[0].kept).parent) for table in tables]


def _flags() -> list[str]:
    """Neither the variables of the environment nor the folder of the user decide what is imported."""
    return ["-s", "-P"]


def _environment() -> dict[str, str]:
    """Only what Python needs to find this package: a query must not see what else the environment holds."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONPATH": str(_OWN_FOLDER)}
