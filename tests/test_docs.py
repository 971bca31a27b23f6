"""Documentation is run: code works, settings exist, links lead somewhere. Commands: test_documented_commands.py."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.documentation import PAGES, blocks
from tests.support.places import ROOT


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


#: The blocks of docs/few-shot.md are parts of the worked example that the page shows.
WITH_CODE = [page.name for page in PAGES if page.parent.name == "docs" and blocks(page, "python")]


@pytest.mark.parametrize("name", [name for name in WITH_CODE if name != "few-shot.md"])
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
