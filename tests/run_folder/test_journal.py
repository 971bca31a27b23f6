"""The journal of answers: found after a kill, skipped where damaged, deleted once their rows are on disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from selfcodealign.errors import RunFolderError
from selfcodealign.run_folder import journal
from selfcodealign.run_folder.journal import Journal

ROW, OTHER = "00000000000000aa", "f0000000000000bb"


def write(path: Path, *entries: tuple[str, str, str], stage: str = "responses") -> Journal:
    """Keep answers (row, key, text); nothing is closed, as after a kill."""
    kept = Journal(path)
    kept.open()
    for row, key, text in entries:
        with kept.working_on(stage, row):
            kept.add(key, {"text": text, "completion_tokens": len(text)})
    return kept


def found(path: Path, *keys: str) -> list[str | None]:
    opened = Journal(path)
    opened.open()
    answers = [opened.find(key) for key in keys]
    return [None if answer is None else answer["text"] for answer in answers]


def test_answers_are_found_by_key_after_a_kill(tmp_path: Path) -> None:
    """Also half a surrogate pair; a key that was never kept is not found."""
    write(tmp_path / "journal", (ROW, "a", "one\n"), (ROW, "b", "tw\ud83d"), (OTHER, "c", ""))
    assert found(tmp_path / "journal", "a", "b", "c", "d") == ["one\n", "tw\ud83d", "", None]
    assert found(tmp_path / "journal", "a") == ["one\n"], "a second kill loses nothing either"


def test_torn_and_damaged_lines_are_skipped(tmp_path: Path) -> None:
    """A torn last line is what a kill leaves; a damaged line before is counted, also one that is still JSON."""
    write(tmp_path / "journal", *((ROW, key, f"text {key}") for key in "abcd"))
    path = tmp_path / "journal" / "000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"text b", b"text x") + b"\0" * 40 + b"\n" + lines[2] + lines[3][:-9])
    opened = Journal(tmp_path / "journal")
    opened.open()
    assert [bool(opened.find(key)) for key in "abcd"] == [True, False, True, False]
    assert opened.damaged == 2


def test_segments_go_with_their_last_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on disk and in memory is what rows without an outcome have got."""
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 300)
    entries = [(f"{number:016x}", f"k{number}", "x" * 100) for number in range(40)]
    kept = write(tmp_path / "journal", *entries)
    assert len(list((tmp_path / "journal").iterdir())) > 10
    kept.settle("responses", range(39))
    kept.settle("concepts", [39])
    assert len(list((tmp_path / "journal").iterdir())) == 1
    assert found(tmp_path / "journal", "k39") == ["x" * 100]
    kept.finish("responses")
    kept.close()


def test_rows_on_disk_are_forgotten_when_a_run_resumes(tmp_path: Path) -> None:
    """A kill may come after the shard and before the segment's end."""
    write(tmp_path / "journal", (ROW, "a", "one"), (OTHER, "b", "two"))
    opened = Journal(tmp_path / "journal")
    opened.open()
    opened.settle_known("responses", np.array([int(OTHER, 16)], np.uint64))
    assert [opened.find("a") is None, opened.find("b") is None] == [False, True]
    opened.finish("responses")
    opened.close()
    assert not (tmp_path / "journal").exists()


def test_answers_without_a_row_are_not_kept(tmp_path: Path) -> None:
    """Nothing would ever end them."""
    kept = Journal(tmp_path / "journal")
    kept.open()
    kept.add("a", {"text": "one"})
    assert found(tmp_path / "journal", "a") == [None]


def test_what_was_not_yet_counted_is_told_once(tmp_path: Path) -> None:
    """Answers behind the recorded position, without their texts; numbers of segments never come again."""
    kept = write(tmp_path / "journal", (ROW, "a", "one"))
    position = kept.position
    with kept.working_on("responses", ROW):
        kept.add("b", {"text": "four", "completion_tokens": 4})
    opened = Journal(tmp_path / "journal")
    told = opened.open(position)
    assert [(one.stage, one.answer) for one in told] == [("responses", {"completion_tokens": 4})]
    opened.finish("responses")
    last = opened.position
    opened.close()
    begun = Journal(tmp_path / "journal")
    assert begun.open(last) == []
    assert begun.position > last


def test_a_full_disk_is_one_line_and_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk took of a line is taken back; with room again, the journal goes on."""
    kept = write(tmp_path / "journal", (ROW, "a", "one"))
    write_all, taken = os.write, []

    def write_some(number: int, data: bytes) -> int:
        if taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken.append(write_all(number, data[:10]))
        return taken[0]

    monkeypatch.setattr(os, "write", write_some)
    with kept.working_on("responses", ROW), pytest.raises(RunFolderError, match="make room") as raised:
        kept.add("b", {"text": "two"})
    assert "\n" not in str(raised.value)
    monkeypatch.undo()
    with kept.working_on("responses", ROW):
        kept.add("c", {"text": "three"})
    assert found(tmp_path / "journal", "a", "b", "c") == ["one", None, "three"]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Before any work: a file stands where the journal belongs."""
    (tmp_path / "journal").write_text("")
    with pytest.raises(RunFolderError, match="cannot write to"):
        Journal(tmp_path / "journal").open()
