"""A limit on what the code run next may take, in processor time and by the clock.

The kernel's own time counts no more than the code's: giving a program a gigabyte of memory can take ten times as long
on one occasion as on another, and that is the machine's doing.
"""

from __future__ import annotations

import math
import resource
import signal
import time

#: Wall time allowed per second of processor time, because other programs share the machine; and a little to start.
_WALL_FACTOR, _WALL_START = 8.0, 4.0
#: Code that got less than this share of a core waits for nothing; with more it is held up by others, and goes on.
_SHARE = 0.02


def by_clock(seconds: float) -> float:
    """How long code may take by the clock that has `seconds` of processor time."""
    return seconds * _WALL_FACTOR + _WALL_START


def is_waiting(worked: float, elapsed: float) -> bool:
    """Whether code that used `worked` seconds of a processor in `elapsed` seconds by the clock waits for something."""
    return worked < _SHARE * elapsed


def time_used() -> float:
    """Seconds that processors have spent on this process: in its code, and at most as many again in the kernel."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + min(used.ru_stime, used.ru_utime)


class OutOfTime(BaseException):
    """Raised inside the answer's own code when its time is over; not an Exception, so it is seldom swallowed."""


class TimeLimit:
    """A limit on what the code run next may take; raises `OutOfTime` inside it.

    The timers are not set for every call: one that rings while there is time left is set again for the rest.
    """

    def __init__(self) -> None:
        self._until = self._until_by_clock = self._rings = math.inf
        self._began = (0.0, 0.0)
        signal.signal(signal.SIGPROF, self._on_processor_time)
        signal.signal(signal.SIGALRM, self._on_wall_time)

    def set(self, seconds: float) -> None:
        """`seconds` of `time_used` from now, or `by_clock` of that by the clock."""
        self._began = used, now = time_used(), time.monotonic()
        self._until, self._until_by_clock = used + seconds, now + by_clock(seconds)
        if self._until < self._rings:
            self._rings = self._until
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.setitimer(signal.ITIMER_REAL, by_clock(seconds))

    def lift(self) -> None:
        """No limit from now on; the timers run on for the next one."""
        self._until = self._until_by_clock = math.inf

    def stop(self) -> None:
        """No limit, no timer."""
        self.lift()
        self._rings = math.inf
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_processor_time(self, signum: int, frame: object) -> None:
        self._rings = self._until
        # The kernel counts for this timer in whole ticks, which is far off when many processes share a core.
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
