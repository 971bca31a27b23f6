"""An ablation and a matrix on the embedded model, from the command line to the table."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfcodealign.errors import ExperimentError
from selfcodealign.experiments.ablation.arms import Edits, make_arms
from selfcodealign.experiments.ablation.experiment import Experiment, check_arms, refuse_other_files
from selfcodealign.experiments.ablation.sharing import plan_runs
from selfcodealign.experiments.ablation.vary import read_axes

SMALL = [
    *("--set", "seeds.limit=16"),
    *("--set", "responses.samples=4"),
    *("--set", "responses.stop_after_passes=0"),
    *("--set", "evaluate.limit=8"),
    *("--set", 'evaluate.base_modes=["chat"]'),
    *("--set", "train.epochs=1"),
]
COMMAND = ["ablate", "quickstart", "--vary", "selection.answers=[passed,random]", *SMALL]


def _start(out: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "selfcodealign", *words, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _carry_out(out: Path, *words: str) -> str:
    process = _start(out, *words)
    told, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return told + errors


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ablation of two arms and one seed, stopped by Ctrl-C in its first training and resumed by the same command."""
    out = tmp_path_factory.mktemp("experiment") / "ablation"
    process = _start(out, *COMMAND, "--seeds", "1")
    _wait_for(process, out, "tuned/*/training.json")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command resumes" in errors
    assert "Traceback" not in errors
    _carry_out(out, *COMMAND, "--seeds", "1")
    return out


