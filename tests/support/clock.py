"""A wall clock that a test advances."""

from __future__ import annotations


class Clock:
    """Replaces the wall clock; a test advances the time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
