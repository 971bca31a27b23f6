"""The recipes `oss-instruct` and `oss-instruct-verified`: task and solution in one answer, from random lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from selfcodealign import Sampling, ScriptedModel, run_recipe
from selfcodealign.errors import UserError
from selfcodealign.pipeline import plan_recipe
from tests.support.command_line import call
from tests.support.comparisons import answer_with_pairs, shipped
from tests.support.journey import write_sources
from tests.support.runs import claims_of, rows_of


async def test_pairs_of_a_teacher_are_kept_unverified_and_said_to_be(tmp_path: Path) -> None:
    """One greedy pair of each window, right or wrong; nothing is run; rows and card say so."""
    asked: list[Sampling] = []

    def teach(prompt: str, sampling: Sampling, seed: int) -> str:
        asked.append(sampling)
        return answer_with_pairs(prompt, sampling, seed)

    recipe = shipped("oss-instruct", write_sources(tmp_path / "source", 8), "execution.sandbox=landlock")
    teacher = ScriptedModel(teach, name="a-teacher")
    await run_recipe(recipe, tmp_path / "run", until="dataset", models={"teacher": teacher})
    rows = rows_of(tmp_path / "run", "selection")
    assert len(rows) == len(rows_of(tmp_path / "run", "near_dedup")) == len(asked) == 6
    assert {one.temperature for one in asked} == {0.0}
    assert {(row["status"], row["tests"], row["kind"], row["proof"]) for row in rows} == {("not_run", "", "lines", "")}
    assert any(wrong(row) for row in rows)
    assert all(row["pass_rate"] != row["pass_rate"] for row in rows), "no share of passes was measured"
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert "6 responses were **not** run: nothing is known of their correctness" in card
    assert "passed" not in claims_of(tmp_path / "run")


async def test_verified_pairs_passed_their_tests(tmp_path: Path) -> None:
    """In the real sandbox, wrong solutions are dropped by name; several pairs of one window are different rows."""
    recipe = shipped("oss-instruct-verified", write_sources(tmp_path / "source", 8), "pairs.samples=3")
    await run_recipe(recipe, tmp_path / "run", until="dataset", model=ScriptedModel(answer_with_pairs))
    kept, dropped = rows_of(tmp_path / "run", "pairs"), rows_of(tmp_path / "run", "pairs", "dropped")
    assert len(kept) + len(dropped) == 18
    assert {row["status"] for row in kept} == {"passed"}
    assert {row["reason"] for row in dropped} == {"failed"}
    assert not any(wrong(row) for row in kept)
    assert all(wrong(row) for row in dropped)
    assert len({row["instruction_id"] for row in (*kept, *dropped)}) == 18
    told = call("show", str(tmp_path / "run"), kept[0]["response_id"], "--prompt")
    assert told.returncode == 0, told.stderr
    assert kept[0]["seed"].strip().splitlines()[0] in told.stdout


async def test_a_pair_does_not_depend_on_the_other_seeds(tmp_path: Path) -> None:
    """With fewer seeds, those that stay have the same rows."""
    sources, model = write_sources(tmp_path / "source", 8), ScriptedModel(answer_with_pairs)
    for name, limit in (("all", 6), ("few", 3)):
        recipe = shipped("oss-instruct", sources, f"seeds.limit={limit}", "few_shot.draws=8")
        await run_recipe(recipe, tmp_path / name, until="pairs", models={"teacher": model})
    everything = {row["response_id"]: row["completion"] for row in rows_of(tmp_path / "all", "pairs")}
    some = {row["response_id"]: row["completion"] for row in rows_of(tmp_path / "few", "pairs")}
    assert len(some) == 3
    assert some.items() <= everything.items()


async def test_the_base_model_writes_pairs_where_no_teacher_is_wanted(tmp_path: Path) -> None:
    """pairs.model = "" asks [model], few-shot."""
    recipe = shipped("oss-instruct", write_sources(tmp_path / "source", 8), 'pairs.model=""')
    await run_recipe(recipe, tmp_path / "run", until="dataset", model=ScriptedModel(answer_with_pairs))
    assert len(rows_of(tmp_path / "run", "selection")) == 6


async def test_without_a_teacher_it_is_refused_before_work(tmp_path: Path) -> None:
    """One line names the setting; nothing is written."""
    recipe = shipped("oss-instruct", write_sources(tmp_path / "source", 2))
    with pytest.raises(UserError, match=r"set models\.teacher\.urls") as refused:
        await plan_recipe(recipe, tmp_path / "run", until="dataset")
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match=re.escape(str(refused.value))):
        await run_recipe(recipe, tmp_path / "run", until="dataset")
    assert not (tmp_path / "run").exists()


def wrong(row: dict[str, object]) -> bool:
    """Whether a pair's solution adds another number than its task says."""
    wanted = re.search(r"plus (\d+)\.", str(row["instruction"]))
    return wanted is None or f"return n + {wanted[1]}\n" not in str(row["response"])
