"""The models of one run by name: "" is the recipe's [model], the others are its [models.NAME]."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from selfcodealign.models import Model, UnderWay
from selfcodealign.models.kept_answers import Keeper
from selfcodealign.models.on_demand import OnDemandModel
from selfcodealign.models.opening import open_model
from selfcodealign.settings import ModelSettings, Recipe

#: The name of the recipe's [model].
BASE = ""
#: The names under which a run folder records the base model, its settings, and the other models.
MODEL, MODEL_SETTINGS, MODELS = "model", "model_settings", "models"
#: A setting of [model] in the words of an error.
_SETTING = re.compile(rf"\bmodel\.(?=(?:{'|'.join(ModelSettings.model_fields)})\b)")


def section_of(name: str) -> str:
    """The section that describes a model, as a recipe and error messages name it.

    >>> section_of(BASE), section_of("teacher")
    ('model', 'models.teacher')
    """
    return "model" if name == BASE else f"models.{name}"


def name_section(words: str, name: str) -> str:
    """An error's words about [model], about the section of another model.

    >>> name_section("set model.urls", "teacher"), name_section("set model.urls", "")
    ('set models.teacher.urls', 'set model.urls')
    """
    return _SETTING.sub(f"{section_of(name)}.", words)


def settings_of(recipe: Recipe, name: str) -> ModelSettings:
    """The section of a model. Raises `KeyError` for a name that the recipe does not have."""
    return recipe.model if name == BASE else recipe.models[name]


@dataclass
class Models:
    """Makes each model when it is first asked for; its first request opens it.

    `given` has models that take the place of those that the recipe names, `recorded` is what a run folder holds: the
    identities identify finished rows without opening a model. `keeper` is that of `OnDemandModel`.
    """

    recipe: Recipe
    given: Mapping[str, Model] = field(default_factory=dict)
    recorded: Mapping[str, Any] = field(default_factory=dict)
    keeper: Keeper | None = None
    made: dict[str, OnDemandModel] = field(default_factory=dict)

    def __getitem__(self, name: str) -> OnDemandModel:
        if name not in self.made:
            model = self.given.get(name) or open_model(settings_of(self.recipe, name))
            self.made[name] = OnDemandModel(
                model, self._known_identity(name), self.keeper, lambda words: name_section(words, name)
            )
        return self.made[name]

    def _known_identity(self, name: str) -> dict[str, str] | None:
        """A model's identity as an earlier run recorded it, unless the settings name another model now."""
        identity, settings = self.recorded.get(MODEL), self.recorded.get(MODEL_SETTINGS)
        if name != BASE:
            known = self.recorded.get(MODELS, {}).get(name, {})
            identity, settings = known.get("identity"), known.get("settings")
        return identity if settings == settings_of(self.recipe, name).result_digest() else None

    def called(self, name: str) -> str:
        """What a person calls a model."""
        return settings_of(self.recipe, name).name or (f"the model {name}" if name else "the model")

    def is_served(self, name: str) -> bool:
        """Whether servers hold a model, which may not be up or may be far away."""
        settings = settings_of(self.recipe, name)
        return name not in self.given and bool(settings.urls or settings.serve)

    async def close(self) -> None:
        """Close all models; a later request opens its model again."""
        for model in self.made.values():
            await model.close()

    def count_tokens(self) -> tuple[int, int]:
        """Tokens of prompts and completions so far. A model that nothing asks is not made: its address may be gone."""
        counts = [model.count_tokens() for model in self.made.values()]
        return sum(prompts for prompts, _ in counts), sum(answers for _, answers in counts)

    def under_way(self) -> dict[str, UnderWay]:
        """What each model is working on."""
        return {name: model.under_way() for name, model in self.made.items()}

    def facts(self, names: Iterable[str]) -> dict[str, Any]:
        """What a run folder records of these models, which must be open, with what servers have taught since."""
        found: dict[str, Any] = {}
        others = dict(self.recorded.get(MODELS, {}))
        for name in names:
            identity, settings = self[name].identity(), settings_of(self.recipe, name).result_digest()
            if name == BASE:
                found |= {MODEL: identity, MODEL_SETTINGS: settings}
            else:
                others[name] = {"identity": identity, "settings": settings}
        return found | ({MODELS: others} if others else {})
