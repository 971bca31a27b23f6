"""The stages quality and types in runs: their drops on disk, what starts them again, what passes through."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfcodealign import run_recipe
from selfcodealign.errors import CheckerError
from selfcodealign.rows import Seed
from selfcodealign.settings import Recipe
from selfcodealign.stages import types as types_stage
from selfcodealign.stages.types import StaticCheck
from tests.support.journey import scripted_model, small_recipe, write_sources
from tests.support.rows import make_seed
from tests.support.runs import books, rows_of
from tests.support.told import Told

BAD = '''
import subprocess


def start(name, folder):
    """Start the program of this name in the folder, and return its process."""
    return subprocess.Popen([name], cwd=folder)


def longest(words: list[str]) -> int:
    """Return the length of the longest word; an empty list has none."""
    best: int = 0
    for word in words:
        best = max(best, word)
    return best
'''


def recipe(folder: Path, *settings: str) -> Recipe:
    sources = write_sources(folder / "source", 4)
    (sources / "bad.py").write_text(BAD)
    return small_recipe(sources, *settings, added=["quality", "types"])


async def test_their_drops_are_on_disk_with_the_line_that_decided(tmp_path: Path) -> None:
    """One of six seeds breaks a rule of quality, another one has a type error; the rest goes on."""
    run = tmp_path / "run"
    await run_recipe(recipe(tmp_path), run, until="near_dedup", model=scripted_model())
    assert books(run)["quality"] == (6, 5, {"bad_import": 1})
    assert books(run)["types"] == (5, 4, {"type_error": 1})
    assert books(run)["near_dedup"][0] == 4
    (started,) = rows_of(run, "quality", "dropped")
    assert started["detail"] == "line 1: import subprocess (subprocess)"
    assert started["function"] == "start"
    (wrong,) = rows_of(run, "types", "dropped")
    assert wrong["detail"].startswith("line 5: best = max(best, word) (")
    assert wrong["seed"].startswith("def longest(")


async def test_settings_start_them_again_and_nothing_else(tmp_path: Path) -> None:
    """The same command does nothing; another setting of a filter makes its rows again, from the rows before it."""
    run = tmp_path / "run"
    await run_recipe(recipe(tmp_path), run, until="types", model=scripted_model())
    told = Told()
    await run_recipe(recipe(tmp_path), run, until="types", model=scripted_model(), progress=told)
    assert not any("starts again" in line for line in told.lines)
    told = Told()
    changed = recipe(tmp_path, "quality.bad_imports=[]", 'types.checker="none"')
    await run_recipe(changed, run, until="types", model=scripted_model(), progress=told)
    assert not any(line.startswith("seeds: starts again") for line in told.lines)
    assert any(line.startswith("quality: starts again because quality.bad_imports changed") for line in told.lines)
    assert any(line.startswith("types: starts again because types.checker changed") for line in told.lines)
    assert books(run)["quality"] == (6, 6, {})
    assert books(run)["types"] == (6, 6, {})


async def test_a_checker_that_does_not_work_stops_the_run_before_any_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is wrong, and no stage begun."""
    monkeypatch.setattr(types_stage, "probe", lambda tool: f"{tool.describe()} does not check code here: no memory")
    run = tmp_path / "run"
    with pytest.raises(Exception, match=r"pyrefly .* does not check code here: no memory"):
        await run_recipe(recipe(tmp_path), run, model=scripted_model())
    assert not (run / "seeds").exists()


async def test_a_program_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the command that installs it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CheckerError, match=r"needs the program pyright, .*pyright\[nodejs\]"):
        await run_recipe(recipe(tmp_path, 'types.checker="pyright"'), tmp_path / "run", model=scripted_model())


@pytest.mark.parametrize("kind", ["lines", "commits"])
async def test_seeds_that_are_no_functions_are_not_checked(kind: str) -> None:
    """Windows of lines use names from elsewhere, and so do files of a repository."""

    class OnlyRecipe:
        recipe = Recipe()

    check = StaticCheck(OnlyRecipe())  # type: ignore[arg-type]
    seed: Seed = make_seed(1, "x = missing\n", kind=kind)
    assert await check(seed) == [seed]
    (dropped,) = await check(make_seed(1, "x = missing\n"))
    assert not isinstance(dropped, Seed)
    assert dropped.reason == "undefined_names"
