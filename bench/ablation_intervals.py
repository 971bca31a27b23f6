"""How often the intervals of an experiment hold the truth: python -m bench.ablation_intervals [TRIALS]

Simulated experiments: two arms, tuned with a few seeds each, are asked tasks in clusters. The logarithm of the odds of
an answer is the sum of a level, of effects of cluster, task and seed, and of what seed and cluster (seed and task) have
together; answers are drawn. Seeds of the same number share a part of their effect, as arms share the draws of rows. The
arms are equally good, so every difference that is called significant is a false positive. Beside the crossed variance
stands what a bootstrap over tasks says, which takes the seeds for the only ones.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from selfcodealign.experiments.comparison.crossed import estimate

#: Resamples of the bootstrap.
DRAWS = 1000


@dataclass(frozen=True)
class World:
    """Standard deviations in logits; `sizes` are the least and the most tasks of a cluster."""

    seeds: int = 5
    clusters: int = 120
    sizes: tuple[int, int] = (1, 1)
    level: float = 0.0
    task: float = 1.5
    cluster: float = 1.0
    seed: float = 0.3
    shared: float = 0.5
    seed_cluster: float = 0.5

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the scores of both arms (seeds × tasks), and each task's cluster."""
        sizes = random.integers(self.sizes[0], self.sizes[1] + 1, self.clusters)
        of = np.repeat(np.arange(self.clusters), sizes)
        hard = (
            self.level + self.cluster * random.normal(size=self.clusters)[of] + self.task * random.normal(size=len(of))
        )
        common = random.normal(size=self.seeds)
        arms = []
        for _ in range(2):
            own = random.normal(size=self.seeds)
            drawn = self.seed * (np.sqrt(self.shared) * common + np.sqrt(1 - self.shared) * own)
            together = self.seed_cluster * random.normal(size=(self.seeds, self.clusters))[:, of]
            odds = hard + drawn[:, None] + together + 0.5 * random.normal(size=(self.seeds, len(of)))
            arms.append((random.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(float))
        return arms[0], arms[1], of

    def truth(self) -> float:
        """The mean score over all seeds and tasks that could be drawn."""
        spread = np.sqrt(self.cluster**2 + self.task**2 + self.seed**2 + self.seed_cluster**2 + 0.25)
        places, weights = np.polynomial.hermite_e.hermegauss(80)
        return float(weights @ (1 / (1 + np.exp(-(self.level + spread * places)))) / weights.sum())


WORLDS = {
    "5 seeds, 120 tasks": World(),
    "5 seeds, 164 tasks, seeds matter little": World(clusters=164, seed=0.05, seed_cluster=0.1),
    "5 seeds, 60 clusters of 1 to 9 tasks": World(clusters=60, sizes=(1, 9)),
    "5 seeds, 60 clusters, seeds matter much": World(clusters=60, sizes=(1, 9), seed=0.8, shared=0.2),
    "5 seeds, 120 tasks, most fail": World(level=-3.0),
    "3 seeds, 120 tasks": World(seeds=3),
    "10 seeds, 40 clusters of 5 tasks": World(seeds=10, clusters=40, sizes=(5, 5)),
    "1 seed, 120 tasks, seeds do not matter": World(seeds=1, seed=0.0, seed_cluster=0.0),
}


def bootstrap(values: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """The naive interval: tasks are resampled, means over seeds and clusters are taken as given."""
    by_task = values.mean(axis=0)
    means = by_task[random.integers(0, len(by_task), (DRAWS, len(by_task)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def measure(world: World, trials: int, *, naive: bool = True) -> dict[str, float]:
    """The shares of trials in which a mean is covered, and in which equal arms are called different."""
    counts = dict.fromkeys(("covered", "false positives", *(("naive", "naive false positives") if naive else ())), 0)
    truth = world.truth()
    for trial in range(trials):
        random = np.random.default_rng([trial, world.clusters])
        first, second, of = world.draw(random)
        mean, difference = estimate(first, of), estimate(second - first, of, least=-1.0)
        counts["covered"] += mean.low <= truth <= mean.high
        counts["false positives"] += difference.p_value < 0.05
        if naive:
            low, high = bootstrap(first, random)
            counts["naive"] += low <= truth <= high
            low, high = bootstrap(second - first, random)
            counts["naive false positives"] += not low <= 0 <= high
    return {name: count / trials for name, count in counts.items()}


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for name, world in WORLDS.items():
        told = ", ".join(f"{one} {share:.1%}" for one, share in measure(world, trials).items())
        print(f"{name}: {told}", flush=True)


if __name__ == "__main__":
    main()
