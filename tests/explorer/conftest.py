"""Runs that the explorer's tests read, and one browser for the tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from selfcodealign import run_recipe
from tests.support.chromium import SECONDS, Visit, visit
from tests.support.explorer import make_run
from tests.support.journey import scripted_model, small_recipe, write_sources

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("explorer"))


@pytest.fixture(scope="session")
def judged_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run with 56 answers, judged in the real sandbox."""
    folder = tmp_path_factory.mktemp("browser")
    recipe = small_recipe(write_sources(folder / "sources", 14), "responses.stop_after_passes=0")
    asyncio.run(run_recipe(recipe, folder / "run", model=scripted_model()))
    return folder / "run"


@pytest.fixture(scope="module")
def visited(judged_run: Path) -> Iterator[Visit]:
    """The browser; it starts after the run, since both have an event loop."""
    from playwright.sync_api import expect

    expect.set_options(timeout=1000 * SECONDS)
    with visit() as one:
        one.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield one


@pytest.fixture
def page(visited: Visit) -> Iterator[Page]:
    """The browser's page, on which nothing may go wrong, and which may ask no other machine."""
    page = visited.page
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light")
    yield page
    page.goto("about:blank")  # an overview would go on asking
    errors, outside = visited.errors[:], visited.outside[:]
    visited.errors.clear()
    visited.outside.clear()
    assert (errors, outside) == ([], [])
