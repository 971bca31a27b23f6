"""Scratch folders on the host outlive no owner."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from selfcodealign.sandbox.isolation.scratch_owner import claim_scratch, remove_scratch, sweep_scratches


def test_the_scratch_of_an_owner_that_was_killed_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock says that the owner lives; without it the folder goes, whatever is in it. Other names are not touched."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "selfcodealign-other").mkdir()
    (living, kept), (dead, lost) = claim_scratch(), claim_scratch()
    Path(dead, "file").write_text("left")
    os.close(lost)  # as when a process ends
    sweep_scratches()
    assert sorted(tmp_path.iterdir()) == sorted([Path(living).parent, tmp_path / "selfcodealign-other"])
    remove_scratch(living)
    os.close(kept)
    assert [path.name for path in tmp_path.iterdir()] == ["selfcodealign-other"]
