"""Sandboxes to test with, one per mode, shared by all tests; hostile programs only after the probes have held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from selfcodealign.sandbox import Probe, probe_walls
from selfcodealign.sandbox.worker import WallMissing
from tests.support.judge import Judge

MODES = ("namespaces", "landlock")


@pytest.fixture(scope="session", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Each mode that this machine allows; the other is skipped with the machine's reason."""
    try:
        Judge(request.param).close()
    except WallMissing as error:
        pytest.skip(str(error))
    return request.param


@pytest.fixture(scope="session")
def judge(mode: Any) -> Iterator[Judge]:
    """A running sandbox."""
    judge = Judge(mode)
    yield judge
    judge.close()


@pytest.fixture(scope="session")
def probes(mode: Any) -> list[Probe]:
    """What the probes found: harmless attempts on every wall."""
    return probe_walls(mode)


@pytest.fixture(scope="session")
def walled(judge: Judge, probes: list[Probe]) -> Judge:
    """The sandbox for hostile programs: there is none unless every harmless probe has met its wall."""
    missing = [probe for probe in probes if not probe.held]
    if missing:
        pytest.fail(f"no hostile program is run: walls missing: {missing}")
    return judge