def _wait_for(process: subprocess.Popen[str], out: Path, pattern: str) -> None:
    end = time.monotonic() + 300
    while not list(out.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def _table(out: Path) -> dict:
    return json.loads((out / "table.json").read_text())


def _asked(out: Path) -> list[int]:
    runs = sorted((out / "runs").iterdir())
    facts = [json.loads((run / "run.json").read_text()) for run in runs]
    return [sum(one["completion_tokens"] for one in told.get("asked", {}).values()) for told in facts]


def test_a_stopped_ablation_ends_in_one_table(ablation: Path) -> None:
    """Each arm has a line with as many rows as the other, one model per seed and a score for every task."""
    lines = {line["name"]: line for line in _table(ablation)["lines"]}
    assert list(lines) == ["base (chat)", "selection.answers=passed", "selection.answers=random"]
    arms = [lines["selection.answers=passed"], lines["selection.answers=random"]]
    assert arms[0]["rows"] == arms[1]["rows"] > 0
    assert arms[0]["facts"]["rows that passed"] == "100%"
    assert (ablation / "index.html").is_file()
    assert (ablation / "table.md").is_file()


def test_two_answer_policies_cost_the_generation_of_one(ablation: Path) -> None:
    """One run has asked the model; the other began with its answers."""
    first, second = _asked(ablation)
    assert first > 0
    assert second == 0


def test_more_seeds_add_to_what_is_there(ablation: Path, tmp_path: Path) -> None:
    """With a second seed, the models of the first are not tuned or asked again."""
    out = shutil.copytree(ablation, tmp_path / "more", symlinks=True)
    before = {path: path.stat().st_mtime_ns for path in out.glob("tuned/*/train_report.json")}
    told = _carry_out(out, *COMMAND, "--seeds", "2")
    after = {path: path.stat().st_mtime_ns for path in out.glob("tuned/*/train_report.json")}
    assert len(before) == 2
    assert len(after) == 4
    assert before.items() <= after.items()
    assert "seed 1" in told
    scores = [line["scores"]["tiny-eval"] for line in _table(out)["lines"]]
    assert [len(seeds) for seeds in scores] == [1, 2, 2]


def test_a_finished_ablation_does_nothing_again(ablation: Path, tmp_path: Path) -> None:
    """The same command takes everything from disk, also where the weights have been discarded."""
    out = shutil.copytree(ablation, tmp_path / "again", symlinks=True)
    for weights in out.glob("tuned/*/*.safetensors"):
        weights.unlink()
    before = _table(out)
    _carry_out(out, *COMMAND, "--seeds", "1")
    assert _table(out) == before
    assert not list(out.glob("tuned/*/*.safetensors"))


def test_a_matrix_generates_once_for_each_generator(tmp_path: Path) -> None:
    """One generator and two students are one run; a student with the generator's weights learns from its own data."""
    other = shutil.copytree(Path(__file__).parents[2] / "selfcodealign" / "embedded", tmp_path / "other")
    out = tmp_path / "matrix"
    words = ["matrix", "quickstart", "--generators", "embedded", "--students", f"embedded,{other}", *SMALL]
    _carry_out(out, *words, "--seeds", "1", "--discard")
    assert len(list((out / "runs").iterdir())) == 1
    lines = _table(out)["lines"]
    assert [line["name"] for line in lines][-2:] == ["embedded by itself", f"{other} by embedded"]
    rates = {
        json.loads(path.read_text())["model"]: json.loads(path.read_text())["settings"]["learning_rate"]
        for path in out.glob("tuned/*/train_report.json")
    }
    assert rates == {"embedded": 5e-4, str(other): 5e-4}
    assert [line["facts"]["learning rate"] for line in lines[-2:]] == ["0.0005", "0.0005"]
    assert not list(out.glob("tuned/*/*.safetensors"))


def test_a_dry_run_names_the_runs_and_writes_nothing(tmp_path: Path) -> None:
    """It says which stages a run begins with."""
    told = _carry_out(tmp_path / "none", *COMMAND, "--dry-run")
    assert "2 arms, 2 runs, at most 10 models to tune and score" in told
    assert "begins with seeds, decontamination" in told.replace("\n", " ")
    assert not (tmp_path / "none").exists()


async def test_arms_that_cannot_run_are_named_before_any_work(tmp_path: Path) -> None:
    """An early stop and failing answers do not go together: the arm is named with the fix, and nothing is written."""
    arms = make_arms(Edits(recipe="quickstart"), read_axes(["selection.answers=[passed,failed]"]))
    with pytest.raises(ExperimentError) as caught:
        await check_arms(arms, plan_runs(arms, tmp_path / "new" / "runs"))
    assert "selection.answers=failed: " in str(caught.value)
    assert "set responses.stop_after_passes = 0" in str(caught.value)
    assert not (tmp_path / "new").exists()


async def test_a_student_that_cannot_be_tuned_is_refused(tmp_path: Path) -> None:
    """A folder without weights is named, in one line for all arms."""
    (tmp_path / "empty").mkdir()
    edits = Edits(recipe="quickstart", settings=[f"train.model={tmp_path / 'empty'}"])
    arms = make_arms(edits, read_axes(["train.epochs=[1,2]"]))
    with pytest.raises(ExperimentError) as caught:
        await check_arms(arms, plan_runs(arms, tmp_path / "new" / "runs"))
    assert str(tmp_path / "empty") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_something_else_is_refused(ablation: Path, tmp_path: Path) -> None:
    """Files that are no experiment, and another experiment: nothing is written beside them."""
    (tmp_path / "letter.txt").write_text("mine")
    arms = make_arms(Edits(recipe="quickstart"), read_axes(["train.epochs=[1,2]"]))
    experiment = Experiment(title="quickstart: train.epochs", arms=arms)
    with pytest.raises(ExperimentError, match="holds files that are no experiment"):
        refuse_other_files(experiment, tmp_path)
    with pytest.raises(ExperimentError, match=r"holds another experiment .*quickstart: selection\.answers"):
        refuse_other_files(experiment, ablation)
    refuse_other_files(experiment, tmp_path / "new")


def test_an_arm_before_the_others_begins_with_their_stages(ablation: Path, tmp_path: Path) -> None:
    """A value that is added in front of the list is no reason to ask the model again."""
    out = shutil.copytree(ablation, tmp_path / "more", symlinks=True)
    words = [word.replace("[passed,random]", "[passed_else_any,passed,random]") for word in COMMAND]
    _carry_out(out, *words, "--seeds", "1")
    assert sorted(_asked(out))[:2] == [0, 0]
    assert len(_table(out)["lines"]) == 4
