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

A recipe is a short TOML file. It begins with its journey, the stages of the run in order; a section for each stage may
follow. Settings that it leaves out have the defaults below.

```toml
journey = [
    "seeds", "near_dedup", "judge",        # source code → seeds
    "concepts", "instructions",            # → new tasks
    "filters.py:NO_GAMES",                 # a stage of your own: file.py:NAME or module:NAME
    "responses", "selection", "dataset",   # → verified answers → data set
    "train", "evaluate",                   # → tuned model, and its scores beside the base model's
]

[seeds]
sources = ["git:.", "stdlib"]

[own.no_games]                             # the section of your own stage "no_games"
words = ["chess", "poker"]
```

`selfcodealign run` takes a file or the name of a recipe that comes with the package
({", ".join(shipped_recipes())}). Options change it for one run:

```sh
selfcodealign run paper --with distinct --without judge --without evaluate
selfcodealign run paper --source git:. --source stdlib --limit 1000 --until responses
selfcodealign run paper -m org/base-7b --url http://gpu1:8000 --set responses.samples=4
selfcodealign run paper --dry-run
```

- `--with STAGE` adds a stage at its place, `--without STAGE` removes one; both may be repeated.
- `--until STAGE` names the last stage to run.
- `--set section.key=value` wins over the recipe. Values are TOML; a bare word is taken as a string. A setting that is
  a list takes a single value, too: `--set seeds.sources=package:requests`.
- `-m`, `--url`, `--serve`, `--source`, `--limit` and `--sandbox` are short for `model.name`, `model.urls`,
  `model.serve`, `seeds.sources`, `seeds.limit` and `execution.sandbox`; in a journey of imported rows `--source` and
  `--limit` are `imported.sources` and `imported.limit`.
- `--dry-run` checks everything, prints what the run would do in each stage and the settings that differ from the
  recipe's (`--settings`: all in force), and does nothing.

`selfcodealign check mine.toml` checks a recipe in the same way without a run folder, several files at once, and names
everything that has to be fixed; few-shot files can be checked with it, too.

Stages that do not fit together, unknown stages and unknown settings are refused before any work; the error names the
missing stages, or the name that was probably meant. Sources, worked examples, packages, benchmarks, the model, the
sandbox, the run folder and the free disk are checked before any work, too, and all problems are reported together.

Settings marked *free* do not change the rows (speed, paths, keys): changing them keeps all finished work. Any other
change starts the affected stages again and moves their earlier rows to `superseded/`. See [extending.md](extending.md)
for how to write a stage and [run-folder.md](run-folder.md) for what a run leaves on disk.
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
        earlier = (
            f" (earlier name: {extra['earlier_name']})" if isinstance(extra, dict) and "earlier_name" in extra else ""
        )
        text = (free + (field.description or "") + earlier).replace("|", "\\|").strip()
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
