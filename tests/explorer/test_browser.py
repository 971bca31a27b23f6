"""The pages about a run in a real browser, as a person uses them: the report, the explorer, a bundle."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Locator, Page, expect

from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.run_folder.marks import read_marks
from tests.support.chromium import needs_browser
from tests.support.command_line import call
from tests.support.explorer import write_stage
from tests.support.rows import make_response
from tests.support.runs import rows_of
from tests.support.viewing import View, view, web_server

pytestmark = needs_browser


@pytest.fixture(scope="module")
def served(judged_run: Path) -> Iterator[View]:
    with view(judged_run) as one:
        yield one


def fits(page: Page) -> bool:
    """Whether nothing stands beyond the right edge of the window."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def rows(page: Page) -> Locator:
    return page.locator("table.rows tbody tr")


def column(page: Page, name: str) -> list[str]:
    """The values of a column of the list."""
    heads = [one.strip() for one in page.locator("table.rows thead th").all_inner_texts()]
    return page.locator(f"table.rows tbody tr > :nth-child({heads.index(name) + 1})").all_inner_texts()


def answers(judged_run: Path, **fields: object) -> list[dict[str, object]]:
    """The answers of the run, kept and dropped, with these values."""
    found = [row for kind in ("kept", "dropped") for row in rows_of(judged_run, "responses", kind)]
    return [row for row in found if all(row[name] == value for name, value in fields.items())]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "dark")])
def test_the_report_is_read_from_a_disk(judged_run: Path, page: Page, width: int, scheme: str) -> None:
    """Each link of the contents leads to its section, and a row opens and closes by the keyboard."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto((judged_run / "report.html").as_uri())
    assert fits(page)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    links = page.get_by_role("navigation", name="Contents").get_by_role("link")
    assert page.url.endswith(links.first.get_attribute("href") or "nowhere")
    assert links.count() > 5
    for link in links.all():
        link.click()
        title = page.locator(f"{link.get_attribute('href')}-title")
        assert title.inner_text() == link.inner_text()
        assert title.evaluate("one => one.getBoundingClientRect().top < innerHeight")
    row = page.locator("details.row").first
    row.locator("summary").focus()
    for key, is_open in (("Enter", True), ("Space", False), ("Space", True)):
        page.keyboard.press(key)
        assert row.evaluate("one => one.open") == is_open
    assert row.locator("pre").first.is_visible()
    assert fits(page)


def test_rows_are_found_from_the_overview(judged_run: Path, served: View, page: Page) -> None:
    """A reason's link, conditions, a search, an order, the next page; each condition goes away by itself."""
    failed = answers(judged_run, status="failed")
    page.goto(served.address)
    assert "token" not in page.url
    page.locator("tr[data-stage=responses]").get_by_role("link", name=f"failed {len(failed)}").click()
    expect(rows(page)).to_have_count(len(failed))
    page.get_by_label("Field").select_option("sample")
    page.get_by_label("Condition", exact=True).select_option("≥")
    page.get_by_label("Value").fill("2")
    page.get_by_role("button", name="Filter").click()
    late = [one for one in failed if one["sample"] in (2, 3)]
    expect(rows(page)).to_have_count(len(late))
    assert set(column(page, "sample")) <= {"2", "3"}
    page.get_by_label("Remove the condition sample ≥ 2").click()
    expect(rows(page)).to_have_count(len(failed))
    task = re.findall(r"task_\d+", str(failed[0]["instruction"]))[0]
    page.get_by_label("Search all texts").fill(task.upper())
    page.keyboard.press("Enter")
    same = [one for one in failed if one["instruction_id"] == failed[0]["instruction_id"]]
    expect(rows(page)).to_have_count(len(same))
    page.get_by_label("Remove the search").click()
    expect(rows(page)).to_have_count(len(failed))
    page.get_by_role("link", name="All rows").click()
    total = len(answers(judged_run))
    expect(page.locator(".size")).to_contain_text(f"{total} of {total} rows")
    head = page.locator("thead").get_by_role("link", name="sample")
    for order, edge in (("ascending", "0"), ("descending", "3")):
        head.click()
        expect(page.get_by_role("columnheader", name="sample")).to_have_attribute("aria-sort", order)
        assert column(page, "sample")[0] == edge
    expect(rows(page)).to_have_count(50)
    page.get_by_role("link", name="Next").click()
    expect(rows(page)).to_have_count(total - 50)
    assert column(page, "sample")[-1] == "0"
    page.locator(".facets").get_by_role("link", name="kept").click()
    expect(rows(page)).to_have_count(min(50, len(rows_of(judged_run, "responses"))))
    assert "kept" not in page.locator("table.rows thead").inner_text().split(), "all rows have the same"


