"""Intervals: of a kept share, and of what a run of other seeds will come to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

#: Nominal level of all intervals: sums of skewed rows miss more often, and 9 of 10 larger runs are to lie within.
LEVEL = 0.99
#: Draws of the bootstrap.
DRAWS = 2000
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


@dataclass(frozen=True)
class Interval:
    """What is expected, and the bounds."""

    expected: float
    low: float
    high: float


def share(kept: int, entered: int) -> Interval:
    """Wilson's interval of a kept share; rows must be independent.

    >>> found = share(0, 50)
    >>> found.low, round(found.high, 3)
    (0.0, 0.117)
    """
    if not entered:
        return Interval(math.nan, 0.0, 1.0)
    mean, part = kept / entered, _Z * _Z / entered
    middle = (mean + part / 2) / (1 + part)
    half = _Z / (1 + part) * math.sqrt(mean * (1 - mean) / entered + part / 4 / entered)
    return Interval(mean, max(0.0, middle - half) if kept else 0.0, min(1.0, middle + half) if kept < entered else 1.0)


class Bootstrap:
    """Sums over other seeds, from those of a pilot: whole seeds are drawn, since rows of one seed are alike.

    Draws are widened as Student's t is, because few seeds show too little of the spread.
    """

    def __init__(self, seeds: int, random: np.random.Generator) -> None:
        self.seeds, self._random = seeds, random
        self.weights = random.multinomial(seeds, [1 / seeds] * seeds, size=DRAWS) / seeds
        # Student's quantile, by the first term of its expansion in 1 / degrees of freedom.
        self._wide = math.sqrt(seeds / max(1, seeds - 1)) * (1 + (_Z * _Z + 1) / 4 / max(1, seeds - 1))

    def means(self, values: Sequence[float], size: float | np.ndarray = math.inf) -> np.ndarray:
        """Draws of the mean of `size` other seeds: the pilot's mean is uncertain, and so is what they turn out as."""
        found = np.asarray(values, float)
        drawn = self.weights @ found
        noise = self._random.standard_normal(DRAWS) * found.std() / np.sqrt(size)
        return np.maximum(0.0, found.mean() + (drawn - found.mean() + noise) * self._wide)

    def most_rows(self, values: Sequence[float], most: float, size: float | np.ndarray = math.inf) -> np.ndarray:
        """The same of rows per seed (`most` of one seed), which a pilot may show none of: half a seed that gives all
        and half a seed that gives none are added, as Jeffreys' interval adds them to a share."""
        drawn = self.means(values, size)
        half = self._random.beta(0.5, self.seeds, size=DRAWS) * most
        return np.where(self._random.random(DRAWS) < 0.5, drawn + half, drawn)


def summarise(expected: float, draws: np.ndarray) -> Interval:
    """The interval that holds the middle of the draws."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(expected, float(min(low, expected)), float(max(high, expected)))
