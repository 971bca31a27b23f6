"""Rounds from end to end: scripted writers, real runs, trainings and evaluations of a model of random weights."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import ScriptedModel
from selfcodealign.errors import EmptyDataset, ModelError, RecipeError, RunFolderError, UserError
from selfcodealign.experiments.rounds import loop as module
from selfcodealign.experiments.rounds.collapse import Rule
from selfcodealign.experiments.rounds.folder import Design, RoundsFolder
from selfcodealign.experiments.rounds.loop import Rounds, run_rounds
from selfcodealign.models import Sampling
from selfcodealign.settings import Recipe
from tests.support.command_line import call
from tests.support.journey import answer, judge_by_text, small_recipe, write_sources
from tests.support.places import ROOT
from tests.support.processes import wait_for
from tests.support.runs import everything
from tests.support.tiny_model import make_model

SMALL, USUAL = Rule(rows=2), Design()


def poorer(prompt: str, sampling: Sampling, seed: int) -> str:
    """The scripted answers, with the same concepts for each seed."""
    return "loops, loops\n</concepts>\n" if prompt.endswith("<concepts>\n") else answer(prompt, sampling, seed)


def useless(prompt: str, sampling: Sampling, seed: int) -> str:
    """No answer that can be read."""
    return "I do not know.\n"


def writers(*answers: Callable[[str, Sampling, int], str]) -> Callable[[int], ScriptedModel]:
    """Scripted models in the place of those that are tuned; the last one writes all further rounds."""
    return lambda number: ScriptedModel(answers[min(number, len(answers)) - 1], name=f"writer {number}")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Eight seeds, one step of training on a model of random weights, two problems."""
    folder = tmp_path_factory.mktemp("rounds")
    make_model(folder / "base")
    return small_recipe(
        write_sources(folder / "source", 8),
        f"model.name={folder / 'base'}",
        "few_shot.file=tiny",
        "train.max_steps=1",
        "train.batch=4",
        "train.precision=float32",
        "train.device=cpu",
        "train.proof_rows=1",
        "evaluate.limit=2",
        "evaluate.max_tokens=8",
        'evaluate.base_modes=["chat"]',
    )


@pytest.fixture(autouse=True)
def no_sandbox_for_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are judged by their text; benchmarks by the sandbox."""
    judge_by_text(monkeypatch)


def go(recipe: Recipe, out: Path, count: int, design: Design = USUAL, rule: Rule = SMALL, **options: Any) -> Rounds:
    options = {"writers": writers(answer), **options}
    return asyncio.run(run_rounds(recipe, out, count, design, rule, **options))


def told(out: Path) -> str:
    """What rounds.json says, without times and places."""
    text = (out / "rounds.json").read_text().replace(str(out.resolve()), "OUT")
    return re.sub(r'"seconds": [\d.]+', "", text)


@pytest.fixture(scope="module")
def two(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two undisturbed rounds with two training seeds."""
    out = tmp_path_factory.mktemp("two") / "rounds"
    with pytest.MonkeyPatch.context() as patch:
        judge_by_text(patch)
        found = go(recipe, out, 2, Design(seeds=2))
    assert [len(one.scores) for one in found.rounds] == [2, 2]
    assert not found.stopped
    return out


def test_rounds_follow_one_another_and_stand_side_by_side(two: Path) -> None:
    """Round 1 is written by the base, round 2 by the first model of round 1; tuned is the base each time."""
    record = json.loads((two / "rounds.json").read_text())
    writer = [json.loads((two / f"round-{number}" / "run" / "run.json").read_text()) for number in (1, 2)]
    assert [one["model"]["name"] for one in writer] == ["writer 1", "writer 2"]
    assert [one["writer"].rpartition("/")[2] for one in record["rounds"]] == ["base", "tuned-0"]
    bases = [json.loads((two / f"round-{n}" / "tuned-1" / "training.json").read_text()) for n in (1, 2)]
    assert bases[0]["model"] == bases[1]["model"] == record["rounds"][0]["writer"]
    assert [one["seed"] for one in bases] == [1, 1]
    assert [one["rows"] for one in record["rounds"]] == [one["figures"]["rows"] for one in record["rounds"]]
    page = (two / "rounds.md").read_text()
    assert "| round 1 | round 2 |" in page
    assert "tuning seeds" in (two / "index.html").read_text()
    labels = {one["label"] for one in json.loads((two / "scores" / "scores.json").read_text())["scores"]}
    assert labels == {"base (chat)", *(f"round {n} seed {seed}" for n in (1, 2) for seed in (0, 1))}


