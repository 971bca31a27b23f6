"""The recipes `s2i` and `random-snippets`: the paper's ablations of concepts and of seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfcodealign import Sampling, ScriptedModel, run_recipe
from selfcodealign.recipe import load_recipe
from tests.support.comparisons import shipped
from tests.support.journey import answer, judge_by_text, scripted_model, write_sources
from tests.support.runs import rows_of


async def test_s2i_writes_tasks_from_functions_without_concepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every instruction has a seed and no concept; all ten answers of each are drawn."""
    judge_by_text(monkeypatch)
    recipe = shipped("s2i", write_sources(tmp_path / "source", 8), 'types.checker="none"', "judge.examples=2")
    await run_recipe(recipe, tmp_path / "run", until="dataset", model=scripted_model())
    instructions, answers = rows_of(tmp_path / "run", "instructions"), rows_of(tmp_path / "run", "responses")
    assert instructions
    assert all(row["seed"].startswith("import math") and row["concepts"] == [] for row in instructions)
    dropped = rows_of(tmp_path / "run", "responses", "dropped")
    assert len(answers) + len(dropped) == 10 * len(instructions)
    assert rows_of(tmp_path / "run", "selection")


async def test_random_snippets_are_windows_of_5_to_30_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seeds are windows of files, and tasks come from concepts that the model sees in them."""
    judge_by_text(monkeypatch)
    sources = tmp_path / "source"
    sources.mkdir()
    for number in range(4):
        lines = [f"value_{number}_{line} = function_{line % 7}({line * number})" for line in range(120)]
        lines[40] = "def function_named_here(x):"
        lines[41] = "    return x"
        (sources / f"m{number}.py").write_text("\n".join(lines) + "\n")

    def answer_lines(prompt: str, sampling: Sampling, seed: int) -> str:
        if prompt.endswith("<concepts>\n"):
            return "assignment, function calls\n</concepts>\n"
        return answer(prompt, sampling, seed)

    recipe = shipped("random-snippets", sources)
    await run_recipe(recipe, tmp_path / "run", until="dataset", model=ScriptedModel(answer_lines))
    seeds = rows_of(tmp_path / "run", "near_dedup")
    assert seeds
    assert {row["kind"] for row in seeds} == {"lines"}
    assert all(5 <= len(row["seed"].splitlines()) <= 30 for row in seeds)
    assert all(row["concepts"] for row in rows_of(tmp_path / "run", "instructions"))
    assert rows_of(tmp_path / "run", "selection")


def test_both_differ_from_the_main_recipe_in_what_they_measure_only() -> None:
    """Sampling, worked examples and filters of rows are those of the recipe `paper`."""
    paper = load_recipe("paper")
    for name in ("s2i", "random-snippets"):
        recipe = load_recipe(name)
        for section in ("few_shot", "concepts", "instructions", "responses", "execution", "selection", "train"):
            if section in recipe.journey or section in ("few_shot", "execution"):
                assert getattr(recipe, section) == getattr(paper, section), (name, section)
    s2i, snippets = load_recipe("s2i"), load_recipe("random-snippets")
    assert s2i.journey == [name for name in paper.journey if name != "concepts"]
    assert (s2i.quality, s2i.types, s2i.judge) == (paper.quality, paper.types, paper.judge)
    assert snippets.seeds.line_bounds == (5, 30)
