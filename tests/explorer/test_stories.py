"""The pages about single rows, served and in a static bundle: complete, linked, and text whatever rows hold."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from selfcodealign import run_recipe
from selfcodealign.errors import RunFolderError
from selfcodealign.explorer.bundle import MARKER, write_bundle
from selfcodealign.rows import Dropped, Response, digest
from selfcodealign.run_folder.marks import FILE, Mark, add_mark, read_marks
from tests.support.browser import BROWSER
from tests.support.explorer import explorer_of, write_stage
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.places import ROOT
from tests.support.rows import make_response
from tests.support.runs import rows_of

EVIL = "\"><img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>\u2028\u202e"
LINK = "javascript:document.title='owned'"


class Page(HTMLParser):
    """What of a page a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.wrong: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.places |= {given["id"] or ""} if "id" in given else set()
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag == "img" or (tag == "script" and not given.get("src")) or any(name.startswith("on") for name in given):
            self.wrong.append(f"{tag} {given}")

    @property
    def unsafe(self) -> list[str]:
        return self.wrong + [link for link in self.links if link.lower().startswith("javascript:")]


def make_hostile(run: Path) -> tuple[Response, Response]:
    """A run whose rows hold markup in every text."""
    texts = ("function", "origin", "source_path", "commit", "licence", "seed", "category", "language", "difficulty")
    texts += ("instruction", "completion", "response", "tests", "error_type", "message", "output", "repairs", "proof")
    fields = dict.fromkeys(texts, EVIL) | {"concepts": [EVIL], "repository": LINK, "siblings": [EVIL, "passed"]}
    ids = {"seed_id": digest("seed"), "concepts_id": digest("concepts"), "instruction_id": digest("task")}
    passed = make_response(1, **fields, **ids, response_id=digest("passed"))
    failed = make_response(2, **fields, **ids, response_id=digest("failed"), sample=1, status="failed", line=1)
    dropped = Dropped(parent=failed.instruction_id, reason=EVIL, detail=EVIL + passed.id, row=failed.fields())
    write_stage(run, "responses", [passed], [dropped], columns=("response", "message", "concepts"))
    add_mark(run, Mark(passed.id, "keep", EVIL, EVIL))
    return passed, failed


async def test_all_answers_to_an_instruction_are_in_the_story_of_one(small_run: Path) -> None:
    """By its whole id or the first digits; its seed, its task and its siblings are linked."""
    row = rows_of(small_run, "selection")[0]
    siblings = [
        one for one in rows_of(small_run, "responses", "dropped") if one["instruction_id"] == row["instruction_id"]
    ]
    async with explorer_of(small_run) as client:
        text = (await client.get(f"/row/{row['response_id'][:10]}")).text
        assert f"<h1>response <code>{row['response_id']}</code></h1>" in text
        for one in [row, *siblings]:
            if one["response_id"]:
                assert f'id="answer-{one["response_id"]}"' in text
        links = Page(text).links
        assert {f"/row/{row['seed_id']}", f"/row/{row['instruction_id']}"} <= set(links)
        assert "in the data set" in text
        for path in {link for link in links if link.startswith(("/row/", "/compare"))}:
            assert (await client.get(path)).status_code == 200, path


async def test_prompts_are_told_without_the_code_of_others(tmp_path: Path) -> None:
    """A stage from outside the package is not imported because a run names it: its file may have become another."""
    stage = tmp_path / "own.py"
    shutil.copy(ROOT / "examples" / "a_stage_of_your_own.py", stage)
    sources = write_sources(tmp_path / "sources", 4)
    with pytest.MonkeyPatch.context() as patch:
        judge_by_text(patch)
        recipe = small_recipe(sources, added=[f"{stage}:SHORT_TASKS"], without=["dataset"])
        await run_recipe(recipe, tmp_path / "run", model=scripted_model())
        patch.delitem(sys.modules, "selfcodealign_stage_own")
        stage.write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
        row = rows_of(tmp_path / "run", "selection")[0]
        async with explorer_of(tmp_path / "run") as client:
            answer = await client.get(f"/row/{row['response_id']}/prompts")
    assert answer.status_code == 200
    assert re.findall("<h2>(.*)</h2>", answer.text) == ["concepts", "instructions", "responses"]
    assert row["completion"].splitlines()[1] in unescape(answer.text)
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("path", ["/row/zz", "/row/ffffffffffffffff", "/compare?a=ffff&b=eeee", "/compare"])
async def test_what_is_no_row_is_not_found(small_run: Path, path: str) -> None:
    """With a sentence that says so."""
    async with explorer_of(small_run) as client:
        assert (await client.get(path)).status_code == 404


