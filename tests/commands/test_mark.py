"""The command `mark`: labels and notes for rows that are named by the first digits of their ids."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from selfcodealign import run_recipe
from selfcodealign.run_folder.marks import FILE, Mark, read_marks
from tests.support.command_line import call
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.runs import rows_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mark")
    with pytest.MonkeyPatch.context() as patch:
        judge_by_text(patch)
        recipe = small_recipe(write_sources(folder / "sources", 6), without=["dataset"])
        asyncio.run(run_recipe(recipe, folder / "run", model=scripted_model()))
    return folder / "run"


@pytest.fixture
def run(finished: Path) -> Path:
    (finished / FILE).unlink(missing_ok=True)
    return finished


def test_a_row_is_marked_by_the_first_digits_of_its_id(run: Path) -> None:
    """The whole id is kept, with the user's name; a note alone leaves the label, and --clear takes both back."""
    row_id = rows_of(run, "selection")[0]["response_id"]
    marked = call("mark", str(run), row_id[:10].upper(), "--drop", "--note", "wrong units", env={"LOGNAME": "ada"})
    assert marked.stdout == f"response {row_id}: drop; the next run of this recipe in {run} honours it\n"
    mark = read_marks(run)[row_id]
    assert (mark.label, mark.note, mark.by) == ("drop", "wrong units", "ada")
    call("mark", str(run), row_id, "--note", "wrong signs", "--by", "eve")
    mark = read_marks(run)[row_id]
    assert (mark.label, mark.note, mark.by) == ("drop", "wrong signs", "eve")
    listed = call("mark", str(run), "--list").stdout
    assert listed == f"{row_id}  drop  {mark.at}  eve  wrong signs\n"
    call("mark", str(run), row_id, "--clear")
    assert read_marks(run) == {}
    assert call("mark", str(run), "--list").stdout == ""


def test_every_kind_of_row_can_be_marked(run: Path) -> None:
    """The line says which kind it was."""
    row = rows_of(run, "selection")[0]
    for name in ("seed_id", "concepts_id", "instruction_id"):
        assert call("mark", str(run), row[name], "--keep").stdout.startswith(f"{name.removesuffix('_id')} {row[name]}")
    assert set(read_marks(run)) == {row[name] for name in ("seed_id", "concepts_id", "instruction_id")}


def test_what_a_mark_cannot_do_is_said(run: Path) -> None:
    """An answer that failed stays failed, and there is nothing to take back of a row without a mark."""
    failed = rows_of(run, "responses", "dropped")[0]["response_id"]
    assert "its verdict is failed, which no label changes" in call("mark", str(run), failed, "--keep").stdout
    passed = rows_of(run, "selection")[0]["response_id"]
    assert "verdict" not in call("mark", str(run), passed, "--keep").stdout
    other = rows_of(run, "selection")[1]["response_id"]
    assert call("mark", str(run), other, "--clear").stdout == f"response {other}: it has no mark\n"
    assert other not in (run / FILE).read_text()


def test_a_note_moves_no_cursor(run: Path) -> None:
    """Control characters are listed as their codes."""
    row_id = rows_of(run, "selection")[0]["response_id"]
    call("mark", str(run), row_id, "--note", "a\x1b[2Jb\nc")
    assert "a\\x1b[2Jb\\nc" in call("mark", str(run), "--list").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which row?"),
        (["0"], "what of that row?"),
        (["0", "--keep"], "is no row id"),
        (["ffffffffffffffff", "--keep"], "no row of this run"),
        (["ffff", "--keep", "--drop"], "exclude each other"),
        (["ffff", "--clear", "--note", "x"], "exclude each other"),
        (["--list", "--keep"], "--list goes with RUN alone"),
    ],
)
def test_mistakes_are_told_in_a_line(run: Path, words: list[str], said: str) -> None:
    """Nothing is marked then."""
    done = call("mark", str(run), *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (run / FILE).exists()


def test_a_mark_is_what_the_file_says(run: Path) -> None:
    """A person may write the file with any editor."""
    (run / FILE).write_text('{"row": "aa", "label": "keep", "note": "by hand"}')
    assert read_marks(run) == {"aa": Mark("aa", "keep", "by hand")}
    assert call("mark", str(run), "--list").stdout == "aa  keep  by hand\n"
