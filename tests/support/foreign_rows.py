"""Rows as others publish them, and journeys of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfcodealign.pipeline import CATALOGUE
from selfcodealign.recipe import load_recipe
from selfcodealign.settings import Recipe
from selfcodealign.stages.journey import edit_journey


def make_row(number: int, *, wrong: int = 0, **changes: Any) -> dict[str, Any]:
    """A row whose response is right, or off by `wrong`; `judge_by_text` gives the same verdict as the sandbox."""
    name = f"task_{number}"
    return {
        "id": number,
        "instruction": f"Write a function `{name}(n)` that returns n plus {number}.",
        "response": f"Here it is:\n```python\ndef {name}(n):\n    return n + {number + wrong}\n```",
        "tests": [f"assert {name}(0) == {number}", f"assert {name}(10) == {number + 10}"],
    } | changes


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def foreign_recipe(
    sources: Sequence[Path], *settings: str, added: Sequence[str] = (), without: Sequence[str] = ("decontamination",)
) -> Recipe:
    """The shipped recipe for little work: by default without the stage that starts processes."""
    recipe = load_recipe(
        "verify-foreign",
        [
            f"imported.sources={json.dumps([str(one) for one in sources])}",
            "decontamination.benchmarks=[]",
            "selection.near_dedup=[]",
            "execution.workers=2",
            "execution.warm=[]",
            "flush_seconds=0.05",
            *settings,
        ],
    )
    return recipe.model_copy(update={"journey": edit_journey(recipe.journey, added, without, CATALOGUE)})
