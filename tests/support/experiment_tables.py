"""Experiments with made-up scores: arms of known odds, clusters of tasks, seeds."""

from __future__ import annotations

import numpy as np

from selfcodealign.experiments.comparison.table import ExperimentTable, Line


def make_scores(odds: float, seeds: int, *, tasks: int = 60, number: int = 0) -> list[dict[str, float]]:
    """Draw the scores of a model whose mean logarithm of odds is `odds`; tasks are equally hard for all models."""
    hard = np.random.default_rng(1).normal(size=tasks)
    random = np.random.default_rng([number, seeds, tasks])
    drawn = random.random((seeds, tasks)) < 1 / (1 + np.exp(-(odds + hard)))
    return [{f"task/{place}": float(score) for place, score in enumerate(row)} for row in drawn]


def make_arm(name: str, odds: float, *, seeds: int = 3, number: int = 0, **varied: object) -> Line:
    """One arm; underscores of the keys of `varied` are points."""
    keys = {key.replace("_", "."): value for key, value in varied.items()}
    return Line(name=name, varied=keys, rows=200, of=250, scores={"tiny-eval": make_scores(odds, seeds, number=number)})


def make_base(name: str = "base (chat)", odds: float = -1.0) -> Line:
    return Line(name=name, scores={"tiny-eval": make_scores(odds, 1, number=99)})


def make_answers() -> ExperimentTable:
    """The paper's table 9 in small, with a base model; passing answers are clearly better than failing ones."""
    odds = {"passed": 1.5, "random": 0.2, "failed": -1.0}
    arms = [
        make_arm(f"selection.answers={answers}", odds[answers], seeds=5, number=place, selection_answers=answers)
        for place, answers in enumerate(odds)
    ]
    return ExperimentTable(
        title="Which answers", lines=[make_base(), *arms], groups={f"task/{n}": f"group {n // 3}" for n in range(60)}
    )


def make_grid() -> ExperimentTable:
    """Students and generators; one pair was not run."""
    names = ("bigcode/starcoder2-3b", "meta-llama/Meta-Llama-3-8B", "mine")
    arms = [
        make_arm(
            f"{student} on {generator}", 0.3 * i + 0.4 * j - 1, number=10 * i + j, student=student, generator=generator
        )
        for i, student in enumerate(names)
        for j, generator in enumerate(names)
        if (i, j) != (1, 0)
    ]
    return ExperimentTable(title="Who writes for whom", lines=arms)


def make_many() -> ExperimentTable:
    """Thirty arms with names of 60 characters and markup in them: two keys, one of them numeric over three decades."""
    arms = [
        make_arm(
            f"<b>curation.rules|{kind}</b>,seeds.limit={rows}".ljust(60, "_"),
            0.3 * np.log10(rows) + 0.1 * place,
            number=rows + place,
            curation_rules=kind,
            seeds_limit=rows,
        )
        for place, kind in enumerate("abcdef")
        for rows in (20, 100, 500, 2000, 20000)
    ]
    return ExperimentTable(title="<script>alert(1)</script> & thirty arms", lines=[make_base(), *arms])
