"""The statistics of an experiment: intervals hold the truth, differences are not called where chance made them."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.ablation_intervals import WORLDS, measure
from selfcodealign.errors import ExperimentError
from selfcodealign.experiments.comparison.comparing import compare_lines, correct
from selfcodealign.experiments.comparison.crossed import estimate
from selfcodealign.experiments.comparison.lines import Line
from selfcodealign.experiments.comparison.student import quantile, two_sided_p
from tests.support.experiment_tables import make_answers, make_arm, make_base, make_many, make_scores


@pytest.mark.parametrize("world", WORLDS)
def test_intervals_hold_the_truth_and_equal_arms_are_not_called_different(world: str) -> None:
    """Of 400 simulated experiments, about 95 % of means are covered and at most 7 % of null differences are called."""
    shares = measure(WORLDS[world], 400, naive=False)
    assert 0.92 <= shares["covered"] <= 0.985
    assert shares["false positives"] <= 0.07


def test_a_bootstrap_over_tasks_would_call_equal_arms_different() -> None:
    """Where seeds matter, the naive interval is much too narrow: this is why seeds are random, too."""
    shares = measure(WORLDS["5 seeds, 60 clusters, seeds matter much"], 60)
    assert shares["naive false positives"] > 0.4 > 0.1 > shares["false positives"]


@given(st.floats(-60, 60), st.one_of(st.floats(1, 1000), st.just(math.inf)))
def test_student_is_that_of_scipy(t: float, freedom: float) -> None:
    """Tails, and the quantile of the interval, for fractional degrees of freedom, too."""
    reference = stats.norm if math.isinf(freedom) else stats.t(freedom)
    assert two_sided_p(t, freedom) == pytest.approx(2 * reference.sf(abs(t)), rel=1e-8, abs=1e-300)
    assert quantile(freedom) == pytest.approx(reference.ppf(0.975), rel=1e-8)


def test_the_mean_squares_are_those_of_the_two_way_analysis() -> None:
    """Balanced data: the variance from the textbook's sums of squares, by loops; and one seed is the t-test."""
    random = np.random.default_rng(0)
    values = random.normal(size=(4, 30)) + random.normal(size=(4, 1)) + np.repeat(random.normal(size=10), 3)
    clusters = np.repeat(np.arange(10), 3)
    cells = values.reshape(4, 10, 3).mean(axis=2)
    grand, rows, columns = cells.mean(), cells.mean(axis=1), cells.mean(axis=0)
    of_seeds = 10 * sum((row - grand) ** 2 for row in rows) / 3
    of_clusters = 4 * sum((column - grand) ** 2 for column in columns) / 9
    both = sum((cells[s, c] - rows[s] - columns[c] + grand) ** 2 for s in range(4) for c in range(10)) / 27
    variance = (of_seeds + of_clusters - both) / 40
    freedom = (40 * variance) ** 2 / (of_seeds**2 / 3 + of_clusters**2 / 9 + both**2 / 27)
    found = estimate(values, clusters, least=-10.0)
    assert min(of_seeds, of_clusters) > both
    assert (found.error, found.freedom) == pytest.approx((math.sqrt(variance), freedom))
    alone = estimate(values[:1], np.arange(30), least=-10.0)
    assert alone.p_value == pytest.approx(stats.ttest_1samp(values[0], 0).pvalue)
    assert (alone.method, alone.freedom) == ("tasks", 29)


@given(st.integers(1, 6), st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_an_estimate_is_finite_and_within_bounds_for_any_scores(seeds: int, groups: int, size: int, draw: int) -> None:
    """The mean lies in its interval, the interval in 0..1 and not of no width, p in 0..1; order does not matter."""
    random = np.random.default_rng(draw)
    values = (random.random((seeds, groups * size)) < random.random()).astype(float)
    clusters = np.repeat(np.arange(groups), size)
    found = estimate(values, clusters)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.low < found.high
    assert 0 <= found.p_value <= 1
    order = random.permutation(groups * size)
    again = estimate(values[random.permutation(seeds)][:, order], clusters[order])
    assert (again.mean, again.low, again.high) == pytest.approx((found.mean, found.low, found.high))


def test_equal_values_have_the_interval_of_wilson() -> None:
    """No task solved by any seed: another group of tasks may be; and no difference may be one to either side."""
    groups = np.repeat(np.arange(20), 3)
    none = estimate(np.zeros((5, 60)), groups)
    assert (none.low, round(none.high, 3), none.method) == (0.0, 0.161, "wilson")
    same = estimate(np.zeros((5, 60)), groups, least=-1.0)
    assert (same.low, same.p_value) == (-same.high, 1.0)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float]) -> None:
    """In order of p, hypotheses are rejected until p exceeds 0.05 / (number left)."""
    rejected: set[int] = set()
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        if p_values[place] * (len(p_values) - rank) > 0.05:
            break
        rejected.add(place)
    assert {place for place, value in enumerate(correct(p_values)) if value <= 0.05} == rejected


def test_every_pair_with_an_arm_is_compared_and_the_noise_is_named() -> None:
    """Arms with each other first, then each with the base model; clear differences are told, others called noise."""
    table = make_answers()
    results = compare_lines(table.lines, table.groups)
    arms = [line.name for line in table.arms]
    pairs = [(one.first, one.second) for one in results.differences]
    assert pairs == [*combinations(arms, 2), *(("base (chat)", arm) for arm in arms)]
    assert {one.family for one in results.differences} == {6}
    told = {one.second: one.sentence() for one in results.differences if one.first == arms[0]}
    assert f"{arms[2]} is " in told[arms[2]]
    assert " points below " in told[arms[2]]
    assert "5 seeds, 60 tasks in 20 groups" in told[arms[2]]
    noise = next(one for one in results.differences if one.inside_noise)
    assert "is inside the noise" in noise.sentence()
    assert "it does not show which of them is better" in noise.sentence()
    assert noise.corrected >= noise.estimate.p_value
    assert min(one.seeds_p or 1 for one in results.differences) == 0.0625
    assert "Over 5 seeds alone no sign-flip test can give p below 0.0625." in results.notes


