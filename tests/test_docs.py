"""Documentation is run: commands parse, settings exist, code works, links lead somewhere."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from selfcodealign.cli import COMMANDS, app
from selfcodealign.recipe import load_recipe
from tests.support.places import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """Every call of `selfcodealign` in the page's shell blocks, and in indented ones, as words."""
    indented = "\n".join(re.findall(r"^    (selfcodealign .*)", page.read_text("utf-8"), re.MULTILINE))
    for block in [*blocks(page, "sh"), indented]:
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and "=" in words[0] and words[0].split("=")[0].isupper():
                words = words[1:]
            if words and Path(words[0]).name == "selfcodealign":
                yield words[1:]


ALL = [(page.name, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(("page", "words"), ALL, ids=[f"{page}: {' '.join(words)[:60]}" for page, words in ALL])
def test_every_command_in_the_documentation_parses(page: str, words: list[str]) -> None:
    """The command exists, takes these options, and its --set settings are known."""
    group: Any = typer.main.get_command(app)
    if words[0].startswith("-"):
        return
    command = group.get_command(None, words[0])
    assert command is not None, f"{page}: no command {words[0]}"
    context = command.make_context(words[0], [word for word in words[1:] if word != "&"], resilient_parsing=False)
    if words[0] == "run":
        load_recipe(context.params["recipe"] or "quickstart", context.params["settings"] or [])


def test_every_command_is_documented() -> None:
    """README and docs/ mention every command."""
    said = {words[0] for _, words in ALL}
    assert set(COMMANDS) <= said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Relative links name files of the repository."""
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_settings_page_is_the_settings() -> None:
    """docs/recipes.md is written by docs/settings.py; run it after changing a setting."""
    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "docs" / "settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "recipes.md").read_text("utf-8") == module.write_page()


def test_the_code_of_the_readme_works() -> None:
    """The reward function of the README distinguishes a right response from a wrong one."""
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "README.md", "python"):
        exec(compile(block, "README.md", "exec"), names)
    right = asyncio.run(
        names["reward"]("def add(a, b):\n    return a + b\n", "assert add(1, 2) == 3\nassert add(0, 5) == 5")
    )
    wrong = asyncio.run(
        names["reward"]("def add(a, b):\n    return a - b\n", "assert add(1, 2) == 3\nassert add(0, 5) == 5")
    )
    assert (right, wrong) == (1.0, 0.0)
