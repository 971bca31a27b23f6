"""What the pictures of an experiment share: size, axes, dashes, and how names and numbers are written.

Colours are variables of the page (`page`), which knows light and dark. 420 units on the 360 points of a phone leave the
labels readable, so a name stands above its dot, not beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from selfcodealign.experiments.comparison.crossed import Estimate
from selfcodealign.training.curves import find_ticks

WIDTH, RIGHT, TOP = 420, 12, 6
DASHES = ("6 4", "2 4", "12 4", "12 4 2 4")
#: Colours of the page; further series repeat them with dashes.
COLOURS = 6


class Axis:
    """Places of values between two ends of the picture; level values stand in the middle."""

    def __init__(self, values: Sequence[float], first: float, last: float, *, log: bool = False) -> None:
        self._map = math.log if log else float
        low, high = min(values), max(values)
        if high <= low:
            low, high = low - (abs(low) or 1.0) * 0.1, high + (abs(high) or 1.0) * 0.1
        self.low, self.high, self._first, self._last = low, high, first, last

    def at(self, value: float) -> float:
        low, high = self._map(self.low), self._map(self.high)
        return self._first + (self._map(value) - low) / (high - low) * (self._last - self._first)

    def ticks(self, most: int) -> list[float]:
        return find_ticks(self.low, self.high, most)


def tell_interval(one: Estimate) -> str:
    return f"{100 * one.mean:.1f} ({100 * one.low:.1f} to {100 * one.high:.1f})"


def shorten(name: str, most: int) -> str:
    """Leave out the middle: names of arms differ in their ends."""
    if len(name) <= most:
        return name
    end = most // 2
    return f"{name[: most - end - 1]}…{name[-end:]}"