def test_pages_fit_a_phone(judged_run: Path, served: View, page: Page) -> None:
    """In the dark as well; wide tables scroll in themselves, and the keyboard skips the links above the content."""
    page.set_viewport_size({"width": 360, "height": 640})
    page.emulate_media(color_scheme="dark")
    page.goto(served.address)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
    failed, passed = (answers(judged_run, status=status)[0]["response_id"] for status in ("failed", "passed"))
    paths = ["", "stage/responses?f=status&o=is&v=failed", f"row/{failed}", f"row/{failed}/prompts", "sql", "marks"]
    for path in [*paths, f"compare?a={passed}&b={failed}", "card", "report.html"]:
        page.goto(f"{served.base}/{path}")
        assert fits(page), path
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"


def test_a_row_is_read_compared_and_labelled(judged_run: Path, served: View, page: Page) -> None:
    """The failing line is marked; the answers differ in one line; the label is found in the lists, and taken back."""
    page.goto(served.address)
    page.goto(f"{served.base}/stage/responses?f=status&o=is&v=failed")
    rows(page).first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("response ")
    row_id = page.locator("h1 code").inner_text()
    failing = next(one for one in answers(judged_run, response_id=row_id))
    own = page.locator("details.answer[open]").filter(has=page.locator(f"#answer-{row_id}"))
    added = re.findall(r"plus (\d+)\.", str(failing["instruction"]))[0]
    assert f"(0) == {added}" in own.locator(".marked").inner_text()
    page.get_by_role("link", name="Compare an answer that passed").click()
    expect(page.locator("main")).to_contain_text(str(failing["instruction"]).splitlines()[0])
    for kind, words in (("removed", f"return n + {int(added) + 1}"), ("added", f"return n + {added}")):
        expect(page.locator(f".sides .{kind}")).to_have_text([words])
        expect(page.locator(f".diff .{kind}")).to_be_hidden()
    page.get_by_text("The same as a unified diff").click()
    expect(page.locator(".diff .removed")).to_have_text(f"-    return n + {int(added) + 1}")
    page.get_by_role("link", name=row_id).click()

    own.get_by_text("Mark this answer").click()
    own.get_by_label("Note").fill("wrong <b>sum</b>")
    own.get_by_role("button", name="Drop").click()
    expect(own.locator(".said")).to_contain_text("drop wrong <b>sum</b>")
    mark = read_marks(judged_run)[row_id]
    assert (mark.label, mark.note) == ("drop", "wrong <b>sum</b>")
    page.get_by_role("navigation", name="Pages of this run").get_by_role("link", name="responses").click()
    page.get_by_label("Field").select_option("mark")
    page.get_by_label("Value").fill("drop")
    page.get_by_role("button", name="Filter").click()
    expect(rows(page)).to_have_count(1)
    assert (column(page, "row"), [one.split()[0] for one in column(page, "mark")]) == ([row_id[:8]], ["drop"])
    page.get_by_role("link", name="Marks").click()
    expect(page.locator("tbody tr")).to_contain_text("wrong <b>sum</b>")
    page.get_by_role("link", name=row_id).click()
    own.get_by_text("Mark this answer").click()
    own.get_by_role("button", name="Clear").click()
    expect(own.locator(".said")).to_have_count(0)
    assert read_marks(judged_run) == {}
    page.get_by_role("link", name="The prompts").click()
    expect(page.locator("main")).to_contain_text(str(failing["completion"]).splitlines()[1])


