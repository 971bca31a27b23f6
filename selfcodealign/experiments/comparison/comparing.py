"""Compare the lines of an experiment: a mean for each, a difference for each pair, and how far chance reaches.

Tasks and tuning seeds are both random (`crossed`). Seeds of the same number are paired, because arms share what the
seed draws; a base model has no seed and stands against each of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from selfcodealign.evaluation.pass_at_k import SIGNIFICANT, flip_signs, format_p
from selfcodealign.experiments.comparison.crossed import Estimate, estimate
from selfcodealign.experiments.comparison.lines import Line, check_lines

#: Random sign patterns of the test over tasks alone: of one pair at most, of all pairs of a benchmark together.
PATTERNS, ALL_PATTERNS = 10_000, 400_000


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Two lines on one benchmark; the estimate is of second − first.

    `corrected` is the p-value after Holm's correction for the `family` pairs of the benchmark. `tasks_p` and `seeds_p`
    are sign-flip tests over (groups of) tasks alone and over seeds alone; `seeds_p` is None with one seed.
    """

    first: str
    second: str
    benchmark: str
    estimate: Estimate
    tasks_p: float
    seeds_p: float | None
    corrected: float = 1.0
    family: int = 1

    @property
    def inside_noise(self) -> bool:
        """True when the difference is not significant after the correction."""
        return self.corrected > SIGNIFICANT

    def sentence(self) -> str:
        """Return the comparison as a sentence."""
        found = self.estimate
        points = f"{100 * abs(found.mean):.1f} points"
        figures = f"{_count(found)}, 95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}, "
        figures += format_p(found.p_value)
        if self.family > 1:
            figures += f", as one of {self.family} pairs {format_p(self.corrected)}"
        if found.mean == 0:
            return f"{self.second} and {self.first} score the same on {self.benchmark} ({figures})."
        if self.inside_noise:
            return (
                f"The difference of {points} between {self.second} and {self.first} on {self.benchmark} is inside the "
                f"noise ({figures}): it does not show which of them is better."
            )
        side = "above" if found.mean > 0 else "below"
        return f"{self.second} is {points} {side} {self.first} on {self.benchmark} ({figures})."


@dataclass(frozen=True, kw_only=True)
class Results:
    """Means by line and benchmark, seeds' means by line and benchmark, differences of pairs, notes for the reader."""

    means: Mapping[tuple[str, str], Estimate]
    by_seed: Mapping[tuple[str, str], Mapping[int, float]]
    differences: Sequence[Difference]
    notes: Sequence[str]


@dataclass
class _Scores:
    """The scores of a line on a benchmark: seeds × tasks; `base` holds for any seed."""

    base: bool
    seeds: list[int]
    tasks: list[str]
    values: np.ndarray
    places: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.places = {task: place for place, task in enumerate(self.tasks)}

    def of(self, seeds: Sequence[int], tasks: Sequence[str]) -> np.ndarray:
        rows = [0] * len(seeds) if self.base else [self.seeds.index(seed) for seed in seeds]
        columns = [self.places[task] for task in tasks]
        return self.values[np.ix_(rows, columns)]


def compare_lines(lines: Sequence[Line], groups: Mapping[str, str]) -> Results:
    """Estimate the mean of each line and the difference of each pair in which an arm is, by benchmark.

    `groups` names the group of a task; a task without one stands alone. Raises `ExperimentError` for lines without a
    score, scores outside 0..1, or two lines of one name.
    """
    check_lines(lines)
    notes = _Notes()
    means, by_seed, differences = {}, {}, []
    for benchmark in dict.fromkeys(name for line in lines for name in line.scores):
        found = {line.name: scores for line in lines if (scores := _read(line, benchmark, notes))}
        for name, scores in found.items():
            means[name, benchmark] = estimate(scores.values, _number(scores.tasks, groups))
            by_seed[name, benchmark] = dict(zip(scores.seeds, scores.values.mean(axis=1).tolist(), strict=True))
            if not scores.base and len(scores.seeds) == 1:
                notes.add(f"{benchmark}: with one tuning seed, intervals cover other tasks and no other seeds", name)
        pairs = list(_compare_pairs(benchmark, found, groups, notes))
        pairs.sort(key=lambda pair: found[pair.first].base)  # what the experiment asks comes first
        corrected = correct([pair.estimate.p_value for pair in pairs])
        differences += [
            replace(pair, corrected=p_value, family=len(pairs)) for pair, p_value in zip(pairs, corrected, strict=True)
        ]
    most = max((len(seeds) for seeds in by_seed.values()), default=0)
    limits = (
        [f"Over {most} seeds alone no sign-flip test can give p below {2.0 ** (1 - most):.4g}."] if most > 1 else []
    )
    return Results(means=means, by_seed=by_seed, differences=differences, notes=[*notes.told(), *limits])


