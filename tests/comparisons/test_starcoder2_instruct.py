"""The recipe starcoder2-instruct on a scripted model: answers of four parts, and what is rendered of them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selfcodealign import Sampling, ScriptedModel, load_recipe, run_recipe
from selfcodealign.errors import UserError
from selfcodealign.settings import Recipe
from tests.support.journey import answer, judge_by_text, write_sources
from tests.support.runs import rows_of


def answer_in_parts(prompt: str, sampling: Sampling, seed: int) -> str:
    """As `answer`, with reasoning and an explanation around the response."""
    if not prompt.endswith("<reasoning>\n"):
        return answer(prompt, sampling, seed)
    plain = answer(prompt, sampling, seed)
    if "<tests>" not in plain:
        return plain
    response, tests = plain.split("<tests>")
    code = response.replace("def ", "# a comment\ndef ", 1)
    return (
        f"One has to reason about {seed}.\n</reasoning>\n<response>\n{code}<explanation>\nIt explains {seed}.\n"
        f"</explanation>\n<tests>{tests}"
    )


def recipe_of(folder: Path, *settings: str) -> Recipe:
    recipe = load_recipe(
        "starcoder2-instruct",
        [
            f'seeds.sources=["{write_sources(folder / "source", 16)}"]',
            'seeds.licences=["any"]',
            "near_dedup.jaccard=0.95",
            'decontamination.benchmarks=["tiny-eval"]',
            "execution.split=false",
            "responses.samples=4",
            *settings,
        ],
    )
    names = [one for one in recipe.journey if one not in ("quality", "types", "decontamination", "train", "evaluate")]
    return recipe.model_copy(update={"journey": names})


def test_the_recipe_renders_what_was_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses are stored as they were verified; the messages have parts by chance, no comments, some assertions."""
    judge_by_text(monkeypatch)
    run = tmp_path / "run"
    asyncio.run(run_recipe(recipe_of(tmp_path), run, model=ScriptedModel(answer_in_parts)))
    rows = [row for file in (run / "dataset" / "data").glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    assert len(rows) >= 6
    told = [{one["role"]: one["content"] for one in row["messages"]} for row in rows]
    for row, said in zip(rows, told, strict=True):
        assert "# a comment" in row["response"]
        assert "reason about" not in row["response"]
        assert "# a comment" not in said["assistant"]
        assert row["status"] == "passed"
        assert re.sub(r"\n\nThese assertions have to hold:.*", "", said["user"], flags=re.DOTALL) == row["instruction"]
    for word in ("reason about", "It explains"):
        assert 0 < sum(word in said["assistant"] for said in told) < len(told)
    assert 0 < sum("assert " in said["user"] for said in told) < len(told)
    assert all("reason about" in row["completion"] for row in rows_of(run, "responses"))


def test_the_training_is_as_published() -> None:
    """Four epochs, Adafactor at 1e-5, 64 rows a step, 1,280 tokens, 5 % warm-up, no clipping."""
    train = load_recipe("starcoder2-instruct").train
    assert (train.epochs, train.learning_rate, train.optimizer, train.batch) == (4, 1e-5, "adafactor", 64)
    assert (train.max_tokens, train.warmup, train.max_grad_norm, train.schedule) == (1280, 0.05, 0.0, "linear")


def test_worked_examples_without_the_parts_are_refused(tmp_path: Path) -> None:
    """python.md has no reasoning: one line says what it needs, before any work."""
    recipe = recipe_of(tmp_path, "few_shot.file=python")
    with pytest.raises(UserError, match="sections with <reasoning> and <explanation>"):
        asyncio.run(run_recipe(recipe, tmp_path / "run", model=ScriptedModel(answer_in_parts)))
    assert not (tmp_path / "run" / "seeds").exists()


def test_parts_in_another_order_are_refused() -> None:
    """The parts are two or all four, in the order in which they are written."""
    with pytest.raises(UserError, match="an answer has these parts, in this order"):
        load_recipe("starcoder2-instruct", ['responses.parts=["tests", "response"]'])
