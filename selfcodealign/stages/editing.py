"""A recipe as a person edits it: settings changed, stages added and left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from selfcodealign.errors import RecipeError
from selfcodealign.recipe import load_recipe
from selfcodealign.settings import Recipe
from selfcodealign.stages import Stage
from selfcodealign.stages.journey import edit_journey, find_stages

#: Settings of a stage that count without it: how much of a seed a prompt shows, and the benchmarks' files that rows are
#: compared with.
_READ_BY_OTHERS = ("concepts.", "evaluate.problems")
#: Other stages that read a section, which counts where they are: what rows are compared with, how answers are drawn.
_READERS = {"decontamination": "selection", "responses": "evolve_verified"}


def load_edited(
    name: str, settings: Sequence[str], added: Sequence[str], removed: Sequence[str], catalogue: Mapping[str, Stage]
) -> Recipe:
    """Load a recipe, with its settings and its journey edited. Raises `RecipeError`."""
    loaded = load_recipe(name, settings)
    if added or removed:
        journey = edit_journey(loaded.journey, added, removed, catalogue)
        left = {stage.name for stage in find_stages(journey, catalogue)}
        own = {stage: section for stage, section in loaded.own.items() if stage in left or not removed}
        loaded = loaded.model_copy(update={"journey": journey, "own": own})
    return loaded


def refuse_unread(settings: Sequence[str], stages: Collection[str], catalogue: Mapping[str, Stage]) -> None:
    """Raise `RecipeError` for a setting of a stage that is none of `stages`."""
    for setting in settings:
        stage = setting.partition(".")[0]
        read = setting.startswith(_READ_BY_OTHERS) or _READERS.get(stage) in stages
        if stage in catalogue and stage not in stages and not read:
            raise RecipeError(f"--set {setting}: this journey has no stage {stage}; add it with --with {stage}")