def correct(p_values: Sequence[float]) -> list[float]:
    """Return Holm's corrected p-values (1979, Scandinavian J. of Statistics 6, 65-70), in the same order.

    >>> correct([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    found, reached = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = reached
    return found


def _read(line: Line, benchmark: str, notes: _Notes) -> _Scores | None:
    """Take the seeds that have scores, and the tasks that have one with each of these seeds."""
    seeds = {
        seed: {task: score for task, score in scores.items() if not math.isnan(score)}
        for seed, scores in enumerate(line.scores.get(benchmark, ()))
    }
    scored = {seed: scores for seed, scores in seeds.items() if scores}
    if not scored:
        if benchmark in line.scores:
            notes.add(f"{benchmark}: no score", line.name)
        return None
    if len(scored) < len(seeds):
        notes.add(f"{benchmark}: seeds without a score are left out", line.name)
    tasks = [task for task in next(iter(scored.values())) if all(task in scores for scores in scored.values())]
    every = set().union(*line.scores[benchmark])
    if not tasks:
        notes.add(f"{benchmark}: no task has a score with every seed", line.name)
        return None
    if len(tasks) < len(every):
        notes.add(
            f"{benchmark}: {len(every) - len(tasks)} of {len(every)} tasks without a score are left out", line.name
        )
    values = np.array([[scores[task] for task in tasks] for scores in scored.values()], float)
    return _Scores(line.is_base, list(scored), tasks, values)


def _compare_pairs(
    benchmark: str, found: Mapping[str, _Scores], groups: Mapping[str, str], notes: _Notes
) -> Iterator[Difference]:
    names = list(found)
    patterns = min(PATTERNS, ALL_PATTERNS // max(1, len(names) * (len(names) - 1) // 2))
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            one, other = found[first], found[second]
            if one.base and other.base:
                continue
            if other.base:
                first_name, second_name, one, other = second, first, other, one
            else:
                first_name, second_name = first, second
            seeds = other.seeds if one.base else [seed for seed in one.seeds if seed in other.seeds]
            tasks = one.tasks if one.tasks == other.tasks else [task for task in one.tasks if task in other.places]
            pair = f"{first_name} / {second_name}"
            if not seeds or not tasks:
                notes.add(f"{benchmark}: not compared, without a common {'task' if seeds else 'seed'}", pair)
                continue
            if len(tasks) < max(len(one.tasks), len(other.tasks)):
                notes.add(f"{benchmark}: compared on the {len(tasks)} tasks that both have", pair)
            if not one.base and len(seeds) < max(len(one.seeds), len(other.seeds)):
                notes.add(f"{benchmark}: compared with the {len(seeds)} seeds that both have", pair)
            values = other.of(seeds, tasks) - one.of(seeds, tasks)
            of = _number(tasks, groups)
            yield Difference(
                first=first_name,
                second=second_name,
                benchmark=benchmark,
                estimate=estimate(values, of, least=-1.0),
                tasks_p=flip_signs(np.bincount(of, values.mean(axis=0)).tolist(), patterns=patterns)[0],
                seeds_p=flip_signs(values.mean(axis=1).tolist())[0] if len(seeds) > 1 else None,
            )


def _number(tasks: Sequence[str], groups: Mapping[str, str]) -> np.ndarray:
    """Number the clusters of the tasks from 0; a task without a group is a cluster by itself."""
    numbers: dict[tuple[bool, str], int] = {}
    keys = ((task in groups, groups.get(task, task)) for task in tasks)
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def _count(found: Estimate) -> str:
    seeds = "one seed" if found.seeds == 1 else f"{found.seeds} seeds"
    tasks = "one task" if found.tasks == 1 else f"{found.tasks} tasks"
    return f"{seeds}, {tasks}" + (f" in {found.clusters} groups" if found.clusters < found.tasks else "")


class _Notes:
    """Collects the names that a note is about, so that it is told once."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, text: str, name: str) -> None:
        self._names.setdefault(text, []).append(name)

    def told(self) -> list[str]:
        return [f"{text}: {', '.join(names[:4])}{_further(len(names) - 4)}." for text, names in self._names.items()]


def _further(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
