"""Marks flow into the data set: the next run of the same recipe honours them, and asks no model."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from selfcodealign import run_recipe
from selfcodealign.errors import RunFolderError
from selfcodealign.pipeline import plan_recipe
from selfcodealign.report.facts import read_facts
from selfcodealign.run_folder.marks import FILE, HONOURED, Label, Mark, add_mark
from selfcodealign.settings import Recipe
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.runs import rows_of


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Recipe, Path]:
    """A finished run in which several answers to each instruction passed."""
    judge_by_text(monkeypatch)
    recipe = small_recipe(write_sources(tmp_path / "sources", 12), "responses.stop_after_passes=0")
    asyncio.run(run_recipe(recipe, tmp_path / "run", model=scripted_model()))
    return recipe, tmp_path / "run"


def again(recipe: Recipe, folder: Path) -> set[str]:
    """Run the same command again; return the responses in the data set."""
    model = scripted_model()
    asyncio.run(run_recipe(recipe, folder, model=model))
    assert model.calls == 0
    return {row["response_id"] for row in rows_of(folder, "selection")}


def sentence(recipe: Recipe, folder: Path) -> str:
    """What a dry run says of selection."""
    return next(one.sentence for one in asyncio.run(plan_recipe(recipe, folder)) if one.step.name == "selection")


def test_labels_decide_what_the_next_run_takes(run: tuple[Recipe, Path]) -> None:
    """A dropped row goes and says why, a kept one replaces its sibling; the plan, run.json and the card tell it; once
    all labels are taken back, the rows are those of before."""
    recipe, folder = run
    before = {row["response_id"] for row in rows_of(folder, "selection")}
    assert "finished" in sentence(recipe, folder)
    siblings = [row for row in rows_of(folder, "selection", "dropped") if row["reason"] == "one_per_instruction"]
    kept = siblings[0]["response_id"]
    rival = next(
        row["response_id"] for row in rows_of(folder, "selection") if row["instruction_id"] == siblings[0]["detail"]
    )
    dropped = next(row for row in rows_of(folder, "selection") if row["response_id"] != rival)
    add_mark(folder, Mark(dropped["seed_id"], "drop", "no task", "ada"))
    add_mark(folder, Mark(kept, "keep"))
    assert "starts again because people's marks changed; its earlier rows move to superseded/" in sentence(*run)
    gone = {row["response_id"] for row in rows_of(folder, "selection") if row["seed_id"] == dropped["seed_id"]}
    assert again(recipe, folder) == (before - gone - {rival}) | {kept}
    details = [row["detail"] for row in rows_of(folder, "selection", "dropped") if row["reason"] == "marked_drop"]
    assert set(details) == {f"seed {dropped['seed_id']}; no task; by ada"}
    honoured = json.loads((folder / "run.json").read_text())[HONOURED]
    assert honoured == {"dropped": len(details), "kept": 1}
    assert (read_facts(folder).marks.honoured, read_facts(folder).marks.without_effect) == (2, 0)
    card = (folder / "dataset" / "README.md").read_text("utf-8")
    assert f"People have marked single rows: {len(details)} were taken out, 1 were kept." in card
    for row in (dropped["seed_id"], kept):
        add_mark(folder, Mark(row, ""))
    assert again(recipe, folder) == before
    assert "People have marked" not in (folder / "dataset" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("label", ["", "keep"])
def test_notes_alone_start_nothing_again(run: tuple[Recipe, Path], label: Label) -> None:
    """Nor does another note to the same label, once a run has honoured it."""
    recipe, folder = run
    row = rows_of(folder, "selection")[0]["response_id"]
    add_mark(folder, Mark(row, label, "hm"))
    again(recipe, folder)
    add_mark(folder, Mark(row, label, "another note", "eve"))
    assert "finished" in sentence(recipe, folder)


def test_a_damaged_file_of_marks_stops_the_run_before_any_work(run: tuple[Recipe, Path]) -> None:
    """With its line: labels that are not honoured would go unnoticed."""
    recipe, folder = run
    (folder / FILE).write_text("keep 3f9a\n")
    with pytest.raises(RunFolderError, match=rf"{FILE}:1: not JSON"):
        again(recipe, folder)