class Killed(BaseException):
    """The process ends here."""


def test_rounds_that_end_between_any_two_steps_are_resumed(
    recipe: Recipe, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after each run, training, evaluation and record in turn: the same rows, figures and scores."""
    ended: list[str] = []

    def end_after(name: str, key: Callable[..., str]) -> None:
        real = getattr(module, name)

        async def step(*given: Any, **named: Any) -> Any:
            result = await real(*given, **named)
            if (place := f"{name} {key(*given)}") not in ended:
                ended.append(place)
                raise Killed
            return result

        monkeypatch.setattr(module, name, step)

    end_after("run_recipe", lambda recipe, out: str(out))
    end_after("train_stoppable", lambda work, out: str(out))
    end_after("evaluate", lambda candidates, *others: candidates[0].label)
    write = RoundsFolder.write

    def write_and_end(self: RoundsFolder, rounds: Any, stopped: Any) -> None:
        write(self, rounds, stopped)
        if (place := f"write {len(rounds)}") not in ended:
            ended.append(place)
            raise Killed

    monkeypatch.setattr(RoundsFolder, "write", write_and_end)
    for _ in range(13):
        try:
            go(recipe, tmp_path, 2, Design(seeds=2))
            break
        except Killed:
            continue
    assert len(ended) == 2 + 4 + 3 + 3  # runs, trainings, evaluations, records
    assert told(tmp_path) == told(two)
    for number in ("round-1", "round-2"):
        assert everything(tmp_path / number / "run") == everything(two / number / "run")


def test_more_rounds_extend_and_fewer_change_nothing(recipe: Recipe, two: Path) -> None:
    """The third round is written by the second's model; the rounds before are not touched."""
    before = {path: path.stat().st_mtime_ns for path in two.glob("round-*/**/*.parquet")}
    found = go(recipe, two, 3, Design(seeds=2))
    assert [one.number for one in found.rounds] == [1, 2, 3]
    assert found.rounds[2].writer == str(two / "round-2" / "tuned-0")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [one.number for one in go(recipe, two, 1, Design(seeds=2)).rounds] == [1, 2, 3]


def test_the_control_writes_other_texts_with_the_base(recipe: Recipe, tmp_path: Path) -> None:
    """`--writer base` draws others in each round; `--tune previous` and `--data all` reach the training."""
    found = go(recipe, tmp_path, 2, Design(writer="base", tune="previous", data="all"))
    assert len({one.writer for one in found.rounds}) == 1
    assert everything(tmp_path / "round-1" / "run") != everything(tmp_path / "round-2" / "run")
    training = json.loads((tmp_path / "round-2" / "tuned-0" / "training.json").read_text())
    assert training["model"] == str(tmp_path / "round-1" / "tuned-0")
    assert training["mix"] == [str(tmp_path / "round-1" / "run")]


def test_fewer_concepts_stop_the_rounds(recipe: Recipe, tmp_path: Path) -> None:
    """The reason is recorded and told; without the stop the rounds go on from there."""
    found = go(recipe, tmp_path, 3, writers=writers(answer, poorer))
    assert [one.number for one in found.rounds] == [1, 2]
    assert any(reason.startswith("the distinct share of concepts fell from") for reason in found.stopped)
    assert json.loads((tmp_path / "rounds.json").read_text())["stopped"] == list(found.stopped)
    assert "No round follows round 2" in (tmp_path / "rounds.md").read_text()
    again = go(recipe, tmp_path, 3, writers=writers(answer, poorer))
    assert again.stopped == found.stopped
    further = go(recipe, tmp_path, 3, writers=writers(answer, poorer), stop=False)
    assert [bool(one.reasons) for one in further.rounds] == [False, True, True]
    assert not further.stopped


def test_an_empty_data_set_ends_the_rounds(recipe: Recipe, tmp_path: Path) -> None:
    """Nothing can be tuned on it, with or without the rule; in the first round it is an error."""
    found = go(recipe, tmp_path / "second", 3, writers=writers(answer, useless), stop=False)
    assert found.stopped == ["the data set is empty"]
    assert [one.rows > 0 for one in found.rounds] == [True, False]
    assert go(recipe, tmp_path / "second", 3, writers=writers(answer, useless), stop=False).stopped == found.stopped
    with pytest.raises(EmptyDataset, match="the data set is empty: the stage"):
        go(recipe, tmp_path / "first", 2, writers=writers(useless))


def refuse(recipe: Recipe, out: Path, kind: type[UserError], text: str, design: Design = USUAL) -> None:
    with pytest.raises(kind, match=re.escape(text)) as raised:
        go(recipe, out, 2, design)
    assert "\n" not in str(raised.value)
    assert not list(out.glob("round-*"))


def with_model(recipe: Recipe, **values: Any) -> Recipe:
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=values)})


