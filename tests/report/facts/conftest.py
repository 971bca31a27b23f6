"""Runs that the tests of a report's facts read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.reported import add_evaluation, add_training, make_run


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of ten seeds with a training and an evaluation; tests only read it."""
    run = make_run(tmp_path_factory.mktemp("facts"))
    add_training(run)
    add_evaluation(run)
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(made, tmp_path / "run")
