"""Load a recipe: the settings of a run (`settings.Recipe`) as a short TOML file.

Precedence: defaults < recipe file < `--set section.key=value`. Unknown keys and wrong values are refused in one line
that names the key and, where there is one, the key that was probably meant.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from selfcodealign.addresses import REMOVED, hide_address, hide_arguments, hide_in, is_incomplete, secrets_of
from selfcodealign.errors import RecipeError, did_you_mean
from selfcodealign.files import read_text
from selfcodealign.settings import ModelSettings, Recipe, Section

SectionType = TypeVar("SectionType", bound=Section)

#: Settings of the model that name machines of the user, or hold what is meant for them.
PRIVATE = ("urls", "serve_args", "api_key_env")

#: Switches of earlier versions, and what replaces them.
RETIRED = {
    "judge.enabled": "name the stage in the journey, or give --with judge",
    "concepts.enabled": "leave the stage out of the journey, or give --without concepts",
    "instructions.distinct": 'name the stage "distinct" in the journey, or give --with distinct',
    "train.enabled": "name the stage in the journey, or give --with train",
    "evaluate.enabled": "name the stage in the journey, or give --with evaluate",
}


def shipped_recipes() -> list[str]:
    """Return the names of the recipes in the package."""
    folder = resources.files("selfcodealign") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name_or_path: str | Path, settings: str | Iterable[str] = ()) -> Recipe:
    """Load a shipped recipe by name or a TOML file by path, then apply a `section.key=value` setting or several.

    Values are TOML; a word that is not a TOML value is read as a string. Raises `RecipeError`.
    """
    if not isinstance(name_or_path, str | Path):
        raise RecipeError(
            f"a recipe is a name ({', '.join(shipped_recipes())}), the path of a .toml file, or what load_recipe "
            f"returns; this is a {type(name_or_path).__name__}"
        )
    return _validate(_read(name_or_path), [settings] if isinstance(settings, str) else settings, f"{name_or_path}: ")


def default_recipe(settings: Iterable[str] = ()) -> Recipe:
    """Return the defaults with `section.key=value` settings applied. Raises `RecipeError`."""
    return _validate({}, settings, "")


def _validate(values: dict[str, Any], settings: Iterable[str], where: str) -> Recipe:
    given = list(settings)
    for setting in given:
        _apply(values, setting)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        keys = {setting.partition("=")[0].strip() for setting in given}
        if all(_is_named(problem["loc"], keys) for problem in error.errors()):
            where = "--set: "  # or an option that stands for it; the file is not to blame
        raise RecipeError(f"{where}{_explain(error)}") from None


def _is_named(place: Sequence[int | str], keys: Iterable[str]) -> bool:
    """Whether one of the dotted keys names this place, a part of it, or something in it."""
    text = ".".join(map(str, place))
    return bool(text) and any(f"{key}.".startswith(f"{text}.") or f"{text}.".startswith(f"{key}.") for key in keys)


def recipe_toml(recipe: Recipe, *, published: bool = False) -> str:
    """Write all settings in force as TOML, without those that are unset and without the secrets in addresses.

    `REMOVED` stands where something was removed. With `published`, settings that name machines of the user are left
    out.
    """
    import tomli_w

    values = hide_in(recipe.model_dump(mode="json", exclude_none=True), REMOVED)
    if published:
        values.pop("telemetry")
    for section, model in _models(recipe, values):
        if published:
            for name in PRIVATE:
                section.pop(name, None)
        else:
            section["urls"] = [hide_address(url, REMOVED) for url in model.urls]
            section["serve_args"] = hide_arguments(model.serve_args)
    return tomli_w.dumps(values)


def _models(recipe: Recipe, values: dict[str, Any]) -> Iterator[tuple[dict[str, Any], ModelSettings]]:
    """Yield what stands for each model in `values`, and its settings."""
    yield values["model"], recipe.model
    for name, model in recipe.models.items():
        yield values["models"][name], model


def list_removed(recipe: Recipe) -> list[str]:
    """List the settings of a recipe.toml from which a secret was removed, without the models' urls: not every run asks
    them."""
    values = recipe.model_dump(mode="json")
    names = ["model", *(f"models.{name}" for name in recipe.models)]
    arguments = []
    for name, (section, _) in zip(names, _models(recipe, values), strict=True):
        section.pop("urls")
        if any(word.rpartition("=")[2] == REMOVED for word in section.pop("serve_args")):
            arguments.append(f"{name}.serve_args")
    return [name for name, text in _texts("", values) if is_incomplete(text)] + arguments


def find_secrets(recipe: Recipe) -> set[str]:
    """Return what `recipe_toml` removes from the settings of the models, and the keys in the environment."""
    found = secrets_of(recipe.telemetry.otlp)
    for model in (recipe.model, *recipe.models.values()):
        found.add(os.environ.get(model.api_key_env, "").strip())
        for url in model.urls:
            found |= secrets_of(url)
        found |= {
            word.rpartition("=")[2] if "=" in word else word
            for word, shown in zip(model.serve_args, hide_arguments(model.serve_args), strict=True)
            if word != shown
        }
    return found - {""}


def _texts(where: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield all texts of a JSON value with the names of their settings."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(f"{where}.{name}" if where else name, item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(where, item)


def changed_settings(base: Recipe, recipe: Recipe) -> list[str]:
    """List the settings of `recipe` that differ from those of `base`, as lines `section.key = value`."""
    before, now = (_flat(tomllib.loads(recipe_toml(one))) for one in (base, recipe))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name} = {'unset' if now.get(name) is None else json.dumps(now[name])}" for name in names]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def _read(name_or_path: str | Path) -> dict[str, Any]:
    shipped = shipped_recipes()
    if str(name_or_path) in shipped:
        text = (resources.files("selfcodealign") / "recipes" / f"{name_or_path}.toml").read_text("utf-8")
    else:
        path = Path(name_or_path)
        if path.suffix != ".toml" and not path.exists():
            hint = did_you_mean(str(name_or_path), shipped)
            raise RecipeError(f'no recipe "{name_or_path}": give a .toml file or one of {", ".join(shipped)}{hint}')
        text = read_text(path, error=RecipeError)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{name_or_path} is not valid TOML: {error}") from None


def _apply(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise RecipeError(f'a setting is section.key=value, not "{setting}"')
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if text.lstrip().startswith(("[", "{", '"')):  # a shell removes quotes: ["a"] arrives as [a]
            raise RecipeError(
                f'{key}: {text} is not TOML ({error}); in a shell quote the whole setting: \'{key}=["a", "b"]\''
            ) from None
        value = text
    for part in path[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise RecipeError(f'{key}: "{part}" is a setting, not a section')
    for name in _names_of(path):
        values.pop(name, None)
    values[path[-1]] = value


def _names_of(path: list[str]) -> set[str]:
    """Return the current and earlier names of a setting; `--set` replaces the setting under all of them."""
    field = Recipe.model_fields.get(path[0])
    section: Any = field.annotation if field and len(path) == 2 else None
    if not (isinstance(section, type) and issubclass(section, Section)):
        return set()
    return {name for names in section.earlier_names().items() if path[1] in names for name in names}


def read_section(kind: type[SectionType], where: str, values: Mapping[str, Any]) -> SectionType:
    """Validate a section's values; `where` names the section in errors (`RecipeError`)."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise RecipeError(_explain(error, kind, f"{where}.")) from None