def test_what_cannot_work_is_refused_before_any_work(recipe: Recipe, tmp_path: Path) -> None:
    """In one line that names the fix."""
    out = tmp_path / "out"
    served = with_model(recipe, urls=["http://localhost:1/v1"], name="demo")
    refuse(served, out, RecipeError, 'do not hold it: set model.serve = "vllm" or a local model')
    without = recipe.model_copy(update={"journey": [name for name in recipe.journey if name != "dataset"]})
    refuse(without, out, RecipeError, "add it with --with dataset")
    silent = recipe.model_copy(update={"journey": ["seeds", "near_dedup", "commit_pairs", "selection", "dataset"]})
    refuse(silent, out, RecipeError, "no stage of this journey asks [model]")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    refuse(
        with_model(recipe, name=str(tmp_path / "model.gguf")), out, ModelError, "is a GGUF file, which cannot be tuned"
    )
    unknown = recipe.evaluate.model_copy(update={"benchmarks": ["humanevil"]})
    refuse(recipe.model_copy(update={"evaluate": unknown}), out, UserError, "humanevil")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    refuse(recipe, tmp_path / "full", RunFolderError, "holds notes.txt, and no rounds: choose an empty or new folder")
    (tmp_path / "file").write_text("")
    refuse(recipe, tmp_path / "file", RunFolderError, "choose another --out")


def test_another_definition_in_the_same_folder_is_refused(recipe: Recipe, two: Path) -> None:
    """Named with both values; settings that decide nothing may change."""
    with pytest.raises(RunFolderError, match=re.escape("writer was 'previous' and is 'base'")):
        go(recipe, two, 2, Design(writer="base", seeds=2))
    other = recipe.model_copy(update={"random_seed": 5})
    with pytest.raises(RunFolderError, match="random_seed was 0 and is 5: give that one again, or another --out"):
        go(other, two, 2, Design(seeds=2))
    go(recipe.model_copy(update={"flush_seconds": 3.0}), two, 2, Design(seeds=2))


def test_the_embedded_model_in_two_rounds_killed_in_between(tmp_path: Path) -> None:
    """The command, `kill -9` while round 2 writes, and the same command again: both rounds stand in the table."""
    words = ["rounds", "quickstart", "--rounds", "2", "-o", "out", "--no-stop"]
    for setting in (
        "seeds.limit=5",
        "responses.samples=4",
        "train.max_steps=2",
        "evaluate.limit=3",
        "flush_seconds=0.2",
    ):
        words += ["--set", setting]
    command = [sys.executable, "-m", "selfcodealign", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    begun = tmp_path / "out" / "round-2" / "run" / "run.json"
    assert wait_for(lambda: begun.exists() or process.poll() is not None, 600)
    assert process.poll() is None, process.communicate()[1]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = call(*words, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert "round 2 of 2: the model of round 1 writes the data" in done.stderr
    assert "round 1 of 2: the base model writes" not in done.stderr
    assert "round 2" in done.stdout
    assert (tmp_path / "out" / "rounds.md").is_file()
