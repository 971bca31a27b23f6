"""The explorer's server: one run, one token, this machine only."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from aiohttp import http_exceptions, web

from selfcodealign.errors import RunFolderError, UserError, reason_of
from selfcodealign.explorer.access import Access, NotFound, add_headers
from selfcodealign.explorer.database import Database
from selfcodealign.explorer.overview import Overview
from selfcodealign.explorer.rendering import FRAME, Frame
from selfcodealign.explorer.rows import Rows
from selfcodealign.explorer.sql import SqlPage
from selfcodealign.explorer.stories import Stories
from selfcodealign.explorer.tables import find_stages
from selfcodealign.pages.template import style

LOG = logging.getLogger(__name__)
HOST = "127.0.0.1"
#: Bytes of a form.
_MOST_FORM = 256 * 1024
_CLOSE_SECONDS = 2.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: The files that pages load, by name; nothing else is looked up.
_STATIC = {"explorer.css": "text/css", "story.css": "text/css", "explorer.js": "text/javascript"}


def make_app(run: Path, token: str) -> web.Application:
    """Return the application for a run; its runner needs `handler_cancellation=True`."""
    app = web.Application(middlewares=Access(token).middlewares, client_max_size=_MOST_FORM)
    app[FRAME] = Frame(run.name, lambda: _stages(run))
    app.on_response_prepare.append(add_headers)
    database = Database()
    for pages in (Overview(run, database), Rows(run, database), Stories(run, database), SqlPage(run)):
        pages.add_routes(app)
    app.router.add_get("/static/{name}", _send_static)

    async def close(app: web.Application) -> None:
        database.close()

    app.on_cleanup.append(close)
    return app


def _stages(run: Path) -> list[str]:
    try:
        return find_stages(run)
    except RunFolderError:  # the page itself says what is wrong
        return []


async def _send_static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name == "pages.css":
        return web.Response(text=str(style()), content_type="text/css")
    if name not in _STATIC:
        raise NotFound
    text = files("selfcodealign.explorer").joinpath("static", name).read_text("utf-8")
    return web.Response(text=text, content_type=_STATIC[name])


def listen(port: int) -> socket.socket:
    """Return a socket of this machine alone; port 0 takes a free one. Raises `UserError`."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
        bound.listen()
    except OSError as error:
        bound.close()
        raise UserError(f"--port {port}: {reason_of(error)}; choose another one (0 takes a free one)") from None
    return bound


class _WithoutText(logging.Filter):
    """Tells a request that is no HTTP without its text, which may hold the token."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else record.exc_info
        if isinstance(error, http_exceptions.HttpProcessingError):
            record.msg, record.args, record.exc_info = f"a request that is no HTTP: {type(error).__name__}", (), None
        return True


def _note_signals() -> asyncio.Event:
    """Return an event that the first signal sets; further ones have their usual effect. `nohup` stays in force."""
    noted, loop = asyncio.Event(), asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        return noted
    taken = [one for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]

    def note() -> None:
        noted.set()
        for number in taken:
            loop.remove_signal_handler(number)

    for number in taken:
        loop.add_signal_handler(number, note)
    return noted


async def serve(run: Path, token: str, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve a run until Ctrl-C, SIGTERM or a closed terminal; a second signal does not wait for answers under way.

    `ready` is called when requests are taken.
    """
    LOG.addFilter(_WithoutText())
    stop = _note_signals()
    runner = web.AppRunner(
        make_app(run, token),
        access_log=None,
        logger=LOG,
        auto_decompress=False,
        handler_cancellation=True,
        shutdown_timeout=_CLOSE_SECONDS,
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        ready()
        await stop.wait()
    finally:
        await runner.cleanup()
