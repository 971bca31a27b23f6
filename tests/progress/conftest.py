"""What the tests of progress share: the drawers' clock."""

from __future__ import annotations

import pytest

from tests.support.clock import Clock


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The drawers' clock, under the test's control."""
    wall = Clock()
    for module in ("drawer", "board", "tally"):
        monkeypatch.setattr(f"selfcodealign.progress.{module}.monotonic", wall)
    return wall
