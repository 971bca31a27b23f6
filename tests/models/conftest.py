"""Setup for the tests of models."""

from __future__ import annotations

import os

import pytest

from selfcodealign.models import endpoints

# Matrices this small gain nothing from a second thread, which would spin while other work needs the core.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off for hundredths of a second, and set no API key."""
    monkeypatch.setattr(endpoints, "FIRST_PAUSE", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
