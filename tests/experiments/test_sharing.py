"""Runs that begin with the finished stages of another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from selfcodealign.experiments.ablation.arms import Arm
from selfcodealign.experiments.ablation.costs import count_tokens
from selfcodealign.experiments.ablation.sharing import BEGAN_WITH, DataRun, begin_with_others, list_shared, plan_runs
from selfcodealign.pipeline import run_recipe
from selfcodealign.run_folder.folder import ASKED
from selfcodealign.settings import Recipe
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.runs import everything


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    judge_by_text(monkeypatch)


@pytest.fixture
def recipes(tmp_path: Path) -> dict[str, Recipe]:
    sources = write_sources(tmp_path / "source", 12)
    base = ["responses.stop_after_passes=0", "seeds.limit=10"]
    judged = {
        "passed": [],
        "random": ["selection.answers=random"],
        "fewer": ["seeds.limit=6"],
        "warmer": ["concepts.temperature=0.9"],
        "other": ["random_seed=7"],
        "slower": ["flush_seconds=0.5"],
    }
    found = {name: small_recipe(sources, *base, *settings, added=["judge"]) for name, settings in judged.items()}
    return found | {"unjudged": small_recipe(sources, *base)}


def _plan(recipes: dict[str, Recipe], names: list[str], home: Path) -> list[DataRun]:
    return plan_runs([Arm(name=name, varied={"x": name}, recipe=recipes[name]) for name in names], home)


def _carry_out(run: DataRun) -> None:
    asyncio.run(run_recipe(run.recipe, run.path, until="selection", model=scripted_model()))


@pytest.mark.parametrize("second", ["random", "unjudged", "fewer", "warmer", "other"])
def test_a_run_that_begins_with_another_has_the_rows_of_one_that_begins_alone(
    second: str, recipes: dict[str, Recipe], tmp_path: Path
) -> None:
    """Whatever differs: the rows of all stages are those of a run that began alone, and the donor keeps its rows."""
    first, branch = _plan(recipes, ["passed", second], tmp_path / "runs")
    _carry_out(first)
    before = everything(first.path)
    linked = begin_with_others(branch, [first])
    assert linked == [] or branch.folder.facts()[BEGAN_WITH] == {"run": "passed", "stages": linked}
    _carry_out(branch)
    (alone,) = _plan(recipes, [second], tmp_path / "alone")
    _carry_out(alone)
    assert everything(branch.path) == everything(alone.path)
    assert everything(first.path) == before


def test_an_ablation_of_the_answers_asks_once(recipes: dict[str, Recipe], tmp_path: Path) -> None:
    """Stages before the difference are linked: the second run asks its model nothing."""
    first, second = _plan(recipes, ["passed", "random"], tmp_path / "runs")
    assert list_shared(second, [first])[-1] == "responses"
    _carry_out(first)
    begin_with_others(second, [first])
    _carry_out(second)
    assert first.folder.facts()[ASKED]["responses"]["requests"] > 0
    assert not second.folder.facts().get(ASKED)


def test_a_smaller_run_asks_nothing_about_rows_that_the_larger_one_has(
    recipes: dict[str, Recipe], tmp_path: Path
) -> None:
    """Stages after the difference that are decided alike keep their rows: with fewer seeds, nothing is asked again."""
    first, fewer = _plan(recipes, ["passed", "fewer"], tmp_path / "runs")
    _carry_out(first)
    assert "responses" in begin_with_others(fewer, [first])
    _carry_out(fewer)
    assert sum(one["requests"] for one in fewer.folder.facts().get(ASKED, {}).values()) == 0


def test_arms_whose_rows_are_decided_alike_are_one_run(recipes: dict[str, Recipe], tmp_path: Path) -> None:
    """Settings of the training, and those that decide no rows, make no further run."""
    runs = _plan(recipes, ["passed", "slower", "random"], tmp_path / "runs")
    assert [[arm.name for arm in run.arms] for run in runs] == [["passed", "slower"], ["random"]]


def test_a_run_that_has_begun_is_left_alone(recipes: dict[str, Recipe], tmp_path: Path) -> None:
    """A resumed experiment links nothing into a run folder that is there."""
    first, second = _plan(recipes, ["passed", "random"], tmp_path / "runs")
    _carry_out(first)
    _carry_out(second)
    before = everything(second.path)
    assert begin_with_others(second, [first]) == []
    assert everything(second.path) == before


def test_tokens_are_those_of_the_run_that_asked(recipes: dict[str, Recipe], tmp_path: Path) -> None:
    """A run that begins with another counts what its rows have cost there; fewer samples cost less."""
    first, second = _plan(recipes, ["passed", "random"], tmp_path / "runs")
    _carry_out(first)
    begin_with_others(second, [first])
    _carry_out(second)
    whole = count_tokens(first.folder)
    asked = first.folder.facts()[ASKED]
    assert sum(whole.values()) == pytest.approx(sum(one["completion_tokens"] for one in asked.values()))
    assert count_tokens(second.folder) == pytest.approx(whole)
    assert 0 < sum(count_tokens(first.folder, 1).values()) < sum(whole.values())