async def test_a_form_marks_a_row(small_run: Path) -> None:
    """And goes back to the page that it came from; a post from another origin, or of no label, marks nothing."""
    row_id = rows_of(small_run, "selection")[0]["response_id"]
    try:
        async with explorer_of(small_run) as client:
            own = {"Origin": str(client.base_url).rstrip("/")}
            form = {"row": row_id, "label": "drop", "note": "wrong <b>", "back": row_id}
            assert (await client.post("/mark", data=form, headers={"Origin": "http://other"})).status_code == 403
            assert (await client.post("/mark", data={**form, "label": "maybe"}, headers=own)).status_code == 404
            await client.post("/mark", data={**form, "label": "note", "note": ""}, headers=own)
            assert not (small_run / FILE).exists(), "nothing was said"
            done = await client.post("/mark", data=form, headers=own)
            assert (done.status_code, done.headers["Location"]) == (303, f"/row/{row_id}")
            assert read_marks(small_run)[row_id].label == "drop"
            await client.post("/mark", data={**form, "label": "note", "note": "why?"}, headers=own)
            mark = read_marks(small_run)[row_id]
            assert (mark.label, mark.note) == ("drop", "why?")
            assert f"/row/{row_id}" in Page((await client.get("/marks")).text).links
            await client.post("/mark", data={**form, "label": "clear"}, headers=own)
            assert not read_marks(small_run)
    finally:
        (small_run / FILE).unlink(missing_ok=True)


async def test_markup_in_rows_and_marks_stays_text(tmp_path: Path) -> None:
    """In every field, in concepts, drops, siblings and notes."""
    passed, failed = make_hostile(tmp_path / "run")
    async with explorer_of(tmp_path / "run") as client:
        paths = [f"/row/{one}" for one in (passed.id, passed.seed_id, passed.instruction_id, passed.concepts_id)]
        for path in (*paths, f"/compare?a={passed.id}&b={failed.id}", "/marks"):
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert Page(answer.text).unsafe == []
            shown = re.sub(r'<input name="note"[^>]*>', "", answer.text)  # what a person edits stays as it was typed
            assert "\u202e" not in shown


def test_a_bundle_is_linked_within_itself(small_run: Path, tmp_path: Path) -> None:
    """Every link leads to a file of it; it is the same each time, and replaces an earlier one."""
    for _ in range(2):
        write_bundle(small_run, tmp_path / "site")
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        for link in Page(page.read_text("utf-8")).links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert target.is_file(), (page, link)
            assert not parts.fragment or parts.fragment in Page(target.read_text("utf-8")).places, (page, link)
    write_bundle(small_run, tmp_path / "other")
    for page in pages:
        assert page.read_bytes() == (tmp_path / "other" / page.relative_to(tmp_path / "site")).read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other", "site"]


def test_a_bundle_has_no_more_rows_than_asked_for(small_run: Path, tmp_path: Path) -> None:
    """Each list says how many of how many there are."""
    write_bundle(small_run, tmp_path / "site", 3)
    for data in (tmp_path / "site" / "data").glob("*.js"):
        listed = json.loads(data.read_text().removeprefix("window.LISTED = ").removesuffix(";\n"))
        assert len(listed["rows"]) <= 3
    assert "3 of " in (tmp_path / "site" / "stage" / "responses.html").read_text("utf-8")


def test_a_bundle_takes_no_other_folders_place(small_run: Path, tmp_path: Path) -> None:
    """One with files of another kind stays as it is."""
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="holds other files"):
        write_bundle(small_run, tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]


def test_a_stopped_bundle_leaves_nothing(small_run: Path, tmp_path: Path) -> None:
    """Neither half a site nor what it was made from; an earlier one stays."""
    write_bundle(small_run, tmp_path / "site", 2)

    def stop(what: str, unit: str, done: int, total: int) -> None:
        if what == "writing stories":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(small_run, tmp_path / "site", 9, stop)
    assert [one.name for one in tmp_path.iterdir()] == ["site"]
    assert json.loads((tmp_path / "site" / MARKER).read_text())["rows_per_stage"] == 2


def test_markup_stays_text_in_a_bundle(tmp_path: Path) -> None:
    """In its pages and in the script that holds a list."""
    make_hostile(tmp_path / "run")
    write_bundle(tmp_path / "run", tmp_path / "site")
    for page in (tmp_path / "site").rglob("*.html"):
        assert Page(page.read_text("utf-8")).unsafe == [], page
    data = (tmp_path / "site" / "data" / "responses.js").read_text("utf-8")
    assert data.isascii()
    assert not re.search("[<>&]", data)


@pytest.mark.skipif(not BROWSER, reason="this machine has no browser")
def test_a_browser_shows_a_bundle_from_a_disk(tmp_path: Path) -> None:
    """The list is drawn under the pages' own policy, and no text of a row runs."""
    passed, _ = make_hostile(tmp_path / "run")
    write_bundle(tmp_path / "run", tmp_path / "site")
    assert BROWSER
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    for page in ("stage/responses.html", f"row/{passed.instruction_id}.html"):
        address = (tmp_path / "site" / page).as_uri()
        seen = subprocess.run(
            [*command, "--virtual-time-budget=3000", "--dump-dom", address],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        assert "<title>owned" not in seen
        assert "<img" not in seen
        assert passed.id[:8] in seen
