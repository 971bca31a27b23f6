"""The arms of an experiment: whole recipes, each with the model that is tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from selfcodealign.errors import ExperimentError, RecipeError, did_you_mean
from selfcodealign.experiments.ablation.vary import (
    NONE,
    RECIPE,
    WITH,
    WITHOUT,
    Axis,
    as_setting,
    cross,
    name_arm,
    name_folder,
)
from selfcodealign.models.revisions import digest_folder, find_source
from selfcodealign.pipeline import CATALOGUE
from selfcodealign.settings import Recipe
from selfcodealign.stages.editing import load_edited, refuse_unread

#: What every arm has to have: rows, a tuned model, its scores.
NEEDED = ("dataset", "train", "evaluate")
#: Keys that are no settings.
NO_SETTINGS = (RECIPE, WITH, WITHOUT)
#: What `--seeds` sets.
SEED = "train.seed"
#: The keys of a matrix.
GENERATOR, STUDENT = "generator", "student"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One line of the table: what was varied, the recipe that comes of it, and what else the table tells of it."""

    name: str
    varied: Mapping[str, Any]
    recipe: Recipe
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def student(self) -> str:
        """The model that is tuned."""
        return self.recipe.train.model or self.recipe.model.name

    @property
    def folder(self) -> str:
        """Its name as a folder's."""
        return name_folder(self.name)


@dataclass(frozen=True, kw_only=True)
class Edits:
    """What a person changed of a recipe, for all arms alike."""

    recipe: str
    settings: Sequence[str] = ()
    added: Sequence[str] = ()
    removed: Sequence[str] = ()

    def load(self, settings: Sequence[str] = (), added: Sequence[str] = (), removed: Sequence[str] = ()) -> Recipe:
        """The recipe with these edits and further ones. A journey that does not train or evaluate does here."""
        once = [*self.added, *added], [*self.removed, *removed]
        loaded = load_edited(self.recipe, [*self.settings, *settings], *once, CATALOGUE)
        missing = [name for name in NEEDED if name not in loaded.journey]
        if not missing:
            return loaded
        return load_edited(self.recipe, [*self.settings, *settings], [*once[0], *missing], once[1], CATALOGUE)


def make_arms(edits: Edits, axes: Sequence[Axis]) -> list[Arm]:
    """The arms of an ablation. Raises `RecipeError` for a setting that is unknown, `ExperimentError`."""
    if not axes:
        raise ExperimentError(
            "nothing is varied: give --vary KEY=[VALUE, VALUE], as in selection.answers=[passed,random]"
        )
    _refuse_idle(edits, axes)
    arms = [Arm(name=name_arm(varied), varied=varied, recipe=_edit(edits, varied)) for varied in cross(axes)]
    # A setting may be one of a stage that some arms alone have.
    stages = {stage for arm in arms for stage in arm.recipe.journey}
    refuse_unread(edits.settings, stages, CATALOGUE)
    try:
        refuse_unread([as_setting(axis.key, axis.values[0]) for axis in axes], stages, CATALOGUE)
    except RecipeError as error:
        raise _named(error) from None
    return arms


def _refuse_idle(edits: Edits, axes: Sequence[Axis]) -> None:
    """Raise `ExperimentError` for what would change nothing, or be changed again."""
    if left := [name for name in NEEDED if name in edits.removed]:
        raise ExperimentError(f"--without {left[0]}: an experiment tunes and scores every arm; leave this option out")
    for axis in axes:
        if axis.key == SEED:
            raise ExperimentError(f"--vary {SEED}: each arm is tuned with the seeds 0 and up; give --seeds N")
        if axis.key in {setting.partition("=")[0].strip() for setting in edits.settings}:
            raise ExperimentError(f"{axis.key} is given by --set and by --vary: give it once")


def _edit(edits: Edits, varied: Mapping[str, Any]) -> Recipe:
    settings = [as_setting(key, value) for key, value in varied.items() if key not in NO_SETTINGS]
    for key in varied:
        if key not in (*NO_SETTINGS, "random_seed") and "." not in key:
            known = [*NO_SETTINGS, *(f"{section}." for section in Recipe.model_fields)]
            raise ExperimentError(
                f"--vary {key}: a key is section.setting, recipe, with or without{did_you_mean(key, known)}"
            )
    chosen = replace(edits, recipe=str(varied.get(RECIPE, edits.recipe)))
    try:
        return chosen.load(settings, _stages(varied.get(WITH)), _stages(varied.get(WITHOUT)))
    except RecipeError as error:
        raise _named(error) from None


def _named(error: RecipeError) -> RecipeError:
    """The error of a setting that was varied."""
    return RecipeError(str(error).replace("--set", "--vary", 1))


def _stages(value: Any) -> list[str]:
    """The stages that a value of `with` or `without` names: one, several, or none."""
    names = value if isinstance(value, list) else [value]
    return [str(name) for name in names if name not in (None, "", NONE)]


def make_matrix(
    edits: Edits, generators: Sequence[str], students: Sequence[str], *, foreign_rate: float, above: bool
) -> list[Arm]:
    """The arms of a matrix: each generator writes data once, each student is tuned on the data of each generator.

    A student that learns from another model's data is tuned with `foreign_rate` times the learning rate (published: 2).
    Models stand in order of strength; with `above`, a student learns from itself and from those behind it alone.
    A generator may be NAME@URL, a model behind a server. Raises `ExperimentError`.
    """
    for what, names in (("generators", generators), ("students", students)):
        if not names:
            raise ExperimentError(f"a matrix needs --{what}: names of models, separated by commas")
        called = [name.partition("@http")[0] for name in names]
        if what == "students" and called != list(names):
            raise ExperimentError("--students name models behind a server: a student is tuned here, name its weights")
        twice = next((name for name in called if called.count(name) > 1), None)
        if twice is not None:
            raise ExperimentError(f"--{what} names {twice} twice: name each model once")
    order = list(dict.fromkeys([*generators, *students]))
    arms = []
    for student in students:
        for generator in generators:
            if above and order.index(generator) < order.index(student):
                continue
            arms.append(_pair(edits, generator, student, foreign_rate))
    if not arms:
        raise ExperimentError("no student has a generator at its place or behind it: leave --above out")
    return arms


def _pair(edits: Edits, generator: str, student: str, foreign_rate: float) -> Arm:
    name, _, url = generator.partition("@http")
    settings = [as_setting("model.name", name), as_setting("train.model", student)]
    if url:
        settings.append(as_setting("model.urls", [f"http{url}"]))
    recipe = edits.load(settings)
    own = name == student or (not url and _same_weights(name, student))
    if not own and foreign_rate != 1:
        rate = recipe.train.learning_rate * foreign_rate
        recipe = edits.load([*settings, as_setting("train.learning_rate", rate)])
    varied = {STUDENT: student, GENERATOR: generator}
    facts = {"learning rate": f"{recipe.train.learning_rate:g}"}
    called = "itself" if name == student else name
    return Arm(name=f"{student} by {called}", varied=varied, recipe=recipe, facts=facts)


def _same_weights(one: str, other: str) -> bool:
    """Whether two names are folders on this machine with the same weights."""
    folders = [find_source(name, None).folder for name in (one, other)]
    known = [digest_folder(folder) for folder in folders if folder is not None]
    return len(known) == 2 and known[0] == known[1]
