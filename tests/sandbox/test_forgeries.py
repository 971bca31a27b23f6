"""No forged or vacuous pass is accepted, with and without mutation testing."""

from __future__ import annotations

import pytest

from selfcodealign.sandbox import Status
from tests.support.forgeries import FORGERIES
from tests.support.judge import Judge


@pytest.mark.parametrize("name", FORGERIES)
def test_no_forgery_passes(name: str, walled: Judge) -> None:
    """A wrong response, or tests that prove nothing, do not pass, nor are they called our fault."""
    verdict = walled(*FORGERIES[name])
    assert not verdict.passed
    assert verdict.status is not Status.NOT_JUDGED


@pytest.mark.one_mode
@pytest.mark.parametrize("name", FORGERIES)
def test_no_forgery_needs_mutation_testing(name: str, walled: Judge) -> None:
    """The evidence alone refuses them, also without mutation testing."""
    assert not walled(*FORGERIES[name], mutation_testing=False).passed
