"""What all tests of models rely on."""

from __future__ import annotations

import pytest

from selfcodealign.models import endpoints


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off in hundredths of seconds, and know no key."""
    monkeypatch.setattr(endpoints, "FIRST_PAUSE", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