def test_seeds_of_one_number_are_paired() -> None:
    """What both arms owe to a seed falls out of their difference, however much it is."""
    good, bad = make_scores(2.0, 1, tasks=90)[0], make_scores(-2.0, 1, tasks=90, number=1)[0]
    first, second = ([dict(scores) for scores in (good, bad, good, bad)] for _ in range(2))
    for scores in second:
        solved = [task for task, score in scores.items() if score][:4]
        scores.update(dict.fromkeys(solved, 0.0))
    lines = [
        Line(name=name, varied={"k": name}, scores={"b": scores}) for name, scores in (("a", first), ("z", second))
    ]
    results = compare_lines(lines, {})
    (difference,) = results.differences
    assert results.means["a", "b"].error > 0.15
    assert difference.estimate.error < 0.03
    alone = compare_lines([lines[0], Line(name="z", varied={"k": 1}, scores={"b": second[1:] + second[:1]})], {})
    assert alone.differences[0].estimate.error > 0.2


def test_one_seed_covers_tasks_alone_and_says_so() -> None:
    """No interval over other seeds can be had from one."""
    lines = [make_arm("a", 0.5, seeds=1, k=1), make_arm("b", 0.1, seeds=1, number=2, k=2)]
    results = compare_lines(lines, {})
    assert results.means["a", "tiny-eval"].method == "tasks"
    assert results.differences[0].seeds_p is None
    assert "tiny-eval: with one tuning seed, intervals cover other tasks and no other seeds: a, b." in results.notes


def test_lines_are_compared_on_what_both_have() -> None:
    """NaN is no score; other tasks, other numbers of seeds and missing benchmarks are left out, with a note."""
    whole = make_arm("whole", 0.5, seeds=3, k=1)
    torn = [dict(scores) for scores in make_scores(0.2, 2, number=5)]
    torn[0]["task/0"] = math.nan
    torn[1] = {task: score for task, score in torn[1].items() if task != "task/1"}
    lines = [
        whole,
        Line(name="torn", varied={"k": 2}, scores={"tiny-eval": [*torn, {}]}),
        Line(name="other", varied={"k": 3}, scores={"tiny-eval": [{"elsewhere": 1.0, "there": 0.0}] * 2}),
        Line(name="none", varied={"k": 4}, scores={"tiny-eval": [{"task/1": math.nan}]}),
        Line(name="missing", varied={"k": 5}, scores={}),
    ]
    results = compare_lines(lines, {})
    (difference,) = results.differences
    assert (difference.first, difference.second) == ("whole", "torn")
    assert (difference.estimate.tasks, difference.estimate.seeds) == (58, 2)
    assert results.means["torn", "tiny-eval"].tasks == 58
    assert ("none", "tiny-eval") not in results.means
    assert ("missing", "tiny-eval") not in results.means
    told = " ".join(results.notes)
    for note in (
        "2 of 60 tasks without a score are left out: torn.",
        "seeds without a score are left out: torn.",
        "no score: none.",
        "compared on the 58 tasks that both have: whole / torn.",
        "compared with the 2 seeds that both have: whole / torn.",
        "not compared, without a common task: whole / other, torn / other.",
    ):
        assert f"tiny-eval: {note}" in told


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "at least one arm"),
        ([make_arm("a", 0, k=1), make_arm("a", 0, k=2)], 'two lines have the name "a"'),
        ([Line(name="a", varied={"k": 1}, scores={})], "no line has a score"),
        ([Line(name="a", varied={"k": 1}, scores={"b": [{"t": math.nan}]})], "no line has a score"),
        ([Line(name="a", varied={"k": 1}, scores={"b": [{"t": 53.0}]})], "is 53; scores lie in 0..1"),
        ([Line(name="a", varied={"k": 1}, scores={"b": [{"t": -math.inf}]})], "scores lie in 0..1"),
        ([Line(name="a", scores={"b": [{"t": 1.0}, {"t": 0.0}]})], "2 sets of scores on b and nothing that was varied"),
    ],
)
def test_lines_without_a_table_are_refused(lines: list[Line], message: str) -> None:
    """One sentence that names the line and the fix."""
    with pytest.raises(ExperimentError, match=message.replace("(", r"\(")):
        compare_lines(lines, {})


def test_hundreds_of_pairs_are_one_family() -> None:
    """Thirty arms and a base model: 465 pairs, and the correction is for all of them."""
    table = make_many()
    results = compare_lines(table.lines, {})
    assert len(results.differences) == 30 * 29 // 2 + 30
    assert {one.family for one in results.differences} == {465}
    assert any(one.estimate.p_value < 0.05 < one.corrected for one in results.differences)


def test_base_models_are_not_compared_with_each_other() -> None:
    """They are no arms: their difference is no question of the experiment, and would cost the others."""
    results = compare_lines([make_base("one"), make_base("other", 1.0), make_arm("a", 0, k=1)], {})
    assert [(one.first, one.second) for one in results.differences] == [("one", "a"), ("other", "a")]
