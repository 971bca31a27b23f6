"""A run that the explorer's tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.explorer import make_run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("explorer"))
