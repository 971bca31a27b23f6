"""The clock of versions that run together."""

from __future__ import annotations

from collections.abc import Iterable

from selfcodealign.sandbox.server.steps import StepClock

REPORT = {"version": 0}


def ended_after(looks: Iterable[tuple[float, float, bool]], reports: int = 0) -> float | None:
    """Return the time at which a version is ended that is seen with this CPU time, asleep or not, at these times."""
    clock = StepClock({"seconds": 1.0, "idle_seconds": 0.5}, 0.0)
    return next((now for now, worked, asleep in looks if clock.is_over([REPORT] * reports, now, worked, asleep)), None)


def test_a_version_that_waits_for_a_core_is_not_ended() -> None:
    """It is ready, and gets a hundredth of a core: the machine is busy."""
    assert ended_after((0.1 * tick, 0.001 * tick, False) for tick in range(900)) is None


def test_cpu_time_ends_a_version() -> None:
    """However long it takes by the clock."""
    slow = ((0.1 * tick, 0.01 * tick, False) for tick in range(900))
    assert 10 < (ended_after(slow) or 0) < 10.3


def test_sleep_ends_a_version() -> None:
    """At once where nothing is done; later where a little is done in between."""
    still = ((0.1 * tick, 0.0, True) for tick in range(900))
    assert 0.5 < (ended_after(still) or 0) < 0.8
    naps = ((0.1 * tick, 0.0001 * tick, True) for tick in range(900))
    assert 10 < (ended_after(naps) or 0) < 10.5


def test_each_version_has_its_own_time() -> None:
    """A report on the one before begins it."""
    clock = StepClock({"seconds": 1.0, "idle_seconds": 0.5}, 0.0)
    for number in range(10):
        reports = [REPORT] * number
        assert not clock.is_over(reports, number + 0.1, 0.9 * number, asleep=False)
        assert not clock.is_over(reports, number + 0.9, 0.9 * (number + 1), asleep=False)
