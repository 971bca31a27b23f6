"""Pages about rows that hold markup in every field, in a real browser: nothing of it acts."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect

from selfcodealign.run_folder.marks import Mark, add_mark
from tests.support.chromium import needs_browser
from tests.support.command_line import call
from tests.support.planting import HOSTILE, plant_run
from tests.support.runs import rows_of
from tests.support.viewing import view

pytestmark = needs_browser


@pytest.fixture(scope="module")
def hostile_run(judged_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with such rows, marks and a report of them, in a folder with such a name."""
    run = tmp_path_factory.mktemp("hostile") / "<img src=x onerror=alert(1)>"
    plant_run(judged_run, run)
    for text in HOSTILE[:-3]:
        add_mark(run, Mark(ids_of(run)[-1], "drop", text.replace("\0", " "), text.replace("\0", " ")))
    done = call("report", str(run))
    assert done.returncode == 0, done.stderr
    return run


def ids_of(run: Path) -> list[str]:
    """The ids of a seed, a task and an answer."""
    return [str(rows_of(run, f"{kind}s")[0][f"{kind}_id"]) for kind in ("seed", "instruction", "response")]


def assert_harmless(page: Page, addresses: list[str]) -> None:
    """No script runs, no dialog opens, nothing is hidden. (What a policy had to stop would be an error of the page.)"""
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    for address in addresses:
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert "owned" not in page.title()
        assert page.evaluate("window.owned") is None
        assert page.locator("body").locator("img, iframe, script, style, [onload], [href^=javascript]").count() == 0
    page.remove_listener("dialog", note)
    assert dialogs == []


def test_markup_does_nothing_in_the_explorer(hostile_run: Path, page: Page) -> None:
    """In lists, also of a filter with markup, stories, prompts, two answers, marks, SQL and the report."""
    paths = [
        "",
        "stage/seeds",
        "stage/responses",
        "stage/responses?f=category&o=has&v=<script>",
        "marks",
        "report.html",
    ]
    paths += [f"row/{one}{more}" for one in ids_of(hostile_run) for more in ("", "/prompts")]
    dropped = next(one for one in rows_of(hostile_run, "responses", "dropped") if one["response_id"])
    paths.append(f"compare?a={ids_of(hostile_run)[-1]}&b={dropped['response_id']}")
    with view(hostile_run) as live:
        page.goto(live.address)
        assert_harmless(page, [f"{live.base}/{path}" for path in paths])
        page.goto(f"{live.base}/sql")
        page.get_by_label("One SELECT statement").fill("SELECT * FROM responses")
        page.get_by_role("button", name="Run").click()
        expect(page.locator("table.result")).to_be_visible()
        assert page.evaluate("window.owned") is None
        page.goto("about:blank")


def test_markup_does_nothing_in_a_bundle(hostile_run: Path, page: Page, tmp_path: Path) -> None:
    """In the lists that its script draws, the stories, the marks and the report."""
    site = tmp_path / "site"
    done = call("view", str(hostile_run), "--bundle", str(site))
    assert done.returncode == 0, done.stderr
    names = [
        "index",
        "marks",
        "report",
        "stage/seeds",
        "stage/responses",
        *(f"row/{one}" for one in ids_of(hostile_run)[:2]),
    ]
    assert_harmless(page, [(site / f"{name}.html").as_uri() for name in names])