def _explain(error: ValidationError, kind: type[Section] = Recipe, prefix: str = "") -> str:
    """Describe every problem: a single one in one line, several as a list."""
    told = [_explain_one(dict(problem), kind, prefix) for problem in error.errors()]
    if len(told) == 1:
        return told[0]
    return f"{len(told)} settings are wrong:\n" + "\n".join(f"  - {text}" for text in told)


def _section_of(kind: Any) -> Any:
    """The section that a setting is; None for sections by name."""
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _find_in_sections(name: str) -> str:
    """The settings that have this bare name in their sections, as a hint."""
    found = [
        f'"{section}.{name}"'
        for section, field in Recipe.model_fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, Section)
        and name in field.annotation.model_fields
    ]
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _explain_one(problem: dict[str, Any], kind: type[Section], prefix: str) -> str:
    """Describe a problem in one line: where, what, and what was probably meant."""
    where = prefix + ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        section: Any = kind
        for part in problem["loc"][:-1]:
            # Below [models] stand names that a person chose.
            section = ModelSettings if section is None else _section_of(section.model_fields[part].annotation)
        if where in RETIRED:
            return f"{where} is no longer a setting: {RETIRED[where]}"
        hint = did_you_mean(str(problem["loc"][-1]), section.model_fields)
        return f'unknown setting "{where}"{_find_in_sections(where) or hint}'
    if problem["type"] in ("model_type", "dict_type") and where in kind.model_fields:
        return f"{where} = {problem['input']!r}: [{where}] is a section: write {where}.NAME = ..."
    if problem["type"] == "value_error":
        return f"{where + ': ' if where else ''}{problem['ctx']['error']}"
    shown = "..." if re.match(r"model(s\.[^.]+)?\.urls", where) else repr(problem["input"])
    return f"{where} = {shown}: {problem['msg'].lower()}"
