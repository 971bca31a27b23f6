"""What code may take: its own processor time counts, and the clock only for code that waits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from selfcodealign.benchmarks.inside.time_limit import OutOfTime, TimeLimit, is_waiting


def ends_in_time(run: Callable[[TimeLimit], object]) -> bool:
    """Whether `run` ends in a separate process, or is out of time."""
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            run(TimeLimit())
            code = 0
        except OutOfTime:
            code = 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 1)
    return code == 0


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(10_000))


def spin_twice(limit: TimeLimit, first: float, second: float) -> None:
    limit.set(first)
    spin(0.15)
    limit.lift()
    limit.set(second)
    spin(0.15)
    limit.stop()


@pytest.mark.parametrize(
    ("first", "second", "ends"), [(0.2, 0.2, True), (60.0, 0.05, False), (0.2, 60.0, True), (0.05, 60.0, False)]
)
def test_every_call_has_a_limit_of_its_own(first: float, second: float, ends: bool) -> None:
    """Timers are not set for each call, and yet each is held to its own limit, whatever the one before was."""
    assert ends_in_time(lambda limit: spin_twice(limit, first, second)) == ends


def test_code_without_a_limit_runs_on() -> None:
    """Between calls, and after the last, no timer that still runs stops anything."""

    def run(limit: TimeLimit) -> None:
        limit.set(0.05)
        limit.lift()
        spin(0.2)
        limit.set(0.05)
        limit.stop()
        spin(0.2)

    assert ends_in_time(run)


def test_code_that_gets_some_of_a_core_does_not_wait() -> None:
    """On a machine with fifty programs to a core, code that works is told from code that sleeps."""
    assert is_waiting(worked=0.01, elapsed=12.0)
    assert not is_waiting(worked=0.5, elapsed=12.0)
