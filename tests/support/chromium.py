"""Find a Chromium, and open pages in it by playwright: errors and requests that leave this machine are collected.

    with visit(width=360, dark=True) as visited:
        visited.page.goto(path.as_uri())
        visited.page.get_by_role("button", name="Next").click()
    assert visited.errors == []
    assert visited.outside == []

A test that opens a page is marked with `needs_browser`, and is no coroutine: playwright has an event loop.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.places import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Route

#: Where `make .venv/.browser` puts a browser, see `fetch_chromium.py`.
FETCHED = ROOT / ".venv" / "chromium" / "chrome"
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
#: A browser that shares a busy machine takes long to start.
SECONDS = 60


def find_browser() -> str | None:
    """Return the program: `$CHROME_BIN`, a Chromium or Chrome on the path, or the one that the set-up fetched."""
    found = os.environ.get("CHROME_BIN") or next(filter(None, map(shutil.which, NAMES)), None)
    return found or (str(FETCHED) if FETCHED.exists() else None)


needs_browser = pytest.mark.skipif(
    find_browser() is None, reason="no Chromium or Chrome here: `make .venv/.browser` fetches one, CHROME_BIN names one"
)


@dataclass
class Visit:
    """A page, what went wrong on it, and the requests that would have left this machine; these are refused."""

    page: Page
    #: What the console got as errors (refused and failed requests among them), and uncaught exceptions.
    errors: list[str] = field(default_factory=list)
    #: URLs.
    outside: list[str] = field(default_factory=list)


@contextmanager
def visit(*, width: int = 1280, height: int = 800, dark: bool = False, script: bool = True) -> Iterator[Visit]:
    """Give an empty page `width` times `height` points large; `script=False` switches its JavaScript off.

    Further pages and downloads of the page are collected as well. They end with the context.
    """
    from playwright.sync_api import sync_playwright

    program = find_browser()
    assert program is not None, "mark the test with needs_browser"
    arguments = ["--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=arguments, chromium_sandbox=False, timeout=1000 * SECONDS
        )
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            reduced_motion="reduce",
            service_workers="block",
        )
        try:
            yield _listen(context)
        finally:
            browser.close()


def _listen(context: BrowserContext) -> Visit:
    """Open a page whose requests and errors are collected, those of pages that it opens included."""

    def note_request(request: Request) -> None:
        if not stays_here(request.url):
            visited.outside.append(request.url)

    def note_message(message: ConsoleMessage) -> None:
        if message.type == "error":
            visited.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def answer(route: Route) -> None:
        if stays_here(route.request.url):
            route.continue_()
        else:
            route.abort()

    def note_socket(url: str) -> None:
        if not stays_here(url):
            visited.outside.append(url)

    context.on("request", note_request)
    context.on("console", note_message)
    context.on("weberror", lambda error: visited.errors.append(str(error.error)))
    context.on("page", lambda page: page.on("websocket", lambda socket: note_socket(socket.url)))
    context.route("**/*", answer)
    visited = Visit(context.new_page())
    visited.page.set_default_timeout(1000 * SECONDS)
    return visited


def stays_here(url: str) -> bool:
    """Whether a request for `url` leaves this machine alone."""
    parts = urlsplit(url)
    return parts.scheme in {"file", "data", "blob", "about"} or parts.hostname in {"127.0.0.1", "localhost", "::1"}
