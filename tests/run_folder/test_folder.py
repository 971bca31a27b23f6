"""The books in a run folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfcodealign.errors import RunFolderError
from selfcodealign.run_folder.folder import Books, RunFolder
from tests.support.command_line import call


def test_books_are_summed_up_in_one_line() -> None:
    """Reasons are named if rows were dropped; otherwise drops are not mentioned."""
    assert Books(3, 3).summary() == "3 in, 3 kept"
    assert Books(10, 1, {"failed": 7, "timeout": 2}).summary() == "10 in, 1 kept; dropped: failed 7, timeout 2"


@pytest.mark.parametrize("address", ["s3://bucket/run", "gs://bucket/run", "hf://datasets/me/run", "abfs+x://a/b"])
def test_the_address_of_a_store_is_no_folder(address: str) -> None:
    """A run needs renames, which object stores do not have."""
    with pytest.raises(RunFolderError, match="needs a folder"):
        RunFolder(Path(address))


def test_a_run_into_a_store_is_refused_before_any_work(tmp_path: Path) -> None:
    """One line, and no folder `s3:` appears beside the user's work; other names with a colon are names."""
    done = call("run", "quickstart", "-o", "s3://bucket/run", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert list(tmp_path.iterdir()) == []
    RunFolder(Path("runs/a:b"))
