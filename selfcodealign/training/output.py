"""The output folder of a training: its identity, its checkpoints, and its result.

`training.json` records model, data set and settings; the same command resumes, a command with others is refused, so
that two trainings never mix. `train_report.json` is written last: its presence means that training is complete.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from selfcodealign.errors import TrainingError
from selfcodealign.files import read_json, write_json
from selfcodealign.training.events import TrainResult

IDENTITY = "training.json"
REPORT = "train_report.json"
CHECKPOINTS = "checkpoints"
#: A file of this name asks the training to stop after its step.
STOP = "stop"

#: The file that the Trainer writes last: a checkpoint with it is complete.
_LAST_WRITTEN = "trainer_state.json"
_REMOVE = "remove it, or give another --out"


def open_output(out: Path, identity: dict[str, Any], *, fresh: bool) -> None:
    """Claim `out` for this training. Raises `TrainingError` if it holds another training or other files."""
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out} is a file: give a folder to --out")
    known = out / IDENTITY
    if not known.exists():
        if out.exists() and any(out.iterdir()):
            raise TrainingError(f"{out} holds files that are no training: choose an empty or new folder")
        out.mkdir(parents=True, exist_ok=True)
    elif fresh:
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
        (out / REPORT).unlink(missing_ok=True)
    elif find_result(out) or find_checkpoint(out):
        before = _with_current_names(read_json(known, error=TrainingError, fix=_REMOVE))
        changed = [key for key in identity if before.get(key) != identity[key]]
        if changed:
            was = ", ".join(f"{key} was {before.get(key)!r}, is {identity[key]!r}" for key in changed[:3])
            raise TrainingError(f"{out} holds another training ({was}): choose another --out, or --fresh to start over")
    (out / STOP).unlink(missing_ok=True)
    write_json(known, identity, error=TrainingError)


def _with_current_names(identity: dict[str, Any]) -> dict[str, Any]:
    """Rename what earlier versions wrote: all trainings were supervised, `method` is now `weights`."""
    if "method" not in identity:
        return identity
    known = {"trained by": "train", "base weights": identity["weights"], "weights": identity["method"]}
    return identity | known


def find_result(out: Path) -> TrainResult | None:
    """Return the result of a complete training, else None."""
    if not (out / REPORT).is_file():
        return None
    told: dict[str, Any] = read_json(out / REPORT, error=TrainingError, fix=_REMOVE)["result"]
    told |= {"out": out, "report": out / "train_report.html"}
    return TrainResult(**told)


def find_checkpoint(out: Path) -> Path | None:
    """Return the latest complete checkpoint."""
    folders = [folder for folder in (out / CHECKPOINTS).glob("checkpoint-*") if (folder / _LAST_WRITTEN).is_file()]
    return max(folders, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


def as_json(result: TrainResult) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in dataclasses.asdict(result).items()}
