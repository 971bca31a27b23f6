"""How often a larger run lies within the intervals of a pilot: python -m bench.plan

Simulated rows: every seed has its own chance to pass (a beta distribution), its own lengths, up to two instructions and
tasks that are copies of others by a power law. A pilot of 50 seeds looks ahead to a run of other seeds.
"""

from __future__ import annotations

import sys

import numpy as np

from selfcodealign.experiments.forecast.outlook import look_ahead
from selfcodealign.experiments.forecast.pilot import Pilot
from selfcodealign.settings import PriceSettings


def simulate(
    seeds: int, random: np.random.Generator, *, passing: tuple[float, float], tasks: int = 2, copies: float = 0.0
) -> Pilot:
    """A run of so many seeds; `copies` is the share of tasks that are drawn from a few common ones."""
    chance = random.beta(*passing, size=seeds)
    written = random.integers(0, tasks + 1, size=seeds)
    length = random.lognormal(5.0, 0.7, size=seeds)
    drawn = random.negative_binomial(np.maximum(1, written), np.clip(chance, 0.05, 1.0)) + written
    drawn = np.minimum(drawn, 10 * written)
    verified = random.binomial(written, 1 - (1 - chance) ** 10)
    kept, compared, copied, seen = np.zeros(seeds), 0, 0, set()
    for seed, number in enumerate(verified):
        for _ in range(number):
            compared += 1
            common = int(random.zipf(1.3)) if random.random() < copies else -compared
            copied += common in seen
            kept[seed] += common not in seen
            seen.add(common)
    ones = np.ones(seeds)
    return Pilot(
        seeds=[str(one) for one in range(seeds)],
        available=100_000,
        examples=kept.tolist(),
        prompt=(1500 * (1 + written + drawn)).tolist(),
        answers=(length * (0.2 + drawn)).tolist(),
        programs=(random.lognormal(-2, 1, size=seeds) * drawn).tolist(),
        disk=(4 * length * drawn + ones).tolist(),
        cached_share=0.8,
        asking_seconds=float(seeds),
        compared=compared,
        copies=copied,
        yields=[],
    )


#: Name → what the rows are like.
CASES: dict[str, dict[str, object]] = {
    "half pass": {"passing": (2.0, 2.0)},
    "most seeds never pass": {"passing": (0.1, 2.0)},
    "one task per seed, few pass": {"passing": (0.5, 20.0), "tasks": 1},
    "a fifth of the tasks are common ones": {"passing": (2.0, 2.0), "copies": 0.2},
}
MEASURES = ("examples", "prompt", "answers", "programs")


def coverage(case: dict[str, object], seeds: int, trials: int, *, pilot: int = 50) -> dict[str, float]:
    """The share of trials in which the larger run lies within the interval of its pilot, by measure."""
    hits = dict.fromkeys(MEASURES, 0)
    for trial in range(trials):
        random = np.random.default_rng([trial, seeds])
        found = look_ahead(simulate(pilot, random, **case), PriceSettings(), seeds=seeds)  # type: ignore[arg-type]
        larger = simulate(seeds, random, **case)  # type: ignore[arg-type]
        told = {
            "examples": found.examples,
            "prompt": found.prompt_tokens,
            "answers": found.answer_tokens,
            "programs": found.execution_hours,
        }
        for name, interval in told.items():
            came = sum(getattr(larger, name)) / (3600 if name == "programs" else 1)
            hits[name] += interval.low <= came <= interval.high
    return {name: hit / trials for name, hit in hits.items()}


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    for name, case in CASES.items():
        for seeds in (200, 1000):
            told = ", ".join(f"{one} {share:.0%}" for one, share in coverage(case, seeds, trials).items())
            print(f"{name}, {seeds} seeds: {told}", flush=True)


if __name__ == "__main__":
    main()
