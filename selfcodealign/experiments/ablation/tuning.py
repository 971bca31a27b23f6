"""Tune models and score them, each once: what is finished is taken from disk.

    FOLDER/tuned/ARM-seed-N-KEY/     a training's own folder (checkpoints, model, train_report.html)
    FOLDER/scores/MODEL/             answers and verdicts as `evaluate` writes them, and scored.json

KEY is the digest of everything that decides the model, so that arms which are tuned alike share it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfcodealign.errors import RunFolderError
from selfcodealign.evaluation import Candidate, evaluate
from selfcodealign.experiments.ablation.matching import PAIRS
from selfcodealign.files import make_folder, read_json, write_json
from selfcodealign.progress import Progress
from selfcodealign.rows import digest
from selfcodealign.settings import (
    DpoSettings,
    EvaluateSettings,
    ExecutionSettings,
    GrpoSettings,
    Recipe,
    TrainSettings,
)
from selfcodealign.stages.train import train_stoppable

if TYPE_CHECKING:
    from selfcodealign.training import OnProgress, TrainResult

#: Files that hold weights.
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt")
SCORED = "scored.json"

#: Benchmark → task → score in 0..1.
Scores = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Tuning:
    """A model to train: from which one, on which folder of rows, how (SFT, DPO or GRPO, by the settings).

    `label` names it in folders. `begins_with` is the key of the tuning that made `base`; "": no tuning did.
    """

    label: str
    base: str
    dataset: Path
    settings: TrainSettings | DpoSettings | GrpoSettings
    execution: ExecutionSettings
    begins_with: str = ""

    @property
    def key(self) -> str:
        """Digest of what decides the model; the name of the data set's folder is that of its rows."""
        settings = {self.settings.section: self.settings.deciding()}
        if isinstance(self.settings, GrpoSettings):
            settings["execution"] = self.execution.deciding()
        base = self.begins_with or self.base
        return digest(base, self.dataset.name, json.dumps(settings, sort_keys=True))

    def place(self, home: Path) -> Path:
        """The model's folder in `home`: that of the same tuning, under whatever label, if there is one."""
        known = sorted(home.glob(f"*-{self.key}"))
        return known[0] if known else home / f"{self.label}-{self.key}"


async def tune(tuning: Tuning, home: Path, progress: Progress, *, show_loss: bool) -> Path:
    """Train a model, or resume; return its folder. With `show_loss`, rows are shown with the tokens that carry loss.

    Raises `TrainingError`, `ModelError`, `MissingExtra`.
    """
    from selfcodealign.training.display import TrainDisplay
    from selfcodealign.training.events import Event, Note, Proof
    from selfcodealign.training.output import find_result

    out = tuning.place(home)
    done = find_result(out) is not None
    lost = done and not has_weights(out)
    if lost or not done:
        make_folder(home, error=RunFolderError)
        display = TrainDisplay(progress)

        def tell(event: Event) -> None:
            if show_loss or not isinstance(event, Proof | Note):
                display(event)

        await train_stoppable(lambda: _train(tuning, out, tell, fresh=lost), out)
    return out


def _train(tuning: Tuning, out: Path, tell: OnProgress, *, fresh: bool) -> TrainResult:
    from selfcodealign.training import train, train_dpo, train_grpo

    data, base, settings = tuning.dataset, tuning.base, tuning.settings
    if isinstance(settings, DpoSettings):
        return train_dpo(data / PAIRS, base, out, settings, tell, fresh=fresh)
    if isinstance(settings, GrpoSettings):
        return train_grpo(data, base, out, settings, tuning.execution, tell, fresh=fresh)
    return train(data, base, out, settings, tell, fresh=fresh)


def has_weights(folder: Path) -> bool:
    """Whether the weights of a tuned model are there."""
    return any(file for pattern in _WEIGHTS for file in folder.glob(pattern))


def discard_weights(folder: Path) -> None:
    """Remove the weights of a tuned model; its report and its chat template stay."""
    for pattern in _WEIGHTS:
        for file in folder.glob(pattern):
            file.unlink()


async def score(
    candidate: Candidate, decided_by: Mapping[str, Any], home: Path, recipe: Recipe, progress: Progress
) -> Scores:
    """Ask a model the recipe's benchmarks, or take the scores from disk if the same things decided them."""
    settings: EvaluateSettings = recipe.evaluate
    if (known := _read(candidate, decided_by, home, recipe)) is not None:
        return known
    out = home / candidate.folder
    found = await evaluate([candidate], settings.benchmarks, out, settings, recipe.execution, progress=progress)
    values = {one.benchmark: one.values for one in found.scores if one.k == min(settings.k)}
    told = {"decided_by": _deciding(candidate, decided_by, recipe), "scores": values, "notes": found.notes}
    write_json(out / SCORED, told, error=RunFolderError)
    return values


def is_scored(candidate: Candidate, decided_by: Mapping[str, Any], home: Path, recipe: Recipe) -> bool:
    """Whether the scores of a model are on disk."""
    return _read(candidate, decided_by, home, recipe) is not None


def _read(candidate: Candidate, decided_by: Mapping[str, Any], home: Path, recipe: Recipe) -> Scores | None:
    file = home / candidate.folder / SCORED
    if not file.is_file():
        return None
    known = read_json(file, error=RunFolderError, fix="remove it to score the model again")
    same = known["decided_by"] == json.loads(json.dumps(_deciding(candidate, decided_by, recipe)))
    return known["scores"] if same else None


def _deciding(candidate: Candidate, decided_by: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    sections = {"evaluate": recipe.evaluate.deciding(), "execution": recipe.execution.deciding()}
    settings = {f"{name}.{key}": value for name, values in sections.items() for key, value in values.items()}
    return {**decided_by, **settings, "mode": candidate.mode}
