"""Writes docs/recipes.md from the settings themselves: `python docs/settings.py`. A test holds the two together."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from selfcodealign.recipe import shipped_recipes
from selfcodealign.settings import Recipe, Section

PAGE = Path(__file__).parent / "recipes.md"

HEAD = f"""# Recipes

A recipe is a short TOML file; what it does not say has the default below. `selfcodealign run` takes a file or the name
of a recipe that comes with the package ({", ".join(shipped_recipes())}), and `--set section.key=value` wins over both.
Values are TOML: write `--set 'seeds.sources=["git:.", "stdlib"]'`; a bare word is taken as a string. Unknown settings
are refused with the one that was probably meant, and `--dry-run` prints all settings in force.

Settings marked *free* do not change which rows come out (speed, paths, keys): changing them keeps all finished work.
Any other change restarts the stages it affects and moves their earlier rows to `superseded/`.
"""


def write_page() -> str:
    """The page's text."""
    parts = [HEAD]
    plain = {name: field for name, field in Recipe.model_fields.items() if not _is_section(field.annotation)}
    parts.append("## The run itself\n\n" + _table(plain))
    for name, field in Recipe.model_fields.items():
        if _is_section(field.annotation):
            section: type[Section] = field.annotation  # type: ignore[assignment]
            about = inspect.getdoc(section) or ""
            parts.append(f"## [{name}]\n\n{about}\n\n{_table(section.model_fields)}")
    return "\n".join(parts)


def _table(fields: dict[str, Any]) -> str:
    lines = ["| setting | default | |", "| --- | --- | --- |"]
    for name, field in fields.items():
        default = field.default_factory() if field.default is PydanticUndefined else field.default
        extra = field.json_schema_extra
        free = "*free*. " if isinstance(extra, dict) and extra.get("free") else ""
        text = (free + (field.description or "")).replace("|", "\\|").strip()
        lines.append(f"| {name} | `{_toml(default)}` | {text} |")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return str(value)


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


if __name__ == "__main__":
    PAGE.write_text(write_page(), "utf-8")
