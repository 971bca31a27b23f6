"""Paths of the repository and of the real data, which may be absent."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"


def find_shared(path: str) -> Path:
    """Return a file of the real data, or skip the test if it is absent."""
    found = DATA / path
    if not found.exists():
        pytest.skip(f"needs {path} of the real data in ../shared, which is not here")
    return found
