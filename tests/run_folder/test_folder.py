"""The books in a run folder."""

from __future__ import annotations

from selfcodealign.run_folder.folder import Books


def test_books_are_summed_up_in_one_line() -> None:
    """Reasons are named if rows were dropped; otherwise drops are not mentioned."""
    assert Books(3, 3).summary() == "3 in, 3 kept"
    assert Books(10, 1, {"failed": 7, "timeout": 2}).summary() == "10 in, 1 kept; dropped: failed 7, timeout 2"
