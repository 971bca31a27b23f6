"""Runs to report on: made by the pipeline with a scripted model, judged without processes, with other files added."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from selfcodealign import run_recipe
from selfcodealign.evaluation.pass_at_k import Interval
from selfcodealign.evaluation.run import write_evaluation
from selfcodealign.evaluation.scoring import Evaluation, Score
from selfcodealign.settings import Recipe
from selfcodealign.training.events import Proof, TrainResult
from selfcodealign.training.masking import Piece
from selfcodealign.training.report import write_report
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources


def make_run(
    folder: Path, *settings: str, seeds: int = 10, added: Sequence[str] = (), without: Sequence[str] = ()
) -> Path:
    """Run the small recipe into `folder`/run."""
    recipe = small_recipe(write_sources(folder / "source", seeds), *settings, added=added, without=without)
    return run_quickly(recipe, folder / "run")


def run_quickly(recipe: Recipe, run: Path) -> Path:
    """Run a recipe with the scripted model, and with verdicts read off the answers' text."""
    with pytest.MonkeyPatch.context() as patch:
        judge_by_text(patch)
        asyncio.run(run_recipe(recipe, run, model=scripted_model(name="base")))
    return run


def add_training(run: Path, folder: str = "tuned", *, steps: int = 3) -> Path:
    """Add the report of a supervised training."""
    out = run / folder
    out.mkdir()
    losses = [1.0 / step for step in range(1, steps + 1)]
    result = TrainResult(out, steps, 5, {}, 90, 30, 1.0, losses[-1], 2.0, 45.0, 15.0, out / "train_report.html", losses)
    told = [
        {"step": float(step), "loss": loss, "learning_rate": 0.1, "grad_norm": float("nan"), "tokens_per_second": 45.0}
        for step, loss in enumerate(losses, 1)
    ]
    proof = Proof([7], [[Piece("asked", False, 2), Piece("answered", True, 3)]])
    split = {"micro_batch": 2, "accumulation": 1, "processes": 1}
    about = {"model": "base", "dataset": str(run), "settings": {"batch": 2}, "split": split}
    write_report(out, result, told, proof, about)
    return out


def add_evaluation(run: Path) -> Path:
    """Add the scores of a base and a tuned model."""
    out = run / "evaluation"
    out.mkdir()

    def score(label: str, mean: float) -> Score:
        version = {"version": "v1", "md5": "0", "values": {"a": mean}}
        counts = {"k": 1, "tasks": 1, "samples": 1, "not_judged": 0, "asked": "tiny", "answers": 4, "no_code": 1}
        return Score(
            label=label,
            benchmark="tiny",
            mode="chat",
            interval=Interval(mean, mean - 0.1, mean + 0.1),
            **version,
            **counts,
        )

    scores = [score("base", 0.2), score("tuned", 0.7)]
    write_evaluation(out, Evaluation(scores=scores, comparisons=[], notes=["a note"]))
    return out
