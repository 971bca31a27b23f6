"""Where things lie: the repository, and the real data beside it, where they lie at all."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"


def find_shared(path: str) -> Path:
    """A file of the real data; skips the test where it is absent."""
    found = DATA / path
    if not found.exists():
        pytest.skip(f"needs {path} of the real data in ../shared, which is not here")
    return found
