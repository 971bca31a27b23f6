"""Which stages the arms of an experiment share, and how a run begins with the finished stages of another.

Two arms whose rows are decided alike are one run. A run that has stages in common with an earlier one begins with them:
their Parquet files, which never change, are linked into its folder. Stages before the first difference stay finished.
Where the difference is another choice among the same rows, later stages that are decided alike are brought up to date,
so that nothing is asked twice about the same row.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from selfcodealign.errors import RunFolderError
from selfcodealign.experiments.ablation.arms import Arm
from selfcodealign.models.named import MODEL, MODEL_SETTINGS, MODELS
from selfcodealign.pipeline import make_journey
from selfcodealign.rows import digest
from selfcodealign.run_folder.folder import FORM, RunFolder, write_json
from selfcodealign.settings import Recipe
from selfcodealign.stages import Last, Source
from selfcodealign.stages.context import Context

#: The facts of run.json that belong to rows and not to a run.
_OF_ROWS = (MODEL, MODELS, MODEL_SETTINGS, "decontamination")
#: The name in run.json of the run whose stages a run began with.
BEGAN_WITH = "began_with"


@dataclass(frozen=True)
class Shape:
    """A stage of a run: what decides its rows besides the rows that come in.

    A stage that `passes_on` takes rows from outside or from the stage before, and leaves their ids what they are.
    """

    name: str
    decided: str
    parent: str
    passes_on: bool


@dataclass
class DataRun:
    """One run that makes rows, for all arms whose rows are decided alike."""

    path: Path
    recipe: Recipe
    shapes: tuple[Shape, ...]
    arms: list[Arm] = field(default_factory=list)

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.path)


def plan_runs(arms: Sequence[Arm], home: Path) -> list[DataRun]:
    """The runs that the arms need, in the order of the arms. Raises `UserError` for a recipe that does not work."""
    runs: dict[tuple[Shape, ...], DataRun] = {}
    for arm in arms:
        shapes = _shape(arm.recipe, home / arm.folder)
        if shapes not in runs:
            runs[shapes] = DataRun(home / arm.folder, arm.recipe, shapes)
        runs[shapes].arms.append(arm)
    return list(runs.values())


def _shape(recipe: Recipe, path: Path) -> tuple[Shape, ...]:
    journey = make_journey(recipe)
    context = Context(recipe, journey.places, RunFolder(path))
    found = []
    for step in journey.steps:
        if not isinstance(step.stage, Last):
            decided = json.dumps(step.stage.decided_by(context), sort_keys=True)
            passes_on = isinstance(step.stage, Source) or step.stage.gives is step.stage.takes
            found.append(Shape(step.name, digest(decided), step.parent, passes_on))
    return tuple(found)


def list_shared(run: DataRun, others: Sequence[DataRun]) -> list[str]:
    """The names of the stages that `run` can begin with, of the one of `others` that has most of them."""
    donor, found = _find_donor(run, others), list[str]()
    if donor is None:
        return found
    for shape in run.shapes:
        if shape in donor.shapes:
            found.append(shape.name)
        elif not shape.passes_on:
            break  # its rows have other ids, and so has all that is made of them
    return found


def _find_donor(run: DataRun, others: Sequence[DataRun]) -> DataRun | None:
    """The first of those that share most: a later one may itself have begun with it."""
    return max(others, key=lambda one: (_count_shared(run, one), len({*run.shapes} & {*one.shapes})), default=None)


def begin_with_others(run: DataRun, others: Sequence[DataRun]) -> list[str]:
    """Link the stages that `run` shares with the one of `others` that has most of them, if `run` has not begun.

    Return the names of the linked stages.
    """
    donor = _find_donor(run, others)
    names = list_shared(run, others)
    if donor is None or not names or (run.path / "run.json").exists():
        return []
    settled = [shape.name for shape in run.shapes[: _count_shared(run, donor)]]
    fresh = run.path.with_name(f".{run.path.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        for name in names:
            _link(donor.path / name, fresh / name)
            if name not in settled:
                RunFolder(fresh).look_at(name).note_earlier(True)  # type: ignore[union-attr]
        facts = {name: value for name, value in donor.folder.facts().items() if name in _OF_ROWS}
        told = {"run": donor.path.name, "stages": names}
        write_json(fresh / "run.json", {"form": FORM, "journey": names, BEGAN_WITH: told, **facts})
        os.rename(fresh, run.path)
    except OSError as error:
        raise RunFolderError(f"cannot link stages of {donor.path} into {run.path}: {error.strerror}") from error
    return names


def _count_shared(run: DataRun, other: DataRun) -> int:
    """How many stages both have in common before the first one that differs."""
    pairs = zip(run.shapes, other.shapes, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _link(source: Path, target: Path) -> None:
    target.mkdir()
    for file in sorted(source.iterdir()):
        if file.name.startswith("."):
            continue
        if file.suffix == ".parquet":
            _link_file(file, target / file.name)
        else:
            shutil.copy(file, target / file.name)


def _link_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy(source, target)


def first_of(folder: RunFolder, name: str) -> RunFolder:
    """The run that asked for the rows of a stage: `folder`, or the one it began with, of the same experiment."""
    told: dict[str, Any] = folder.facts().get(BEGAN_WITH, {})
    while name in told.get("stages", ()):
        folder = RunFolder(folder.path.with_name(told["run"]))
        told = folder.facts().get(BEGAN_WITH, {})
    return folder
