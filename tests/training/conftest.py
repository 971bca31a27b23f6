"""Fixtures of the tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny_model import make_model, make_rows, write_rows


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder without pad token and without chat template, weights stored as bfloat16."""
    return make_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="session")
def rows() -> list[dict[str, str]]:
    return make_rows(24)


@pytest.fixture
def dataset(tmp_path: Path, rows: list[dict[str, str]]) -> Path:
    """The rows as a JSONL file of pairs."""
    return write_rows(tmp_path / "rows.jsonl", rows)
