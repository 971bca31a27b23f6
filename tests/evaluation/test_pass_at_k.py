"""pass@k, intervals and comparisons against values known otherwise."""

from __future__ import annotations

from itertools import combinations, product
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.evaluation.pass_at_k import compare, estimate_interval, flip_signs, format_p, pass_at_k


@given(st.integers(1, 9), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(samples: int, data: st.DataObject) -> None:
    """The estimate equals counting all ways to draw k of n answers."""
    passed = data.draw(st.integers(0, samples))
    k = data.draw(st.integers(1, samples))
    draws = list(combinations([True] * passed + [False] * (samples - passed), k))
    assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_keeps_its_precision_for_many_samples() -> None:
    """Nothing is lost where products of many factors near 1 would round."""
    assert pass_at_k(10_000, 1, 100) == pytest.approx(0.01, rel=1e-15)
    assert pass_at_k(200, 200, 200) == 1.0
    assert pass_at_k(200, 0, 1) == 0.0


@pytest.mark.parametrize(("samples", "passed", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 4), (3, 1, 0)])
def test_pass_at_k_refuses_what_cannot_be(samples: int, passed: int, k: int) -> None:
    """More passes than samples, or more draws than samples, is an error, not a number."""
    with pytest.raises(ValueError, match=r"cannot have passed|needs at least"):
        pass_at_k(samples, passed, k)


def test_interval_of_a_proportion_agrees_with_theory() -> None:
    """For 0/1 values the bootstrap interval is about ± 1.96 standard errors, and it is the same every time."""
    values = [1.0] * 92 + [0.0] * 72
    interval = estimate_interval(values)
    mean = 92 / 164
    error = 1.96 * (mean * (1 - mean) / 164) ** 0.5
    assert interval.mean == pytest.approx(mean)
    assert interval.low == pytest.approx(mean - error, abs=0.01)
    assert interval.high == pytest.approx(mean + error, abs=0.01)
    assert estimate_interval(values) == interval


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Of 200 intervals around samples of a known rate, about 95 % hold the rate."""
    import numpy as np

    generator = np.random.default_rng(1)
    hits = 0
    for number in range(200):
        interval = estimate_interval((generator.random(100) < 0.4).astype(float).tolist(), seed=number)
        hits += interval.low <= 0.4 <= interval.high
    assert 180 <= hits <= 199


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 0.2775), (1.0, 0.7225, 1.0), (-1.0, -1.0, -0.7225)])
def test_interval_of_equal_values_is_not_empty(value: float, low: float, high: float) -> None:
    """0 of 10, 10 of 10 and a model that loses all: Wilson's interval (statsmodels gives the same ends)."""
    interval = estimate_interval([value] * 10)
    assert interval.method == "wilson"
    assert (interval.low, interval.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_interval_of_nothing_is_an_error() -> None:
    """No task, no mean."""
    with pytest.raises(ValueError, match="no task"):
        estimate_interval([])


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=8))
def test_sign_flip_p_value_is_the_count_over_all_patterns(differences: list[float]) -> None:
    """For few tasks the p-value is what brute force over all signs gives."""
    nonzero = [abs(value) for value in differences if value]
    observed = abs(sum(differences))
    sums = [
        abs(sum(s * v for s, v in zip(signs, nonzero, strict=True))) for signs in product((1, -1), repeat=len(nonzero))
    ]
    expected = sum(value >= observed - 1e-9 for value in sums) / len(sums)
    p_value, exact = flip_signs(differences)
    assert exact
    assert p_value == pytest.approx(expected)


def test_sign_flip_of_single_answers_is_mcnemars_exact_test() -> None:
    """30 tasks won and 10 lost: twice the binomial tail, however many tasks are equal."""
    differences = [1.0] * 30 + [-1.0] * 10 + [0.0] * 100
    tail = 2 * sum(comb(40, count) for count in range(11)) / 2**40
    assert flip_signs(differences) == (pytest.approx(tail), True)


def test_sign_flip_by_random_patterns_is_near_the_exact_value_and_never_zero() -> None:
    """With many unequal differences signs are drawn; the result is near a normal approximation, and above zero."""
    differences = [0.3, -0.2] * 20 + [0.1]
    p_value, exact = flip_signs(differences)
    assert not exact
    spread = sum(value**2 for value in differences) ** 0.5
    from scipy.stats import norm

    assert p_value == pytest.approx(2 * norm.sf(sum(differences) / spread), abs=0.05)
    assert flip_signs([1.0, 0.9] * 40)[0] > 0


def test_comparison_says_in_words_when_a_difference_is_noise() -> None:
    """Two answers more out of 100 is noise, 30 more is not; equal models are called equal."""
    worse, better, best = [1.0] * 40 + [0.0] * 60, [1.0] * 42 + [0.0] * 58, [1.0] * 70 + [0.0] * 30
    noise = compare("humaneval", "base", worse, "tuned", better)
    assert noise.inside_noise
    assert "inside the noise" in noise.sentence()
    assert f"{format_p(noise.p_value)} by an exact test" in noise.sentence()
    same = compare("humaneval", "a", worse, "b", worse)
    assert (same.low, same.high) == (pytest.approx(-0.037, abs=1e-3), pytest.approx(0.037, abs=1e-3))
    clear = compare("humaneval", "base", worse, "tuned", best)
    assert not clear.inside_noise
    assert clear.sentence().startswith("tuned is 30.0 points above base on humaneval (100 tasks, 95 % interval +")
    assert "below" in compare("humaneval", "tuned", best, "base", worse).sentence()
    assert "score the same" in compare("humaneval", "a", worse, "b", worse).sentence()
    with pytest.raises(ValueError, match="tasks"):
        compare("humaneval", "a", worse, "b", worse[1:])


def test_small_p_values_are_not_written_as_zero() -> None:
    """A p-value has three digits, or says that it is smaller."""
    assert format_p(0.0001) == "p < 0.001"
    assert format_p(0.0421) == "p = 0.042"
