"""The clock of versions that run together: each has its own time, counted from the report on the one before it."""

from __future__ import annotations

from typing import Any

_PATIENCE = 10  # times the CPU time that a version may use: what it may sleep, with work in between


class StepClock:
    """Ends a version that uses more than `seconds` of CPU time, or waits `idle_seconds`, all its threads asleep.

    CPU time and time asleep, and not the clock, so that a busy machine, on which a version is ready and waits for a
    core, does not change a verdict.
    """

    def __init__(self, bounds: dict[str, float], started: float) -> None:
        self._seconds = bounds["seconds"]
        self._idle_seconds = bounds["idle_seconds"]
        self._reports = 0
        self._moved_at = self._looked_at = started
        self._began_with = self._worked = self._slept = 0.0

    def is_over(self, reports: list[Any], now: float, worked: float, asleep: bool) -> bool:
        """Whether the version that runs `now` is to be ended; `worked` is the CPU time of the process so far."""
        done = sum(type(report) is dict and "version" in report for report in reports)
        if done > self._reports:
            self._reports, self._moved_at, self._began_with, self._slept = done, now, worked, 0.0
        elif asleep:
            self._slept += now - self._looked_at
        self._looked_at = now
        if worked > self._worked or not asleep:
            self._worked, self._moved_at = max(worked, self._worked), now
        used, waited = worked - self._began_with, now - self._moved_at
        return used > self._seconds or waited > self._idle_seconds or self._slept > _PATIENCE * self._seconds
