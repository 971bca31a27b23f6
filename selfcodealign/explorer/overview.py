"""The overview of a run, followed while the run is at work; its report and its data set's card."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path

from aiohttp import web

from selfcodealign.explorer.access import NotFound
from selfcodealign.explorer.counts import Pace, StageCounts, count_stages, is_at_work
from selfcodealign.explorer.database import Database
from selfcodealign.explorer.rendering import respond

#: The report is one file with its styles inside.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
#: What of a run may be read besides its rows.
REPORT, CARD = "report.html", "dataset/README.md"
_MOST_BYTES = 64 * 2**20


class Overview:
    """The pages of a run as a whole."""

    def __init__(self, run: Path, database: Database) -> None:
        self._run = run
        self._database = database
        self._pace = Pace()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/", self._show)
        app.router.add_get("/live", self._tell)
        app.router.add_get("/report.html", self._report)
        app.router.add_get("/card", self._card)

    async def _show(self, request: web.Request) -> web.Response:
        counts = await self._database.ask(lambda cursor: count_stages(self._run, cursor))
        return respond(
            request,
            "overview.html",
            counts=counts,
            working=is_at_work(self._run),
            has_report=is_file(self._run / REPORT),
            has_card=is_file(self._run / CARD),
        )

    async def _tell(self, request: web.Request) -> web.Response:
        counts = await asyncio.to_thread(count_stages, self._run)
        working = is_at_work(self._run)
        pace = self._pace.note(time.monotonic(), counts) if working else None
        return web.json_response(
            {"working": working, "rows_per_second": pace, "stages": [_brief(one) for one in counts]}
        )

    async def _report(self, request: web.Request) -> web.Response:
        text = await asyncio.to_thread(read_file, self._run / REPORT)
        return web.Response(
            body=text, content_type="text/html", charset="utf-8", headers={"Content-Security-Policy": REPORT_POLICY}
        )

    async def _card(self, request: web.Request) -> web.Response:
        text = await asyncio.to_thread(read_file, self._run / CARD)
        return respond(request, "card.html", card=text.decode("utf-8", "replace"))


def _brief(one: StageCounts) -> dict[str, object]:
    return {"name": one.name, "state": one.state, "kept": one.kept, "dropped": one.dropped}


def is_file(path: Path) -> bool:
    """Whether a path is a file in a folder of the run, and neither is a link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode) and stat.S_ISDIR(path.parent.lstat().st_mode)
    except OSError:
        return False


def read_file(path: Path) -> bytes:
    """Read a file of the run that is no link and in no linked folder. Raises `NotFound`."""
    if not is_file(path):
        raise NotFound
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        raise NotFound from None
