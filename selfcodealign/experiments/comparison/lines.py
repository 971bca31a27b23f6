"""What an experiment gave, as its table takes it: arms and base models, with their scores by seed and task."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfcodealign.errors import ExperimentError


@dataclass(frozen=True, kw_only=True)
class Line:
    """One arm of an experiment, or a base model, of which nothing was varied."""

    name: str
    #: Key → value of what was varied; empty for a base model.
    varied: Mapping[str, Any] = field(default_factory=dict)
    #: Rows that were tuned on, and those of the arm's data set before sizes were matched.
    rows: int = 0
    of: int = 0
    #: Tokens that the model generated for these rows, prompts not counted; None where it is not known.
    tokens: int | None = None
    #: Further columns by heading.
    facts: Mapping[str, str] = field(default_factory=dict)
    #: Benchmark → for each tuning seed: task → score in 0..1; one entry for a base model. NaN: no score.
    scores: Mapping[str, Sequence[Mapping[str, float]]]

    @property
    def is_base(self) -> bool:
        """True for a model that was not tuned."""
        return not self.varied


@dataclass(frozen=True, kw_only=True)
class ExperimentTable:
    """The lines of an experiment in their order; `groups` names the group of tasks that a task is alike to."""

    title: str
    lines: Sequence[Line]
    notes: Sequence[str] = ()
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def arms(self) -> list[Line]:
        """The lines that were tuned."""
        return [line for line in self.lines if not line.is_base]

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks of all lines, in the order in which they come."""
        return list(dict.fromkeys(name for line in self.lines for name in line.scores))

    @property
    def keys(self) -> list[str]:
        """What was varied: the keys whose value differs between arms."""
        keys = dict.fromkeys(key for arm in self.arms for key in arm.varied)
        return [key for key in keys if len({repr(arm.varied.get(key)) for arm in self.arms}) > 1]


def check_lines(lines: Sequence[Line]) -> None:
    """Raise `ExperimentError` for lines that no table can be made of."""
    if not lines:
        raise ExperimentError("an experiment without an arm has no table; give at least one arm")
    twice = [name for name, count in Counter(line.name for line in lines).items() if count > 1]
    if twice:
        raise ExperimentError(f'two lines have the name "{twice[0]}"; give each arm and base model its own')
    scored = False
    for line in lines:
        for benchmark, seeds in line.scores.items():
            if line.is_base and len(seeds) > 1:
                raise ExperimentError(
                    f'"{line.name}" has {len(seeds)} sets of scores on {benchmark} and nothing that was varied: a base '
                    "model has one set, an arm names what was varied"
                )
            for task, score in ((task, score) for scores in seeds for task, score in scores.items()):
                if not math.isnan(score) and not 0 <= score <= 1:
                    raise ExperimentError(
                        f'the score of "{line.name}" for task {task} of {benchmark} is {score:g}; scores lie in 0..1'
                    )
                scored = scored or not math.isnan(score)
    if not scored:
        raise ExperimentError("no line has a score; evaluate the models on at least one benchmark")
