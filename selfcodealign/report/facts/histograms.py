"""Histograms of a measure, out of how often each of its values was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from selfcodealign.report.facts.types import Histogram


def draw_histogram(name: str, unit: str, found: Mapping[float, int], edges: Sequence[float]) -> Histogram | None:
    """The histogram of the values in `found`, each with how often; None without any. `edges` hold all values."""
    number = sum(found.values())
    if not number:
        return None
    counts = [0] * (len(edges) - 1)
    for value, often in found.items():
        counts[_bin(value, edges)] += often
    mean = sum(value * often for value, often in found.items()) / number
    ordered = sorted(found.items())
    median, p95 = (quantile(ordered, number, share) for share in (0.5, 0.95))
    return Histogram(name, unit, list(edges), counts, number, mean, median, p95)


def log_edges(least: float, most: float) -> list[float]:
    """Edges at 1, 2 and 5 times powers of ten, from the one at or below `least` (at least 1) to one at or above `most`.

    >>> log_edges(30, 420)
    [20, 50, 100, 200, 500]
    """
    steps: list[float] = []
    for power in count():
        for factor in (1, 2, 5):
            steps.append(factor * 10**power)
            if steps[-1] >= most and len(steps) > 1:
                first = max((place for place, edge in enumerate(steps) if edge <= least), default=0)
                return steps[min(first, len(steps) - 2) :]
    raise AssertionError("a power of ten is larger than any number")


def quantile(ordered: Sequence[tuple[float, int]], number: int, share: float) -> float:
    """The smallest of `number` values that at least this `share` of them do not exceed.

    >>> quantile([(1, 2), (7, 1)], 3, 0.5), quantile([(1, 2), (7, 1)], 3, 0.95)
    (1.0, 7.0)
    """
    seen = 0
    for value, often in ordered:
        seen += often
        if seen >= share * number:
            return float(value)
    return float(ordered[-1][0])


def _bin(value: float, edges: Sequence[float]) -> int:
    """The bin of a value; the last one is closed."""
    for place in range(len(edges) - 2, 0, -1):
        if value >= edges[place]:
            return place
    return 0
