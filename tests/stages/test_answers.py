"""Which answer to an instruction becomes its row: one run of a model serves every choice."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import run_recipe
from selfcodealign.dataset.export import export
from selfcodealign.errors import UserError
from selfcodealign.files import read_json_lines
from selfcodealign.judging.stored import NOT_RUN
from selfcodealign.rows import Dropped, Example
from selfcodealign.settings import Recipe, SelectionSettings
from selfcodealign.stages.selection import select_examples
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.rows import make_response
from tests.support.runs import books, rows_of


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    judge_by_text(monkeypatch)
    return write_sources(tmp_path / "source", 12)


def recipe_of(sources: Path, *settings: str) -> Recipe:
    return small_recipe(sources, "responses.stop_after_passes=0", "execution.split=false", *settings)


def test_one_run_of_the_model_serves_four_data_sets(sources: Path, tmp_path: Path) -> None:
    """Selections of the same answers: nothing is asked for again, every answer is in the books, and each instruction
    has the answer that the setting names."""
    run, chosen = tmp_path / "run", {}
    for answers in ("passed", "failed", "random", "passed_else_any"):
        model = scripted_model()
        asyncio.run(run_recipe(recipe_of(sources, f"selection.answers={answers}"), run, model=model))
        assert (model.calls == 0) == (answers != "passed")
        entered, kept, dropped = books(run)["selection"]
        assert entered == kept + sum(dropped.values())
        chosen[answers] = {row["instruction_id"]: row for row in rows_of(run, "selection")}
    read = [row for kind in ("kept", "dropped") for row in rows_of(run, "responses", kind) if row["response"]]
    assert books(run)["selection"][0] == len(read)
    samples: dict[str, dict[int, str]] = defaultdict(dict)
    for row in read:
        samples[row["instruction_id"]][row["sample"]] = row["status"]
    of_passed, of_failed = ({one for one, known in samples.items() if word in known.values()} for word in STATUSES)
    assert of_passed
    assert of_failed
    assert of_passed != of_failed
    assert {row["status"] for row in chosen["passed"].values()} == {"passed"}
    assert set(chosen["passed"]) == of_passed
    assert {row["status"] for row in chosen["failed"].values()} == {"failed"}
    assert set(chosen["failed"]) == of_failed
    assert {one: row["sample"] for one, row in chosen["random"].items()} == {one: min(samples[one]) for one in samples}
    either = {one: row["status"] for one, row in chosen["passed_else_any"].items()}
    assert either == {one: "passed" if one in of_passed else "failed" for one in samples}


STATUSES = ("passed", "failed")


def test_the_data_set_says_what_its_rows_are(sources: Path, tmp_path: Path) -> None:
    """Rows have their status, the card claims no more than it knows, and pairs and rewards are made of passing rows."""
    run = tmp_path / "run"
    asyncio.run(run_recipe(recipe_of(sources, "selection.answers=random"), run, model=scripted_model()))
    import pyarrow.parquet as pq

    (file,) = (run / "dataset" / "data").glob("*.parquet")
    statuses = pq.read_table(file).column("status").to_pylist()
    passed = statuses.count("passed")
    assert 0 < passed < len(statuses)
    card = (run / "dataset" / "README.md").read_text()
    assert f"{passed} of the responses passed tests written with it" in card
    assert len(read_json_lines_of(export(run, "trl", tmp_path / "a.jsonl").files[0])) == len(statuses)
    tasks = export(run, "rl", tmp_path / "b.jsonl", proof="any").files[0]
    assert len(read_json_lines_of(tasks)) == passed


def read_json_lines_of(path: Path) -> list[Any]:
    return [row for _, row in read_json_lines(path, error=UserError)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["selection.answers=failed", "responses.stop_after_passes=1"], "set responses.stop_after_passes = 0"),
        (["selection.answers=failed", "selection.min_mutation_score=0.5"], "set selection.min_mutation_score = 0"),
        (["selection.answers=random", "selection.choose=agreement"], 'set selection.choose = "random"'),
        (["selection.answers=passed_else_any", "responses.give_up=0.01"], "set responses.give_up = 0"),
    ],
)
def test_a_choice_that_could_not_be_faithful_is_refused(
    sources: Path, tmp_path: Path, settings: list[str], words: str
) -> None:
    """Before work, in one line that names the setting to change."""
    with pytest.raises(UserError, match=words):
        asyncio.run(run_recipe(recipe_of(sources, *settings), tmp_path / "run", model=scripted_model()))
    assert not (tmp_path / "run" / "seeds").exists()


def test_a_stage_that_saw_only_passing_answers_is_refused(sources: Path, tmp_path: Path) -> None:
    """`behaviour` behind the responses looks at kept rows alone."""
    recipe = recipe_of(sources, "selection.answers=random")
    names = [*recipe.journey[: recipe.journey.index("selection")], "behaviour", "selection", "dataset"]
    with pytest.raises(UserError, match=r"leave it out \(--without behaviour\)"):
        asyncio.run(run_recipe(recipe.model_copy(update={"journey": names}), tmp_path / "run", model=scripted_model()))


def select(*rows: Any, **settings: Any) -> list[Example | Dropped]:
    asked = SelectionSettings().model_copy(update=settings)
    return list(select_examples(lambda: rows, {row.instruction_id: (2, 2) for row in rows}, asked, None))


def test_rows_that_were_never_run_are_answers_and_prove_nothing() -> None:
    """They are kept by the choices that do not ask for failure, without a share that passed; a wanted proof drops them
    by name."""
    row = make_response(1, status=NOT_RUN, proof="", mutation_score=math.nan)
    for answers in ("passed", "random", "passed_else_any"):
        (example,) = select(row, answers=answers)
        assert isinstance(example, Example)
        assert math.isnan(example.pass_rate)
    (dropped,) = select(row, answers="failed")
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "no_failing_answer"
    (dropped,) = select(row, answers="random", proof="split")
    assert isinstance(dropped, Dropped)
    assert (dropped.reason, dropped.detail) == ("no_split_proof", "never run")


def test_proof_is_asked_of_passing_answers_alone() -> None:
    """A failing answer that was drawn stays where passing ones need a proof."""
    row = make_response(1, status="failed", proof="", mutation_score=math.nan)
    (example,) = select(row, answers="random", proof="split", min_mutation_score=0.9)
    assert isinstance(example, Example)


def test_the_answer_is_drawn_before_rows_are_compared() -> None:
    """Sample 0 is unfinished: the instruction gives no row, though its second answer would stay."""
    first = make_response(2, instruction_id="0a", instruction="Add.", sample=0, tests="# TODO")
    second = make_response(1, instruction_id="0a", instruction="Add.", sample=1)
    reasons = [getattr(one, "reason", "kept") for one in select(second, first, answers="random")]
    assert reasons == ["one_per_instruction", "unfinished"]
