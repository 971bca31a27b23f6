"""Documentation is run: commands parse, settings exist, code works, links lead somewhere."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from selfcodealign.cli import COMMANDS, app
from selfcodealign.pipeline import CATALOGUE
from selfcodealign.recipe import load_recipe
from selfcodealign.stages.journey import edit_journey
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
        recipe = load_recipe(context.params["recipe"] or "paper", context.params["settings"] or [])
        added = [name for name in context.params["added"] or [] if ":" not in name]  # others are in files of a page
        edit_journey(recipe.journey, added, context.params["removed"] or [], CATALOGUE)


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


@pytest.mark.parametrize("name", ["architecture.md", "extending.md", "python.md", "testing.md"])
def test_the_code_of_the_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that begin with a file name are files of one folder, whose tests pass; the others run one by one."""
    page = ROOT / "docs" / name
    found = [block for language in ("python", "toml") for block in blocks(page, language)]
    monkeypatch.chdir(tmp_path)
    for number, block in enumerate(found):
        if named := re.match(r"# ([\w/]+\.(?:py|toml))\n", block):
            Path(named[1]).write_text(block, "utf-8")
        else:
            exec(compile(block, f"{name}, block {number}", "exec"), {"__name__": "block"})
    if not list(tmp_path.glob("test_*.py")):
        return
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--rootdir", ".", "."]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_changes_that_the_documentation_shows_fit_the_files() -> None:
    """In a block of changes, each line that stays is a line of the file that it names."""
    found = [line for block in blocks(ROOT / "docs" / "extending.md", "diff") for line in block.splitlines()]
    lines: list[str] = []
    for line in found:
        if line.startswith("--- "):
            lines = (ROOT / line.removeprefix("--- ")).read_text("utf-8").splitlines()
        elif not line.startswith("+"):
            assert line[1:] in lines, line
    assert found


def test_the_architecture_names_the_rooms_in_their_order() -> None:
    """The table of docs/architecture.md has the rooms of tests/test_layers.py, bottom first."""
    tree = ast.parse((ROOT / "tests" / "test_layers.py").read_text("utf-8"))
    (rooms,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROOMS"
    )
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## What each room may import")[2]
    table = page.partition("| --- | --- |")[2].partition("\n\n")[0]
    named = [name for line in table.strip().splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert named == list(rooms)
