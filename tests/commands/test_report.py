"""The command `report`: one page for one run, a comparison for several, and no other file replaced."""

from __future__ import annotations

import asyncio
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from selfcodealign import run_recipe
from tests.support.browser import BROWSER, look_at
from tests.support.command_line import call
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.page_parts import read_page


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs that differ in one setting."""
    folder = tmp_path_factory.mktemp("report")
    sources = write_sources(folder / "source", 6)
    with pytest.MonkeyPatch.context() as patch:
        judge_by_text(patch)
        for name, samples in (("first", 4), ("second", 2)):
            recipe = small_recipe(sources, f"responses.samples={samples}")
            asyncio.run(run_recipe(recipe, folder / name, model=scripted_model()))
    return folder / "first", folder / "second"


def refused(*words: str) -> str:
    """What a command says that cannot do what it is asked."""
    done = call(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def text_of(page: Path) -> str:
    return " ".join(read_page(page.read_text("utf-8")).text.split())


def test_one_run(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """The page is in the run's folder, is replaced each time, and its path is printed; or it is where --out says."""
    run = shutil.copytree(runs[0], tmp_path / "run")
    (run / "report.html").write_text("an older page")
    assert call("report", str(run)).stdout.strip() == str(run / "report.html")
    assert "Where the rows went" in text_of(run / "report.html")
    out = tmp_path / "other.html"
    assert call("report", str(run), "--out", str(out)).stdout.strip() == str(out)
    assert call("report", str(run), "-o", str(out)).stdout.strip() == str(out)
    assert "Where the rows went" in text_of(out)


def test_several_runs_side_by_side(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """A column for each run: figures, the setting that differs, pass rates, and both funnels."""
    out = tmp_path / "both.html"
    assert call("report", *map(str, runs), "--out", str(out)).stdout.strip() == str(out)
    page, told = read_page(out.read_text("utf-8")), text_of(out)
    assert "Comparison of 2 runs" in told
    assert "responses.samples 4 2" in told
    assert len([one for one in page.of("svg") if one.get("class") == "flow"]) == 2
    assert len(set(page.ids)) == len(page.ids)
    assert page.captions == page.tables
    assert page.heads_without_scope == 0
    assert all(after <= before + 1 for before, after in pairwise(page.headings))


def test_other_files_are_not_replaced(runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of the same kind is; a file of the user, a page of the other kind and a folder are not."""
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine.html"
    mine.write_text("<h1>mine</h1>")
    said = refused("report", str(runs[0]), "--out", str(mine))
    assert "mine.html is no report: give another --out, or remove it" in said
    assert mine.read_text() == "<h1>mine</h1>"
    assert call("report", *map(str, runs)).stdout.strip() == "report.html"
    assert call("report", *map(str, runs)).stdout.strip() == "report.html"
    assert "is no report: give" in refused("report", str(runs[0]), "--out", "report.html")
    shutil.copy(runs[0] / "report.html", "report.html")
    assert "is no report of several runs" in refused("report", *map(str, runs))
    assert "is no report" in refused("report", str(runs[0]), "--out", str(tmp_path))


def test_a_folder_without_a_run(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """One line says so, also among others; more runs than a page has columns are refused."""
    for given in ([tmp_path], [runs[0], tmp_path]):
        assert str(tmp_path) in refused("report", *map(str, given), "--out", str(tmp_path / "x.html"))
        assert not (tmp_path / "x.html").exists()
    assert "at most 12" in refused("report", *map(str, [runs[0]] * 13))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome here; CHROME_BIN names one")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_comparison_fits_a_phone(runs: tuple[Path, Path], dark: bool, tmp_path: Path) -> None:
    """As the report of one run does."""
    call("report", *map(str, runs), "--out", str(tmp_path / "both.html"))
    seen = look_at((tmp_path / "both.html").read_text("utf-8"), tmp_path, dark=dark)
    assert seen["width"] == seen["view"] == 360
    assert (seen["wide"], seen["cut"], seen["faint"]) == ([], [], [])
    assert seen["focused"] == seen["stops"]
