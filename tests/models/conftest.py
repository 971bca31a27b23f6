"""Setup for the tests of models."""

from __future__ import annotations

import pytest

from selfcodealign.models import endpoints


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off for hundredths of a second, and set no API key."""
    monkeypatch.setattr(endpoints, "FIRST_PAUSE", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
