"""What a section of settings is: frozen, strict, with renamed settings and with settings that decide no rows."""

from __future__ import annotations

import warnings
from typing import Any, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator

from selfcodealign.errors import RenamedWarning
from selfcodealign.rows import digest


class Section(BaseModel):
    """Settings of one part of a run; frozen; unknown keys are refused.

    Fields made by `free` do not change which rows come out (speed, paths, keys), so changing them keeps finished
    work. Every other field is part of the section's digest. Fields made by `renamed` accept their earlier name.
    A list takes a single value for a list of one: `sources = "stdlib"`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _accept_earlier_names(cls, values: Any) -> Any:
        """Accept settings under their earlier names and issue a `RenamedWarning` for each."""
        if not isinstance(values, dict):
            return values
        for earlier, name in cls.earlier_names().items():
            if earlier in values and name not in values:
                message = (
                    f'the setting "{earlier}" is now "{name}": the earlier name will be refused in the next release'
                )
                warnings.warn(message, RenamedWarning, stacklevel=2)
        return {name: cls._listed(name, value) for name, value in cls.with_current_names(values).items()}

    @classmethod
    def _listed(cls, name: str, value: Any) -> Any:
        field = cls.model_fields.get(name)
        single = isinstance(value, str | int | float)
        return [value] if single and field is not None and get_origin(field.annotation) is list else value

    @classmethod
    def earlier_names(cls) -> dict[str, str]:
        """Map the earlier name of each renamed setting to its current name."""
        return {earlier: name for name in cls.model_fields if (earlier := cls._metadata(name).get("earlier_name"))}

    @classmethod
    def with_current_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Replace earlier names by current ones; an earlier name beside its current one stays and is refused later."""
        earlier_names = cls.earlier_names()
        return {
            name if (name := earlier_names.get(key)) and name not in values else key: value
            for key, value in values.items()
        }

    @classmethod
    def _metadata(cls, name: str) -> dict[str, Any]:
        extra = cls.model_fields[name].json_schema_extra
        return extra if isinstance(extra, dict) else {}

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the result, as JSON values."""
        values = self.model_dump(mode="json")
        return {name: value for name, value in values.items() if not self._metadata(name).get("free")}

    def result_digest(self, **retired: Any) -> str:
        """Digest of the settings that decide the result: equal digests mean interchangeable rows.

        A renamed setting keeps its earlier name in the digest. `retired` holds removed settings with the value that
        current behaviour corresponds to. Settings made by `later` are left out. Row ids and random draws therefore
        stay the same across releases.
        """
        values = {
            self._metadata(name).get("id_name", name): self._metadata(name).get("id_value") if value is None else value
            for name, value in self.deciding().items()
            if not self._metadata(name).get("later")
        }
        return digest(*sorted((values | retired).items()))


def free(default: Any, **constraints: Any) -> Any:
    """Declare a setting that does not change the rows of a run."""
    return Field(default, json_schema_extra={"free": True}, **constraints)


def later(default: Any, **constraints: Any) -> Any:
    """Declare a setting that decides what is known of rows, and was added when runs with row ids existed.

    Changing it starts a stage again; the ids and the draws are those that the stage had without the setting.
    """
    return Field(default, json_schema_extra={"later": True}, **constraints)


def renamed(earlier_name: str, default: Any, **constraints: Any) -> Any:
    """Declare a setting with a new name; the earlier name is accepted for one release.

    `id_name` is the setting's name in digests. It stays the earlier name permanently, so that row ids and random draws
    stay the same across releases.
    """
    names: Any = {"earlier_name": earlier_name, "id_name": earlier_name}
    return Field(default, json_schema_extra=names, **constraints)


def derived(id_value: Any, **constraints: Any) -> Any:
    """Declare a setting that is None unless a person sets it, and then follows from other texts.

    `id_value` stands for None in digests: it is the value that the setting had as its default before, so that row ids
    stay the same.
    """
    names: Any = {"id_value": id_value}
    return Field(None, json_schema_extra=names, **constraints)


class AskingSection(Section):
    """The section of a stage that asks a model."""

    model: str = later("", description='the model that is asked: NAME of a section [models.NAME]; "": [model]')
