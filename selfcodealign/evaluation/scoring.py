"""Scores judged answers: pass@k per task, means with intervals, models compared task by task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from selfcodealign.benchmarks import Benchmark
from selfcodealign.benchmarks.problem_files import ProblemFile
from selfcodealign.errors import BenchmarkError
from selfcodealign.evaluation.pass_at_k import Comparison, Interval, compare, estimate_interval, pass_at_k
from selfcodealign.evaluation.results import Judged

#: Reasons that a note under the table gives in full.
_REASONS_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Score:
    """One cell of the table. `interval` is pass@k in 0..1 with its 95 % interval; `values` is one number per task.

    `not_judged` counts the tasks left out of it. Of the model's `answers` to the benchmark `asked`, `no_code` hold no
    code. `version` names the problems, `md5` their file.
    """

    label: str
    benchmark: str
    mode: str
    k: int
    interval: Interval
    tasks: int
    samples: int
    not_judged: int
    version: str
    md5: str
    values: dict[str, float] = field(repr=False)
    asked: str = ""
    answers: int = 0
    no_code: int = 0

    @property
    def percent(self) -> float:
        """The score in percent."""
        return 100 * self.interval.mean


def score_answers(
    label: str,
    mode: str,
    benchmark: Benchmark[Any],
    file: ProblemFile,
    judged: Sequence[Judged],
    ks: Sequence[int],
    notes: list[str],
) -> list[Score]:
    """Return the scores of one model on one benchmark; add notes for the reader to `notes`.

    Tasks with an answer that could not be judged are left out. Raises `BenchmarkError` when that leaves none.
    """
    tasks = len({problem.task_id for problem, _, _ in judged})
    unjudged = {problem.task_id: outcome for problem, _, outcome in judged if outcome.status == "not_judged"}
    if unjudged:
        reasons = {task: outcome.detail for task, outcome in unjudged.items()}
        notes.append(
            f"{len(unjudged)} of {tasks} tasks of {benchmark.name} could not be judged here for "
            f"{label} and are left out: {_name_tasks(reasons)}."
        )
    no_code = sum(sample.no_code for _, sample, _ in judged)
    if no_code:
        notes.append(f"{no_code} of {len(judged)} answers of {label} to {benchmark.name} hold no code.")
    by_task: dict[str, list[Mapping[str, float]]] = defaultdict(list)
    for problem, _, outcome in judged:
        if problem.task_id not in unjudged:
            by_task[problem.task_id].append(outcome.values)
    scores = []
    for name in benchmark.scores:
        values = {task: [value[name] for value in found if name in value] for task, found in by_task.items()}
        values = {task: found for task, found in values.items() if found}
        for k in ks:
            per_task = _per_task(values, k)
            if per_task:
                score = _make_score(label, mode, file, name, k, values, per_task, len(unjudged))
                scores.append(replace(score, asked=benchmark.name, answers=len(judged), no_code=no_code))
    if not by_task:
        raise BenchmarkError(f"no answer of {label} to {benchmark.name} could be judged: {notes[-1]}")
    return scores


def _name_tasks(reasons: Mapping[str, str]) -> str:
    """Name the tasks behind each reason, the most frequent reason first."""
    tasks: dict[str, list[str]] = defaultdict(list)
    for task, reason in reasons.items():
        tasks[reason].append(task)
    ordered = sorted(tasks.items(), key=lambda one: -len(one[1]))
    shown = [f"{reason} [{', '.join(named)}]" for reason, named in ordered[:_REASONS_SHOWN]]
    more = sum(len(named) for _, named in ordered[_REASONS_SHOWN:])
    return "; ".join(shown) + (f"; and {more} more, each named in results.jsonl" if more else "")


def _per_task(values: Mapping[str, list[float]], k: int) -> dict[str, float]:
    """Return pass@k of every task; for k = 1 a mean, for any values in 0..1; nothing if a task has too few answers."""
    if k == 1:
        return {task: sum(found) / len(found) for task, found in values.items()}
    if any(len(found) < k or not set(found) <= {0.0, 1.0} for found in values.values()):
        return {}
    return {task: pass_at_k(len(found), int(sum(found)), k) for task, found in values.items()}


def _make_score(
    label: str,
    mode: str,
    file: ProblemFile,
    name: str,
    k: int,
    values: Mapping[str, list[float]],
    per_task: dict[str, float],
    not_judged: int,
) -> Score:
    return Score(
        label=label,
        benchmark=name,
        mode=mode,
        k=k,
        interval=estimate_interval(list(per_task.values())),
        tasks=len(per_task),
        samples=max(len(found) for found in values.values()),
        not_judged=not_judged,
        version=file.version,
        md5=file.md5,
        values=per_task,
    )


def compare_all(scores: Sequence[Score]) -> list[Comparison]:
    """Compare every model with every earlier one, on the tasks that both have, at k = 1."""
    found = []
    for number, second in enumerate(scores):
        for first in scores[:number]:
            if (first.benchmark, first.k) != (second.benchmark, 1) or second.k != 1 or first.label == second.label:
                continue
            tasks = [task for task in first.values if task in second.values]
            if tasks:
                values = [[score.values[task] for task in tasks] for score in (first, second)]
                found.append(compare(second.benchmark, first.label, values[0], second.label, values[1]))
    return found


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All scores, the paired comparisons of k = 1, and notes for the reader."""

    scores: list[Score]
    comparisons: list[Comparison]
    notes: list[str]
