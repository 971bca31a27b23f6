"""Rates and histograms hold for any counts."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.report.facts.histograms import draw_histogram, log_edges
from selfcodealign.report.facts.rates import make_rate


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_interval_of_a_rate_contains_it(passed: int, failed: int) -> None:
    """Wilson's interval lies in 0..1 and holds the share, for any counts; of no answers it is everything."""
    rate = make_rate("x", passed, passed + failed)
    assert 0.0 <= rate.low <= rate.share + 1e-12
    assert rate.share - 1e-12 <= rate.high <= 1.0
    assert (rate.low, rate.high) == (0.0, 1.0) or passed + failed > 0


@given(st.dictionaries(st.integers(1, 10**7), st.integers(1, 10**6), min_size=1))
def test_a_histogram_counts_every_value_once(found: dict[float, int]) -> None:
    """All values lie between the edges, each in the bin between its neighbouring edges; median and p95 are values."""
    edges = log_edges(min(found), max(found))
    one = draw_histogram("x", "y", found, edges)
    assert one is not None
    assert edges[0] <= min(found) <= max(found) <= edges[-1]
    assert list(edges) == sorted(set(edges))
    assert sum(one.counts) == one.count == sum(found.values())
    for place, (low, high) in enumerate(pairwise(edges)):
        last = place == len(edges) - 2
        assert one.counts[place] == sum(n for value, n in found.items() if low <= value and (value < high or last))
    assert min(found) <= one.median <= one.p95 <= max(found)
    assert {one.median, one.p95} <= set(found)


def test_no_values_have_no_histogram() -> None:
    """Nothing was measured."""
    assert draw_histogram("x", "y", {}, [0, 1]) is None
