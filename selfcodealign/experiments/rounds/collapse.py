"""When rounds stop: signs that a model learns less from its own texts, each told in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from selfcodealign.evaluation.pass_at_k import compare
from selfcodealign.experiments.rounds.monitors import mean

#: The monitors that must not fall, in words: how many different things a model writes.
DIVERSITY = {
    "distinct_concepts": "the distinct share of concepts",
    "entropy_instructions_1": "the entropy of the words of instructions",
    "entropy_instructions_4": "the entropy of the 4-grams of instructions",
    "entropy_responses_1": "the entropy of the words of responses",
    "entropy_responses_4": "the entropy of the 4-grams of responses",
}
_COPIED = ("instructions", "responses")

#: pass@k of each task, one mapping for each model that a round tuned (by seed).
SeedScores = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Rule:
    """Rounds stop when a monitor of diversity fell by more than the share `fall` against round 1, when the data set has
    fewer than `rows` rows, or when more than the share `copied` of the windows stand in the few-shot file."""

    fall: float = 0.1
    rows: int = 32
    copied: float = 0.3


@dataclass(frozen=True)
class Outcome:
    """What the rule looks at of one round: its monitors (`round_figures.measure`), and its scores on `benchmark`."""

    figures: Mapping[str, float | None]
    benchmark: str = ""
    scores: SeedScores = ()


def find_reasons(rounds: Sequence[Outcome], rule: Rule) -> list[str]:
    """The reasons to stop after the last of these rounds, each in one line; none: it goes on.

    >>> first, second = Outcome({"rows": 90, "distinct_concepts": 0.5}), Outcome({"rows": 9, "distinct_concepts": 0.4})
    >>> for reason in find_reasons([first, second], Rule()):
    ...     print(reason)
    the distinct share of concepts fell from 0.500 in round 1 to 0.400, by 20 %; the limit is 10 %
    the data set has 9 rows; the least is 32
    """
    return [*_worse_scores(rounds), *_less_diversity(rounds, rule), *_small_or_copied(rounds[-1].figures, rule)]


def _worse_scores(rounds: Sequence[Outcome]) -> Iterator[str]:
    """The last round's score is below the best earlier one's, and the paired 95 % interval does not hold zero."""
    *earlier, last = [(number, one.benchmark, task_means(one.scores)) for number, one in enumerate(rounds, 1)]
    earlier = [one for one in earlier if one[2]]
    if not earlier or not last[2]:
        return
    best, benchmark, before = max(earlier, key=lambda one: mean(one[2].values()))
    number, _, now = last
    tasks = [task for task in before if task in now]
    if not tasks:
        return
    found = compare(
        benchmark, f"round {best}", [before[task] for task in tasks], f"round {number}", [now[task] for task in tasks]
    )
    if found.high < 0:
        yield (
            f"{benchmark}: round {number} is {-100 * found.difference:.1f} points below round {best}, the best before "
            f"({found.tasks} tasks, 95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f})"
        )


def task_means(scores: SeedScores) -> dict[str, float]:
    """Of each task that all models were judged on, the mean over the models.

    >>> task_means([{"a": 1.0, "b": 0.0}, {"a": 0.0}])
    {'a': 0.5}
    """
    tasks = [task for task in scores[0] if all(task in one for one in scores)] if scores else []
    return {task: sum(one[task] for one in scores) / len(scores) for task in tasks}


def _less_diversity(rounds: Sequence[Outcome], rule: Rule) -> Iterator[str]:
    for name, words in DIVERSITY.items():
        first, now = rounds[0].figures.get(name), rounds[-1].figures.get(name)
        if first and now is not None and now < first * (1 - rule.fall):
            yield (
                f"{words} fell from {first:.3f} in round 1 to {now:.3f}, by {1 - now / first:.0%}; the limit is "
                f"{rule.fall:.0%}".replace("%", " %")
            )


def _small_or_copied(figures: Mapping[str, float | None], rule: Rule) -> Iterator[str]:
    rows = int(figures.get("rows") or 0)
    if not rows:
        yield "the data set is empty"
    elif rows < rule.rows:
        yield f"the data set has {rows:,} rows; the least is {rule.rows:,}"
    for kind in _COPIED:
        share = figures.get(f"copied_{kind}")
        if share is not None and share > rule.copied:
            yield (
                f"{share:.0%} of the 8-word windows of {kind} stand in the few-shot file; the limit is "
                f"{rule.copied:.0%}".replace("%", " %")
            )
