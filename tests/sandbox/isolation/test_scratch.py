"""A scratch is measured in slices and emptied whatever was left in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from selfcodealign.sandbox import Limits, Program, Status
from selfcodealign.sandbox.isolation import scratch
from tests.support.judge import Judge, scratch_folders

DEPTH = 1100  # folders: further than a path can name, and than Python recurses


def nest(folder: Path, depth: int) -> None:
    """Make nested folders with a file in some, one step below an open folder after the other."""
    here = os.open(folder, os.O_RDONLY)
    for number in range(depth):
        os.mkdir("nested", dir_fd=here)
        below = os.open("nested", os.O_RDONLY, dir_fd=here)
        if number % 100 == 99:
            os.close(os.open("file", os.O_CREAT, dir_fd=below))
        os.close(here)
        here = below
    os.close(here)


def passes(use: scratch.ScratchUse, most: int = 10_000) -> bool:
    """Whether a whole pass over the scratch finds no excess."""
    return not any(use.exceeded() for _ in range(most) if use._files or _ == 0)


def test_deep_folders_are_removed(tmp_path: Path) -> None:
    """Folders nested deeper than a path can name are emptied step by step."""
    nest(tmp_path, DEPTH)
    assert scratch.empty(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_permissions_and_links_do_not_stop_the_removal(tmp_path: Path) -> None:
    """Locked folders are opened and removed; what a link points to stays."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    (inside / "a" / "b").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").touch()
    (inside / "a" / "b" / "link").symlink_to(outside)
    (inside / os.fsdecode(b"\xff\n")).touch()
    (inside / "a" / "b").chmod(0)
    (inside / "a").chmod(0)
    inside.chmod(0)
    scratch.remove(str(inside))
    assert not inside.exists()
    assert (outside / "kept").exists()


def test_a_scratch_that_takes_long_to_empty_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without time to empty it, a new folder takes its place, also where the last one set aside is still there."""
    monkeypatch.setattr(scratch, "_QUICK_SECONDS", -1.0)
    place = tmp_path / "scratch"
    place.mkdir()
    for _ in range(3):
        for name in ("first", "second"):
            (place / name).touch()
        scratch.renew(str(place))
        assert list(place.iterdir()) == []
        assert len(os.listdir(scratch.set_aside(str(place)))) == 1


def test_size_and_number_of_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, files and folders in each other count; a scratch below all bounds passes."""
    for number in range(5):
        (tmp_path / f"{number}").write_bytes(bytes(300_000))
    assert passes(scratch.ScratchUse(str(tmp_path), most_mib=2))
    assert not passes(scratch.ScratchUse(str(tmp_path), most_mib=1))
    monkeypatch.setattr(scratch, "MOST_FILES", 4)
    assert not passes(scratch.ScratchUse(str(tmp_path), most_mib=2))


def test_folders_in_each_other_are_bounded(tmp_path: Path) -> None:
    """Deeper than the measure goes, nothing can be hidden."""
    nest(tmp_path, scratch.MOST_NESTED - 1)
    assert passes(scratch.ScratchUse(str(tmp_path), most_mib=100))
    scratch.empty(str(tmp_path))
    nest(tmp_path, scratch.MOST_NESTED + 1)
    assert not passes(scratch.ScratchUse(str(tmp_path), most_mib=100))


def test_a_slice_ends_before_a_large_scratch_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next slice goes on where the last one ended."""
    for number in range(50):
        (tmp_path / f"{number}").touch()
    monkeypatch.setattr(scratch, "_SLICE_SECONDS", -1.0)
    use = scratch.ScratchUse(str(tmp_path), most_mib=1)
    seen = []
    for _ in range(51):
        assert not use.exceeded()
        seen.append(use._files)
    assert seen == [*range(1, 51), 0]


LITTER = f"""
import os
for _ in range({DEPTH}):
    os.mkdir("nested", 0o300)
    os.chdir("nested")
"""


def test_deep_folders_cost_no_worker(walled: Judge) -> None:
    """A program that nests folders deeply has its verdict, and the next program an empty scratch."""
    servers = {worker.pid for worker in walled.sandbox._all}
    verdict = walled(Program(LITTER, kind="script", limits=Limits(seconds=60)))
    assert verdict.status in (Status.PASSED, Status.BLOCKED)
    assert walled(Program("import os\nprint(os.listdir('.'))", kind="script")).output == "[]\n"
    assert {worker.pid for worker in walled.sandbox._all} == servers


def test_closing_leaves_no_folder_behind(mode: str) -> None:
    """What the last program left is removed with the sandbox."""
    judge = Judge(mode, workers=1, limits=Limits(seconds=60))  # type: ignore[arg-type]
    made = scratch_folders(judge)
    judge(Program(LITTER, kind="script"))
    judge.close()
    assert not any(folder.exists() for folder in made)
