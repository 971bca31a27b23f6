"""Marks: appended by several processes at once, whole after a kill, the last one for a row holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from selfcodealign.errors import RunFolderError
from selfcodealign.run_folder.marks import FILE, Label, Mark, add_mark, digest_marks, list_marks, read_marks

ROW, OTHER = "00000000000000aa", "f0000000000000bb"


def test_the_last_mark_of_a_row_holds(tmp_path: Path) -> None:
    """With its note, person and time; one that was taken back is gone, all of them stay in the history."""
    assert read_marks(tmp_path) == {}
    for label, note in (("keep", ""), ("drop", 'wrong\n"units" µ')):
        add_mark(tmp_path, Mark(ROW, label, note, "ada"))
    add_mark(tmp_path, Mark(OTHER, "drop"))
    add_mark(tmp_path, Mark(OTHER, ""))
    found = read_marks(tmp_path)
    assert list(found) == [ROW]
    assert (found[ROW].label, found[ROW].note, found[ROW].by) == ("drop", 'wrong\n"units" µ', "ada")
    assert found[ROW].at.endswith("+00:00")
    assert [mark.label for mark in list_marks(tmp_path)] == ["keep", "drop", "drop", ""]
    assert "µ" in (tmp_path / FILE).read_text("utf-8"), "a person can read the file"


def test_a_note_alone_is_a_mark(tmp_path: Path) -> None:
    """It has no label; what was typed in another encoding is kept, too."""
    add_mark(tmp_path, Mark(ROW, "", "what is this? \udce9", at="2026-11-27T08:00:00+00:00"))
    assert read_marks(tmp_path) == {ROW: Mark(ROW, "", "what is this? \udce9", at="2026-11-27T08:00:00+00:00")}


@pytest.mark.parametrize("torn", ['{"row": "12', '{"row": "1', "{", '{"row": "' + "x" * 200_000])
def test_a_torn_last_line_is_passed_over_and_removed_by_the_next_writer(tmp_path: Path, torn: str) -> None:
    """However long what the killed writer got on disk."""
    add_mark(tmp_path, Mark(ROW, "drop"))
    with open(tmp_path / FILE, "a") as file:
        file.write(torn)
    assert list(read_marks(tmp_path)) == [ROW]
    add_mark(tmp_path, Mark(OTHER, "keep"))
    assert list(read_marks(tmp_path)) == [ROW, OTHER]
    assert len((tmp_path / FILE).read_text().splitlines()) == 2


def test_a_line_that_a_person_wrote_without_its_end_is_a_line(tmp_path: Path) -> None:
    """It is read, and stays when the next mark is written."""
    (tmp_path / FILE).write_text(f'{{"row": "{ROW}", "label": "keep"}}')
    assert read_marks(tmp_path) == {ROW: Mark(ROW, "keep")}
    add_mark(tmp_path, Mark(OTHER, "drop"))
    assert [mark.label for mark in list_marks(tmp_path)] == ["keep", "drop"]


@pytest.mark.parametrize(
    "line", ["no JSON", "[]", '{"label": "keep"}', '{"row": "aa", "label": "maybe"}', '{"row": 1, "label": "keep"}']
)
def test_other_damage_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    """Nothing is guessed of what a person wrote."""
    (tmp_path / FILE).write_text(f'{{"row": "{ROW}", "label": "keep"}}\n\n{line}\n{{"row": "{ROW}", "label": ""}}\n')
    with pytest.raises(RunFolderError, match=rf"{FILE}:3: "):
        read_marks(tmp_path)


WRITER = """
import sys
from pathlib import Path
from selfcodealign.run_folder.marks import Mark, add_mark
for number in range(40):
    add_mark(Path(sys.argv[1]), Mark(f"{sys.argv[2]}{number:02d}", "drop", "x" * 3000))
"""


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    """No line is lost, none is torn."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in "abcd"]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert sorted(line["row"] for line in lines) == [f"{name}{number:02d}" for name in "abcd" for number in range(40)]


def test_the_digest_names_the_labels_alone() -> None:
    """In any order; notes, people and times change nothing, and without labels it is empty."""

    def name(*marks: tuple[str, Label, str]) -> str:
        return digest_marks({row: Mark(row, label, note) for row, label, note in marks})

    assert name() == name((ROW, "", "a note")) == ""
    assert name((ROW, "keep", ""), (OTHER, "drop", "")) == name((OTHER, "drop", "why"), (ROW, "keep", ""))
    assert name((ROW, "keep", "")) != name((ROW, "drop", "")) != name((OTHER, "drop", ""))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """In one line that says what to do."""
    with pytest.raises(RunFolderError, match=r"cannot write .*marks.jsonl"):
        add_mark(tmp_path / "none", Mark(ROW, "keep"))