def test_a_query_answers_or_is_refused(judged_run: Path, served: View, page: Page) -> None:
    """On the page; a refused one stays in its box, to be mended."""
    page.goto(served.address)
    page.get_by_role("link", name="SQL").click()
    page.get_by_role("button", name="How the answers ended").click()
    expect(page.locator("table.result")).to_be_visible()
    cells = page.locator("table.result tbody td").all_inner_texts()
    assert int(cells[cells.index("failed") + 1]) == len(answers(judged_run, status="failed"))
    failed = str(answers(judged_run, status="failed")[0]["response_id"])
    page.get_by_label("One SELECT statement").fill(f"SELECT response_id FROM responses WHERE response_id = '{failed}'")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("main")).to_contain_text("1 row in ")
    expect(page.locator("table.result").get_by_role("link", name=failed)).to_have_attribute("href", f"/row/{failed}")
    page.get_by_role("link", name="this query").click()
    expect(page.get_by_label("One SELECT statement")).to_have_value(re.compile(failed))
    query = "COPY responses TO 'stolen.csv'"
    page.get_by_label("One SELECT statement").fill(query)
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.get_by_label("One SELECT statement").input_value() == query


def test_rows_of_a_filter_are_downloaded(judged_run: Path, served: View, page: Page, tmp_path: Path) -> None:
    """As JSON Lines, CSV and Parquet; one row is copied as JSON."""
    page.goto(served.address)
    page.goto(f"{served.base}/stage/responses?f=status&o=is&v=failed")
    files = {}
    for name in ("JSON Lines", "CSV", "Parquet"):
        with page.expect_download() as started:
            page.get_by_role("link", name=name, exact=True).click()
        files[name] = tmp_path / started.value.suggested_filename
        started.value.save_as(files[name])
    wanted = sorted(str(row["response_id"]) for row in answers(judged_run, status="failed"))
    lines = [json.loads(line) for line in files["JSON Lines"].read_text("utf-8").splitlines()]
    assert sorted(one["response_id"] for one in lines) == wanted
    with files["CSV"].open(newline="", encoding="utf-8") as text:
        assert sorted(one["response_id"] for one in csv.DictReader(text)) == wanted
    assert sorted(pq.read_table(files["Parquet"]).column("response_id").to_pylist()) == wanted
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    assert json.loads(page.evaluate("navigator.clipboard.readText()"))["response_id"] in wanted


def test_a_run_at_work_is_followed(page: Page, tmp_path: Path) -> None:
    """New rows are counted on the open page."""
    run = tmp_path / "run"
    write_stage(run, "responses", [make_response(1)], [])
    with view(run) as live, RunFolder(run):
        page.goto(live.address)
        assert page.locator("#work").inner_text() == "A run is at work."
        write_stage(run, "responses", [make_response(2), make_response(3)], [])
        page.locator('[data-of="kept"]', has_text="3").wait_for()
        page.goto("about:blank")


@pytest.mark.parametrize("host", ["disk", "web"])
def test_a_bundle_is_read(judged_run: Path, page: Page, tmp_path: Path, host: str) -> None:
    """From a disk and from a web server: lists, stories, two answers, the report and the way back."""
    site = tmp_path / "site"
    done = call("view", str(judged_run), "--bundle", str(site))
    assert (done.returncode, done.stdout.split(":")[0]) == (0, str(site / "index.html")), done.stderr
    with web_server(site) as address:
        page.goto((site / "index.html").as_uri() if host == "disk" else address)
        failed = answers(judged_run, status="failed")
        page.get_by_role("link", name=f"failed {len(failed)}").click()
        expect(rows(page)).to_have_count(len(failed))
        task = re.findall(r"task_\d+", str(failed[0]["instruction"]))[0]
        page.get_by_label("Search these rows").fill(task.upper())
        same = [one for one in failed if one["instruction_id"] == failed[0]["instruction_id"]]
        expect(rows(page)).to_have_count(len(same))
        page.get_by_label("Rows", exact=True).select_option("kept")
        expect(rows(page)).to_have_count(0)  # none that is kept has failed
        page.get_by_label("Rows", exact=True).select_option("dropped")
        page.get_by_role("link", name=str(same[0]["response_id"])[:8]).click()
        answer = page.locator("details.answer").filter(has=page.locator(f"#answer-{same[0]['response_id']}"))
        expect(answer.locator(".marked")).to_be_visible()
        page.get_by_role("link", name="Compare an answer").first.click()
        expect(page.locator(".sides .removed")).to_have_count(1)
        page.get_by_role("link", name="Overview").click()
        page.get_by_role("link", name="Data set card").click()
        expect(page.get_by_role("heading", name="Data set card")).to_be_visible()
        page.go_back()
        page.get_by_role("link", name="Report").click()
        expect(page.get_by_role("navigation", name="Contents")).to_be_visible()
