"""A run with the stages dpo and grpo: both begin with RUN/tuned, and all models meet the same benchmark."""

from __future__ import annotations

import asyncio
import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.errors import TrainingError, UserError
from selfcodealign.pipeline import plan_recipe, run_recipe
from selfcodealign.report.result import RunResult
from selfcodealign.settings import Recipe
from selfcodealign.stages import train
from selfcodealign.stages.plan import Action
from tests.support.journey import scripted_model, small_recipe, write_sources
from tests.support.told import Told

ADDED = ["train", "dpo", "grpo", "evaluate"]
SHORT = [
    *(f"{section}.{setting}" for section in ("train", "dpo") for setting in ("max_steps=1", "batch=2")),
    *(f'{section}.precision="float32"' for section in ("train", "dpo", "grpo")),
    *(f"grpo.{setting}" for setting in ("steps=1", "prompts=1", "samples=2", "max_tokens=8")),
    *(f"evaluate.{setting}" for setting in ("limit=1", "max_tokens=4", 'base_modes=["chat"]')),
    "train.model=embedded",
    "responses.stop_after_passes=0",
    "execution.mutation_testing=false",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path, RunResult, Told]:
    """One run with real trainings of the embedded model, a step each, and real programs."""
    folder, told = tmp_path_factory.mktemp("further"), Told()
    recipe = small_recipe(write_sources(folder / "source", 3), *SHORT, added=ADDED)
    result = asyncio.run(run_recipe(recipe, folder / "run", model=scripted_model(), progress=told))
    return recipe, folder / "run", result, told


def report(run: Path, name: str) -> dict[str, Any]:
    return json.loads((run / name / "train_report.json").read_text())


def test_each_begins_with_the_tuned_model(finished: tuple[Recipe, Path, RunResult, Told]) -> None:
    """RUN/dpo and RUN/grpo are whole models, made from RUN/tuned with the rows of the run."""
    _, run, result, _ = finished
    assert (result.tuned, result.dpo, result.grpo) == (run / "tuned", run / "dpo", run / "grpo")
    for name in ("dpo", "grpo"):
        told = report(run, name)
        assert (told["method"], told["model"], told["dataset"]) == (name, str(run / "tuned"), str(run))
        assert (run / name / "model.safetensors").is_file()
    assert report(run, "dpo")["result"]["rows"] > 0
    assert sum(report(run, "grpo")["reasons"].values()) == 2
    assert f"model trained on pairs: {run / 'dpo'}" in str(result)


def test_all_models_are_compared(finished: tuple[Recipe, Path, RunResult, Told]) -> None:
    """Base, tuned, dpo and grpo answer the same tasks in chat; each is compared with each earlier one."""
    _, run, result, _ = finished
    labels = ["base (chat)", "tuned", "dpo", "grpo"]
    assert [one["label"] for one in result.scores] == labels
    scores = json.loads((run / "evaluation" / "scores.json").read_text())
    assert len(scores["comparisons"]) == 6


def test_a_second_run_rests_and_another_beta_starts_dpo_alone(
    finished: tuple[Recipe, Path, RunResult, Told],
) -> None:
    """A setting of one further training leaves the other and the tuned model; the scores are made again."""
    recipe, run, _, _ = finished
    same = asyncio.run(plan_recipe(recipe, run, model=scripted_model()))
    decided = {one.step.name: one.action for one in same}
    assert [decided[name] for name in ADDED] == [Action.REST] * 4
    other = recipe.model_copy(update={"dpo": recipe.dpo.model_copy(update={"beta": 0.3})})
    planned = {one.step.name: one for one in asyncio.run(plan_recipe(other, run, model=scripted_model()))}
    assert planned["dpo"].sentence.startswith("dpo: starts again because dpo.beta changed from 0.1 to 0.3")
    assert [planned[name].action for name in ("train", "grpo")] == [Action.REST, Action.REST]
    assert planned["evaluate"].action is Action.UPDATE


def test_a_model_is_not_asked_again_because_another_has_changed(
    finished: tuple[Recipe, Path, RunResult, Told], tmp_path: Path
) -> None:
    """Another tuned model is asked, and the base model's answers are those of before; other settings ask both."""
    recipe, run = finished[0], Path(shutil.copytree(finished[1], tmp_path / "run"))
    base, tuned = (run / "evaluation" / name / "tiny-eval" / "samples.jsonl" for name in ("base-chat", "tuned"))
    for path in (base, tuned):
        header, *answers = map(json.loads, path.read_text().splitlines())
        rows = [header, *(answer | {"detail": "of before"} for answer in answers)]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    journey = [name for name in recipe.journey if name not in ("dpo", "grpo")]
    other = recipe.model_copy(
        update={"journey": journey, "train": recipe.train.model_copy(update={"learning_rate": 0.0001})}
    )
    asyncio.run(run_recipe(other, run, model=scripted_model(), replace_finished=True))
    assert ("of before" in base.read_text(), "of before" in tuned.read_text()) == (True, False)
    longer = other.model_copy(update={"evaluate": other.evaluate.model_copy(update={"max_tokens": 5})})
    asyncio.run(run_recipe(longer, run, model=scripted_model(), replace_finished=True))
    assert "of before" not in base.read_text()


def test_a_run_without_a_failing_answer_has_no_pairs(tmp_path: Path) -> None:
    """The error says why, and which setting draws failing answers, too."""
    sources = write_sources(tmp_path / "source", 8)
    recipe = small_recipe(sources, *SHORT, "responses.samples=1", "dpo.model=embedded", added=["dpo"])
    with pytest.raises(TrainingError, match=r"has no pairs: .* With responses\.stop_after_passes = 0 all answers"):
        asyncio.run(run_recipe(recipe, tmp_path / "run", model=scripted_model()))


@pytest.mark.parametrize(
    ("settings", "added", "words"),
    [
        ([], ["dpo"], 'the stage "dpo" begins with the model that the stage "train" makes: add it to the journey'),
        (['grpo.model="./no/model"'], ["grpo"], "there is no folder ./no/model"),
        (["execution.split=false"], ["train", "grpo"], "set execution.split = true, or grpo.proof = any"),
        (["dpo.weights=qlora"], ["train", "dpo"], "dpo.weights = qlora needs bitsandbytes"),
        (["grpo.max_tokens=512"], ["train", "grpo"], "grpo.max_tokens = 512 leaves no room for a prompt in 512 tokens"),
    ],
    ids=str,
)
def test_what_is_missing_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: list[str], added: list[str], words: str
) -> None:
    """A journey without a tuned model, a folder that is not there, no split proof, a package."""
    monkeypatch.setattr(train, "find_spec", lambda name: None if name == "bitsandbytes" else find_spec(name))
    recipe = small_recipe(write_sources(tmp_path / "source", 2), "train.model=embedded", *settings, added=added)
    with pytest.raises(UserError) as refused:
        asyncio.run(run_recipe(recipe, tmp_path / "run", model=scripted_model()))
    assert words in str(refused.value)
    assert not (tmp_path / "run" / "seeds").exists()
