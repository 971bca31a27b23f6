"""A stage from outside the package takes part like any other: examples/a_stage_of_your_own.py in real runs."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selfcodealign import run_recipe
from selfcodealign.errors import EmptyDataset
from selfcodealign.rows import Dropped, Seed
from selfcodealign.settings import Recipe
from selfcodealign.stages import Each
from tests.support.command_line import call
from tests.support.journey import scripted_model, small_recipe, write_sources
from tests.support.places import ROOT
from tests.support.runs import books, rows_of
from tests.support.told import Told

SHORT_TASKS = f"{ROOT}/examples/a_stage_of_your_own.py:SHORT_TASKS"


def recipe_with_it(sources: Path, max_words: int) -> Recipe:
    recipe = small_recipe(sources, "responses.samples=3", added=[SHORT_TASKS])
    return recipe.model_copy(update={"own": {"short_tasks": {"max_words": max_words}}})


async def test_its_rows_drops_and_fields_are_those_of_any_stage(tmp_path: Path) -> None:
    """Kept, dropped with a reason, shown; its field is on all later rows; resumed; started again by its own setting."""
    sources = write_sources(tmp_path / "source", 6)
    run = tmp_path / "run"
    await run_recipe(recipe_with_it(sources, 60), run, model=scripted_model())
    assert list(books(run)) == [
        *("seeds", "decontamination", "near_dedup", "concepts", "instructions", "short_tasks", "responses", "selection")
    ]
    assert books(run)["short_tasks"] == (6, 6, {})
    assert {row["words"] for row in rows_of(run, "short_tasks")} == {9}
    assert all(row["words"] == 9 for stage in ("responses", "selection") for row in rows_of(run, stage))
    assert all(row["words"] == 9 for row in rows_of(run, "responses", "dropped"))
    dataset = pq.read_table(run / "dataset" / "data")
    assert dataset.num_rows == books(run)["selection"][1] > 0
    assert set(dataset.column("words").to_pylist()) == {9}
    again = scripted_model()
    await run_recipe(recipe_with_it(sources, 60), run, model=again)
    assert again.calls == 0
    told = Told()
    with pytest.raises(EmptyDataset, match=r"the stage short_tasks kept none of 6 instructions \(long_task 6\)"):
        await run_recipe(recipe_with_it(sources, 5), run, model=again, progress=told)
    assert any(
        line == "short_tasks: starts again because own.short_tasks.max_words changed from 60 to 5; its earlier rows "
        "move to superseded/short_tasks-1"
        for line in told.lines
    )
    assert books(run)["short_tasks"] == (6, 0, {"long_task": 6})
    assert books(run)["responses"] == (0, 0, {})


def test_a_recipe_names_it_and_the_command_line_adds_it(tmp_path: Path) -> None:
    """The file's own words: `--with`, `[own.short_tasks]`, `show` with the row's further field."""
    sources = write_sources(tmp_path / "source", 3)
    (tmp_path / "mine.toml").write_text(
        f'seeds.sources = ["{sources}"]\nseeds.licences = ["any"]\n'
        'journey = ["seeds", "near_dedup", "concepts", "instructions"]\n'
        "model.name = 'embedded'\nfew_shot.file = 'tiny'\n[concepts]\nexamples = 1\nmax_tokens = 48\n"
        "[instructions]\nexamples = 1\nmax_tokens = 96\n[own.short_tasks]\nmax_words = 500\n"
    )
    run = tmp_path / "run"
    words = ["run", str(tmp_path / "mine.toml"), "--out", str(run), "--with", SHORT_TASKS]
    planned = call(*words, "--dry-run", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "short_tasks: from the beginning" in planned.stdout
    assert not run.exists()
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    state = json.loads((run / "short_tasks" / "stage.json").read_text())
    assert state["rows"]["kind"] == "CountedTask"
    assert state["rows"]["after"] == "instructions"
    assert state["decided_by"] == {"own.short_tasks.max_words": 500}
    assert json.loads((run / "run.json").read_text())["journey"][-1] == "short_tasks"
    row = rows_of(run, "short_tasks")[0]
    shown = call("show", str(run), row["instruction_id"])
    assert f"words: {row['words']}" in shown.stdout
    resumed = call("run", "--out", str(run), cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "short_tasks: finished" in resumed.stderr


async def test_a_stage_value_can_be_given_to_run_recipe(tmp_path: Path) -> None:
    """No file, no section: a value and its name in the journey."""

    async def only_odd(seed: Seed) -> list[Seed | Dropped]:
        if seed.source_line % 2 == 0 or seed.seed.count("alder"):
            return [Dropped(parent=seed.id, reason="alder", detail="", row=seed.fields())]
        return [seed]

    odd = Each(name="odd", takes=Seed, gives=Seed, decided_by=lambda context: {}, build=lambda context: only_odd)
    recipe = small_recipe(write_sources(tmp_path / "source", 12))
    journey = ["seeds", "near_dedup", "odd", "concepts"]
    changed = recipe.model_copy(update={"journey": journey})
    await run_recipe(changed, tmp_path / "run", model=scripted_model(), stages=[odd])
    assert books(tmp_path / "run")["odd"][2]["alder"] >= 1
    assert books(tmp_path / "run")["concepts"][0] == books(tmp_path / "run")["odd"][1]


@pytest.mark.parametrize("text", ["def broken(:\n", "raise RuntimeError('no')\n"])
def test_a_file_that_cannot_be_imported_is_one_line(tmp_path: Path, text: str) -> None:
    """A mistake in the user's file is told with its kind, without a traceback."""
    (tmp_path / "mine.py").write_text(text)
    done = call("run", "quickstart", "--with", "mine.py:STAGE", "--dry-run", cwd=tmp_path)
    assert done.returncode == 2
    assert 'journey names "mine.py:STAGE", and mine.py cannot be imported: ' in done.stderr
    assert done.stderr.count("\n") == 1
