"""Every recipe of another method loads, and the index names it with a page that exists."""

from __future__ import annotations

import re

import pytest

from selfcodealign.pipeline import make_journey
from selfcodealign.recipe import load_recipe, shipped_recipes
from tests.support.places import ROOT

PAGES = ROOT / "docs" / "comparisons"
#: The package's own recipes, which compare with nothing.
OWN = {"paper", "quickstart", "seeds"}
ROWS = dict(re.findall(r"^\| `([\w-]+)` \|(.*)\|$", (PAGES / "README.md").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("name", sorted(set(shipped_recipes()) - OWN))
def test_a_recipe_has_a_row_in_the_index_and_a_page(name: str) -> None:
    """The row says all seven things; its page exists and names the recipe's command; the journey fits together."""
    cells = [cell.strip() for cell in ROWS[name].split("|")]
    assert len(cells) == 6
    assert all(cells)
    (page,) = set(re.findall(r"[\w-]+\.md", cells[-1]))
    assert f"selfcodealign run {name}" in (PAGES / page).read_text("utf-8")
    assert make_journey(load_recipe(name)).names


def test_the_index_is_linked() -> None:
    """From the front page."""
    assert "docs/comparisons/README.md" in (ROOT / "README.md").read_text("utf-8")
