"""The mean of scores over tuning seeds and tasks, both of them drawn: how far it may be from that of others.

A score depends on the seed of the tuning (which draws rows and order), on the task, and on both together. Other seeds
would have given other models, another benchmark of the kind other tasks, so both are random, and they are crossed:
every seed's model is asked every task. The variance of the mean then is

    (MS_seed + MS_cluster − MS_both) / (seeds × clusters)

with the mean squares of the two-way analysis of variance (Searle, Casella & McCulloch, "Variance Components", 1992,
chapter 4), and its degrees of freedom are Satterthwaite's (1946, Biometrics Bulletin 2, 110-114). A cluster is a group
of tasks that are alike; clusters of unequal size enter by their sums, as in Cameron, Gelbach & Miller, "Robust
Inference With Multiway Clustering" (2011, J. Business & Economic Statistics 29, 238-249).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from selfcodealign.evaluation.pass_at_k import wilson
from selfcodealign.experiments.comparison.student import quantile, two_sided_p

#: Differences of sums that are smaller than this come from rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds and tasks with its 95 % interval and the p-value of "the mean is 0".

    `error` is the standard error and `freedom` its degrees of freedom; `method` is "seeds and tasks", "tasks" (one
    seed: other seeds are not covered), "seeds" (one cluster of tasks) or "wilson" (all values are equal).
    """

    mean: float
    low: float
    high: float
    p_value: float
    error: float
    freedom: float
    seeds: int
    tasks: int
    clusters: int
    method: str


def estimate(values: np.ndarray, clusters: np.ndarray, *, least: float = 0.0) -> Estimate:
    """Estimate the mean of `values` (seeds × tasks); `clusters` numbers the cluster of each task, from 0.

    `least` is the lowest possible value: 0 for scores, −1 for differences. Raises `ValueError` when there is no value.
    """
    seeds, tasks = values.shape
    if not seeds or not tasks:
        raise ValueError("there is no score to average")
    groups = int(clusters.max()) + 1
    mean = float(values.mean())
    squares = _mean_squares(values, clusters, groups)
    variance, freedom = _variance(squares, seeds * groups)
    if float(np.ptp(values)) < _ROUNDING or not variance:
        low, high, p_value = _of_equal_values(mean, groups, least)
        error = freedom = math.nan
        method = "wilson"
    else:
        error = math.sqrt(variance)
        half = quantile(freedom) * error
        low, high = max(least, mean - half), min(1.0, mean + half)
        p_value = two_sided_p(mean / error, freedom)
        method = "seeds and tasks" if len(squares) == 3 else "tasks" if seeds == 1 else "seeds"
    return Estimate(
        mean=mean,
        low=low,
        high=high,
        p_value=p_value,
        error=error,
        freedom=freedom,
        seeds=seeds,
        tasks=tasks,
        clusters=groups,
        method=method,
    )


def _mean_squares(values: np.ndarray, clusters: np.ndarray, groups: int) -> dict[str, tuple[float, float]]:
    """Mean square and degrees of freedom by source of variation; a source that occurs once is left out."""
    seeds, tasks = values.shape
    by_task, by_seed, mean = values.mean(axis=0), values.mean(axis=1), values.mean()
    # Sums over clusters, in units in which clusters of equal size give the mean over their tasks.
    scale = groups / tasks
    of_clusters = scale * np.bincount(clusters, by_task - mean, groups)
    found = {}
    if seeds > 1:
        found["seed"] = (groups * float(np.sum((by_seed - mean) ** 2)) / (seeds - 1), seeds - 1.0)
    if groups > 1:
        found["cluster"] = (seeds * float(np.sum(of_clusters**2)) / (groups - 1), groups - 1.0)
    if seeds > 1 and groups > 1:
        rest = values - by_seed[:, None] - by_task + mean
        both = scale * np.array([np.bincount(clusters, row, groups) for row in rest])
        freedom = (seeds - 1.0) * (groups - 1.0)
        found["both"] = (float(np.sum(both**2)) / freedom, freedom)
    return found


def _variance(squares: dict[str, tuple[float, float]], cells: int) -> tuple[float, float]:
    """The variance of the mean, and Satterthwaite's degrees of freedom.

    A component that comes out negative counts as 0, so that the variance is never below what one source alone gives.
    """
    both = squares.get("both", (0.0, 1.0))[0]
    least = both * (1 + 1e-9)  # equal mean squares are not made different by rounding
    parts = {name: part for name, part in squares.items() if name == "both" or part[0] > least}
    # With m components above 0, MS_both is subtracted m − 1 times.
    factor = {"both": 1.0 - (len(parts) - 1)} if "both" in parts else {}
    terms = [(factor.get(name, 1.0) * square, freedom) for name, (square, freedom) in parts.items()]
    total = sum(term for term, _ in terms)
    if total < _ROUNDING:
        return 0.0, 1.0
    return total / cells, total**2 / sum(term**2 / freedom for term, freedom in terms)


def _of_equal_values(mean: float, clusters: int, least: float) -> tuple[float, float, float]:
    """Bounds and p-value where all values are equal: Wilson's, because a spread of 0 would give no width."""
    size = min(1.0, abs(mean))
    low, high = wilson(size, clusters)
    low, high = min(low, size), max(high, size)  # at 0 and 1, rounding may put a bound behind the mean
    if mean < 0:
        low, high = -high, -low
    elif least < 0 and not mean:
        low = -high  # equal on these tasks, others may differ to either side
    return low, high, 1.0 if not mean else min(1.0, 2.0 ** (1 - clusters))
