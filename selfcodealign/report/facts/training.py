"""The trainings of a run, as their folders tell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

from selfcodealign.errors import TrainingError, UserError
from selfcodealign.files import read_json
from selfcodealign.report.facts.types import Training
from selfcodealign.training.events import TrainResult
from selfcodealign.training.figures import tell_figures
from selfcodealign.training.output import REPORT

#: The folders of trainings, by stage.
TRAINED = {"train": "tuned", "dpo": "dpo", "grpo": "grpo"}
#: Steps that a report draws; of longer trainings as many, spread evenly.
MOST_STEPS = 1000
#: What a damaged file may raise when its values are read.
UNREADABLE = (UserError, KeyError, TypeError, ValueError, AttributeError, IndexError)


def read_trainings(run: Path, warnings: list[str]) -> list[Training]:
    """The finished trainings of a run; one whose report cannot be read is named in `warnings`."""
    found = []
    for stage, folder in TRAINED.items():
        path = run / folder / REPORT
        if path.is_file():
            try:
                found.append(_read(stage, path))
            except UNREADABLE as error:
                warnings.append(f"the training in {path.parent} cannot be told: {tell_damage(error, path)}")
    return found


def _read(stage: str, path: Path) -> Training:
    told: dict[str, Any] = read_json(path, error=TrainingError, fix="train again")
    result = TrainResult(**told["result"] | {"out": path.parent, "report": path.with_suffix(".html")})
    figures = {str(name): str(value) for name, value in tell_figures(result, told).items()}
    # JSON has no NaN: what was not finite is null.
    steps = [
        {name: nan if value is None else float(value) for name, value in step.items()} for step in _thin(told["steps"])
    ]
    proof = [(str(row["name"]), [(str(one[0]), bool(one[1])) for one in row["pieces"]]) for row in told["proof"]]
    return Training(stage, figures, steps, int(result.steps), proof)


def _thin(steps: Sequence[Mapping[str, float]]) -> Sequence[Mapping[str, float]]:
    """At most `MOST_STEPS` steps, the last one among them."""
    stride = -(-len(steps) // MOST_STEPS) or 1
    return steps[::-1][::stride][::-1]


def tell_damage(error: Exception, path: Path) -> str:
    """What is wrong with a file, in one line."""
    if isinstance(error, UserError):
        return str(error).splitlines()[0]
    return f"{path} does not hold what this version writes ({type(error).__name__}: {str(error)[:80]})"
