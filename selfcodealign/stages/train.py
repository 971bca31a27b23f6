"""Data set → tuned model: the recipe's model, fine-tuned on the examples of this run, in RUN/tuned."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from selfcodealign.progress import Progress
from selfcodealign.rows import digest
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.settings import Recipe


def tune_model(folder: RunFolder, recipe: Recipe, examples: Iterable[str], progress: Progress) -> Path:
    """Fine-tune on RUN/dataset and return the tuned model's folder; `examples` are the ids of its rows.

    A model that was tuned on the same rows with the same settings is kept; one tuned on other rows or with other
    settings moves to superseded/. Raises `TrainingError`, `ModelError`, `MissingExtra`.
    """
    from selfcodealign.training import train
    from selfcodealign.training.display import TrainDisplay

    settings = recipe.train
    base = settings.model or recipe.model.name
    tuned = folder.path / "tuned"
    made_of = digest(base, folder.facts().get("model", {}).get("revision"), settings.result_digest(), *examples)
    if tuned.exists() and folder.facts().get("tuned") != made_of:
        where = folder.keep_old(tuned)
        progress.say(
            f"train: the rows or the settings have changed, so it starts anew; the earlier model is in {where}"
        )
    folder.record({"tuned": made_of})
    train(folder.path, base, tuned, settings, TrainDisplay(progress))
    return tuned
