"""Statistics of a benchmark's verdicts: pass@k, its confidence interval, and the comparison of two models.

All functions work on one number per task, the task's pass@k. A benchmark is a sample of tasks, so intervals and tests
resample tasks, never single answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

#: Resamples of an interval, and random sign patterns of a p-value that is not computed exactly.
RESAMPLES = 10_000
SIGN_PATTERNS = 100_000
#: Up to this many differing tasks every sign pattern is tried (2**16 of them).
EXACT_TASKS = 16
#: A difference with a p-value above this is called noise.
SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over tasks with its 95 % interval, all in 0..1; the method is "bootstrap" or "wilson"."""

    mean: float
    low: float
    high: float
    method: str = "bootstrap"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same tasks. `difference` is second − first, in 0..1, with its 95 % interval."""

    first: str
    second: str
    benchmark: str
    tasks: int
    difference: float
    low: float
    high: float
    p_value: float
    exact: bool

    @property
    def inside_noise(self) -> bool:
        """True when the difference is not significant."""
        return self.p_value > SIGNIFICANT

    def sentence(self) -> str:
        """Return the comparison as a sentence."""
        points = f"{abs(self.difference) * 100:.1f} points"
        test = "exact test" if self.exact else "sign-flip test"
        interval = f"95 % interval {self.low * 100:+.1f} to {self.high * 100:+.1f}"
        figures = f"{interval}, {format_p(self.p_value)} by {'an' if self.exact else 'a'} {test}"
        if self.difference == 0:
            return f"{self.second} and {self.first} score the same on {self.benchmark} ({self.tasks} tasks, {figures})."
        if self.inside_noise:
            return (
                f"The difference of {points} between {self.second} and {self.first} on {self.benchmark} is inside the "
                f"noise ({self.tasks} tasks, {figures}): it does not show which of them is better."
            )
        side = "above" if self.difference > 0 else "below"
        return f"{self.second} is {points} {side} {self.first} on {self.benchmark} ({self.tasks} tasks, {figures})."


def format_p(p_value: float) -> str:
    """Format a p-value with three decimals, never as zero."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Probability that at least one of k answers drawn from `samples` is right, when `passed` of them are.

    1 − C(n−c, k) / C(n, k): the unbiased estimate of Chen et al., "Evaluating Large Language Models Trained on Code"
    (arXiv 2107.03374), equation 1; computed in integers, so nothing is rounded before the division.
    Raises `ValueError` when k answers cannot be drawn.

    >>> pass_at_k(10, 3, 1), pass_at_k(4, 2, 2)
    (0.3, 0.8333333333333334)
    """
    if not 0 <= passed <= samples:
        raise ValueError(f"{passed} of {samples} samples cannot have passed")
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs at least {k} samples per task, here are {samples}")
    return (comb(samples, k) - comb(samples - passed, k)) / comb(samples, k)


def estimate_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Return the mean of one value per task with a 95 % interval: percentile bootstrap over tasks.

    Source: Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. The same values
    and seed give the same interval. Where all values are equal no resample differs, and the bootstrap's interval would
    be empty: then it is Wilson's (`wilson`). Raises `ValueError` when there is no task.
    """
    import numpy as np

    if not values:
        raise ValueError("no task to average over")
    if max(values) - min(values) < 1e-12:
        low, high = wilson(abs(values[0]), len(values))
        return Interval(values[0], *((low, high) if values[0] >= 0 else (-high, -low)), method="wilson")
    array = np.asarray(values, dtype=float)
    generator = np.random.default_rng(seed)
    means = np.concatenate([_draw_means(array, generator, share) for share in _shares(RESAMPLES, len(array))])
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(array.mean()), float(low), float(high))


def wilson(share: float, tasks: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion (Wilson 1927, J. Am. Stat. Assoc. 22, 209-212).

    >>> [round(end, 3) for end in wilson(0.0, 10)]
    [0.0, 0.278]
    """
    squared = 1.959964**2
    middle = share + squared / (2 * tasks)
    half = (squared * (share * (1 - share) / tasks + squared / (4 * tasks**2))) ** 0.5
    scale = 1 + squared / tasks
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _shares(total: int, width: int, cells: int = 2_000_000) -> list[int]:
    """Split `total` rows so that no piece holds more than about `cells` numbers (16 MiB)."""
    size = max(1, cells // max(1, width))
    return [min(size, total - start) for start in range(0, total, size)]


def _draw_means(array, generator, rows: int):
    return array[generator.integers(0, len(array), (rows, len(array)))].mean(axis=1)


def compare(
    benchmark: str,
    first: str,
    first_values: Sequence[float],
    second: str,
    second_values: Sequence[float],
    seed: int = 0,
) -> Comparison:
    """Compare two models task by task (the same tasks in the same order).

    The p-value is that of a two-sided sign-flip permutation test of the mean difference (Fisher 1935; for single
    answers per task it is the exact McNemar test): if the models were equally good, each task's difference would have
    either sign with equal probability. It is exact where all differences are equally large or few tasks differ, else
    estimated from 100 000 random sign patterns. Raises `ValueError` when the tasks do not match.
    """
    if len(first_values) != len(second_values):
        raise ValueError(f"{first} has {len(first_values)} tasks, {second} has {len(second_values)}")
    differences = [b - a for a, b in zip(first_values, second_values, strict=True)]
    interval = estimate_interval(differences, seed)
    # Models that differ on no task may differ on others, to either side.
    low = -interval.high if not any(differences) else interval.low
    p_value, exact = flip_signs(differences, seed)
    return Comparison(
        first=first,
        second=second,
        benchmark=benchmark,
        tasks=len(differences),
        difference=interval.mean,
        low=low,
        high=interval.high,
        p_value=p_value,
        exact=exact,
    )


def flip_signs(differences: Sequence[float], seed: int = 0, patterns: int = SIGN_PATTERNS) -> tuple[float, bool]:
    """Return the two-sided p-value of the sum of paired differences under random signs, and whether it is exact.

    `patterns` random sign patterns are tried where it is not.

    >>> flip_signs([1, 1, 1, 1, 1, 0, 0])
    (0.0625, True)
    """
    sizes = [abs(value) for value in differences if abs(value) > 1e-12]
    if not sizes:
        return 1.0, True
    observed = abs(sum(differences))
    if max(sizes) - min(sizes) < 1e-12:
        ups = sum(value > 1e-12 for value in differences)
        tail = min(ups, len(sizes) - ups)
        both = 2 * sum(comb(len(sizes), count) for count in range(tail + 1)) / 2 ** len(sizes)
        return min(1.0, both), True
    import numpy as np

    array = np.asarray(sizes)
    # Sums of the same numbers in another order differ in the last bits and must count as equal.
    reached = observed - 1e-9
    if len(sizes) <= EXACT_TASKS:
        every = np.arange(2 ** len(sizes))[:, None] >> np.arange(len(sizes)) & 1
        return float((np.abs((1 - 2 * every) @ array) >= reached).mean()), True
    generator = np.random.default_rng(seed)
    hits = sum(
        int((np.abs((1 - 2 * generator.integers(0, 2, (share, len(sizes)))) @ array) >= reached).sum())
        for share in _shares(patterns, len(sizes))
    )
    # The observed pattern counts as one draw, so that p is never 0.
    return (hits + 1) / (patterns + 1), False
