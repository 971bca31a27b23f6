"""Ids that have been seen, at eight bytes each: millions of rows stay within memory."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

#: Newcomers are kept as Python numbers, ten times as large, until there are so many.
NEWCOMERS = 16_384


class Ids:
    """A set of numbers below 2**64 that grows."""

    def __init__(self, sorted_numbers: np.ndarray | None = None) -> None:
        self._keep(np.empty(0, np.uint64) if sorted_numbers is None else sorted_numbers)
        self._new: set[int] = set()

    def add(self, number: int) -> bool:
        """Add a number; whether it was not there."""
        if number in self:
            return False
        self._new.add(number)
        if len(self._new) >= NEWCOMERS:
            self._keep(self.sorted())
            self._new = set()
        return True

    def __contains__(self, number: int) -> bool:
        if number in self._new:
            return True
        # Not numpy's search: it gives the interpreter away, and has to wait for a thread that writes to get it back.
        place = bisect_left(self._view, number)
        return place < len(self._view) and self._view[place] == number

    def __len__(self) -> int:
        return len(self._view) + len(self._new)

    def sorted(self) -> np.ndarray:
        """All numbers in order, as uint64."""
        new = np.fromiter(self._new, np.uint64, len(self._new))
        new.sort()
        return np.insert(self._sorted, np.searchsorted(self._sorted, new), new)

    def _keep(self, numbers: np.ndarray) -> None:
        self._sorted = np.ascontiguousarray(numbers)
        self._view = self._sorted.data
