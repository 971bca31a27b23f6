"""Sandboxes to test with, one per mode, shared by all tests; hostile programs only after the probes have held.

A test that asks for a sandbox runs in each mode. What a verdict says of a program is decided inside the program's
process, by the same harness behind either wall: tests of that are marked `one_mode` and run in the first mode that the
machine allows. Programs that reach for files, threads, processes and loops show in both that verdicts stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from selfcodealign.sandbox import Probe, probe_walls
from selfcodealign.sandbox.worker import WallMissing
from tests.support.judge import Judge

MODES = ("namespaces", "landlock")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that ask for a sandbox in every mode, or once where the mode cannot matter."""
    if "mode" in metafunc.fixturenames:
        modes = ("any",) if metafunc.definition.get_closest_marker("one_mode") else MODES
        metafunc.parametrize("mode", modes, scope="session", indirect=True)


@pytest.fixture(scope="session")
def mode(request: pytest.FixtureRequest) -> Any:
    """A mode that this machine allows; the other is skipped with the machine's reason."""
    refusals = []
    for mode in MODES if request.param == "any" else (request.param,):
        try:
            Judge(mode, workers=1).close()
        except WallMissing as error:
            refusals.append(str(error))
        else:
            return mode
    pytest.skip("; ".join(refusals))


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
