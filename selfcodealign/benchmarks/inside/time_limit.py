"""A limit on CPU time and wall time of the code that runs next.

System time counts at most as much as user time: the kernel's time to allocate a gigabyte of memory can vary tenfold,
which is not the program's fault.
"""

from __future__ import annotations

import math
import resource
import signal
import time

#: Wall time per second of CPU time, because other programs share the machine, and a constant for the start.
_WALL_FACTOR, _WALL_START = 8.0, 4.0
#: Code that used less than this share of a core is waiting; with more it is slowed by others, and continues.
_SHARE = 0.02


def by_clock(seconds: float) -> float:
    """Return the wall-clock allowance for `seconds` of CPU time."""
    return seconds * _WALL_FACTOR + _WALL_START


def is_waiting(worked: float, elapsed: float) -> bool:
    """Whether code that used `worked` seconds of CPU time in `elapsed` seconds of wall time is waiting."""
    return worked < _SHARE * elapsed


def time_used() -> float:
    """Return the CPU time of this process in seconds: user time, plus system time up to as much."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + min(used.ru_stime, used.ru_utime)


def cpu_clock(pid: int) -> int:
    """Return the id of another process's CPU clock (clock_getres(2))."""
    return ((~pid) << 3) | 2


def read_cpu(clock: int) -> float:
    """Return the CPU seconds of a process by its clock; 0 once it is gone."""
    try:
        return time.clock_gettime(clock)
    except OSError:
        return 0.0


class Meter:
    """Measures another process from now on: its CPU time and the wall time."""

    def __init__(self, pid: int) -> None:
        self._clock = cpu_clock(pid)
        self._used, self._started = read_cpu(self._clock), time.monotonic()

    def exceeds(self, seconds: float, waiting_for: float) -> bool:
        """Whether the process used more than `seconds` of CPU time, or only waited for `waiting_for` of wall time."""
        worked, elapsed = read_cpu(self._clock) - self._used, time.monotonic() - self._started
        return worked > seconds or (elapsed > waiting_for and is_waiting(worked, elapsed))


class OutOfTime(BaseException):
    """Raised inside the answer's code at its time limit; not an Exception, so that code seldom catches it."""


class TimeLimit:
    """A time limit on the code that runs next; raises `OutOfTime` inside it.

    The timers are not set for every call: a timer that fires with time left is set again for the rest.
    """

    def __init__(self) -> None:
        self._until = self._until_by_clock = self._rings = math.inf
        self._began = (0.0, 0.0)
        signal.signal(signal.SIGPROF, self._on_processor_time)
        signal.signal(signal.SIGALRM, self._on_wall_time)

    def set(self, seconds: float) -> None:
        """Limit the code from now on to `seconds` of `time_used`, or `by_clock(seconds)` of wall time."""
        self._began = used, now = time_used(), time.monotonic()
        self._until, self._until_by_clock = used + seconds, now + by_clock(seconds)
        if self._until < self._rings:
            self._rings = self._until
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.setitimer(signal.ITIMER_REAL, by_clock(seconds))

    def lift(self) -> None:
        """Remove the limit; the timers keep running for the next one."""
        self._until = self._until_by_clock = math.inf

    def stop(self) -> None:
        """Remove the limit and stop the timers."""
        self.lift()
        self._rings = math.inf
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_processor_time(self, signum: int, frame: object) -> None:
        self._rings = self._until
        # The kernel counts this timer in whole ticks, which is inaccurate when many processes share a core.
        self._ring_again(signal.ITIMER_PROF, self._until - time_used())

    def _on_wall_time(self, signum: int, frame: object) -> None:
        now = time.monotonic()
        if now >= self._until_by_clock and not is_waiting(time_used() - self._began[0], now - self._began[1]):
            self._until_by_clock = now + _WALL_START
        self._ring_again(signal.ITIMER_REAL, self._until_by_clock - now)

    def _ring_again(self, timer: int, left: float) -> None:
        if left <= 0:
            raise OutOfTime
        if left < math.inf:
            signal.setitimer(timer, max(left, 0.005))
        else:
            self._rings = math.inf
