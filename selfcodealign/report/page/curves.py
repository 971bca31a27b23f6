"""The trainings of a run as the page shows them: curves of few points, and the proof of what is learned from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from selfcodealign.report.facts import Training
from selfcodealign.report.page.bounds import Bounds
from selfcodealign.training.curves import Point, draw_curve

#: Field of a step, its name, what the picture shows, and whether single steps scatter.
_CURVES = (
    ("loss", "loss", "Loss of each step; the line is a moving mean.", True),
    ("margin", "reward margin", "By how much the reward of chosen answers is above that of rejected ones.", True),
    ("accuracy", "accuracy", "Share of pairs whose chosen answer has the higher reward.", True),
    ("reward", "reward", "Share of the sampled answers that passed.", True),
    ("kl", "KL", "Divergence (KL) from the model that the training began with, per token.", True),
    ("learning_rate", "learning rate", "Learning rate.", False),
    ("grad_norm", "gradient norm", "Gradient norm, before clipping.", False),
)
#: Points of a curve; longer trainings are drawn as means of neighbouring steps.
_MOST_POINTS = 300
_ROWS = 6
_PIECES = 40


@dataclass(frozen=True)
class ShownTraining:
    """A training, with its curves (name, picture, words) and the first rows of its proof."""

    training: Training
    curves: Sequence[tuple[str, Markup, str]]
    proof: Sequence[tuple[str, Sequence[tuple[str, bool]]]]


def show_trainings(trainings: Sequence[Training], bounds: Bounds) -> list[ShownTraining]:
    """Lay out the first trainings."""
    return [
        ShownTraining(one, _curves(one), [(name, pieces[:_PIECES]) for name, pieces in one.proof[:_ROWS]])
        for one in trainings[: min(bounds.entries, 6)]
    ]


def _curves(one: Training) -> list[tuple[str, Markup, str]]:
    found: list[tuple[str, Markup, str]] = []
    for field, name, told, scatters in _CURVES:
        points, each = thin_out(one.steps, field)
        if not points:
            continue
        last = max(one.last_step, points[-1][0])
        # The picture escapes its name, and all else in it are numbers.
        drawn = Markup(draw_curve(points, last, name, from_zero=not scatters, smooth=scatters))
        title = name.capitalize() if name.islower() else name
        found.append((title, drawn, told if each == 1 else f"{told} Each dot is the mean of {each} steps."))
    return found


def thin_out(steps: Sequence[Mapping[str, float]], field: str) -> tuple[list[Point], int]:
    """The finite values of a field by step, as means of so many neighbouring steps that few points are left."""
    found = [
        (int(one["step"]), one[field])
        for one in steps
        if field in one and math.isfinite(one.get("step", math.nan)) and math.isfinite(one[field])
    ]
    each = math.ceil(len(found) / _MOST_POINTS) or 1
    groups = [found[place : place + each] for place in range(0, len(found), each)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups], each
