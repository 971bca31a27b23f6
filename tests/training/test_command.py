"""`selfcodealign train` and `export` on the command line."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from selfcodealign.cli import app
from selfcodealign.errors import RecipeError, TrainingError
from selfcodealign.progress.terminal import Lines, Live
from selfcodealign.recipe import load_recipe
from selfcodealign.training import Note, Proof, Step
from selfcodealign.training.display import TrainDisplay
from selfcodealign.training.masking import Piece
from tests.support.command_line import call
from tests.support.tiny_model import write_rows
from tests.support.told import Told

PROOF = Proof([4], [[Piece("ask\n", False, 2), Piece("answer<|end|>", True, 3)]])


def step(number: int, of: int = 3) -> Step:
    return Step(number, of, number / of, 2.0, 1e-5, 1.0, 1234.0, 800.0, 3661.0)


def test_train_shows_rows_proof_steps_and_where_the_model_is(tiny_base: Path, dataset: Path, tmp_path: Path):
    """Progress on stderr without the libraries' noise, the result on stdout, settings with and without a prefix."""
    arguments = [str(dataset), "--model", str(tiny_base), "--out", str(tmp_path / "out")]
    arguments += ["--set", "epochs=1", "--set", "train.batch=8", "--set", "device=cpu", "--set", "max_steps=2"]
    command = [sys.executable, "-m", "selfcodealign", "train", *arguments]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=one_thread)
    assert done.stdout.startswith("2 steps on 24 rows, loss ")
    assert f"model: {tmp_path / 'out'}" in done.stdout
    lines = done.stderr.splitlines()
    assert lines[:2] == ["importing torch, transformers and trl …", f"loading {tiny_base} …"]
    assert lines[2].startswith("24 rows, ")
    assert "»```python" in done.stderr
    assert "training: 2 steps to go through" in lines
    assert lines[-1].startswith("training: 2 steps, epoch 0.67, loss ")
    for noise in ("Warning", "warning", "%|", "{'"):
        assert noise not in done.stderr


def test_a_hub_that_cannot_be_reached_is_asked_once(dataset: Path, tmp_path: Path):
    """One line that says what is waited for, one error; no retries of half a minute."""
    words = ["train", str(dataset), "-m", "nobody/no-such-model", "-o", str(tmp_path / "out"), "--set", "device=cpu"]
    done = call(*words, env={"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)})
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:2] == ["asking the hub for nobody/no-such-model …"]
    assert done.stderr.count("the hub cannot be reached") == 1
    assert "Retry" not in done.stderr


def test_unknown_settings_are_refused_with_what_was_meant():
    """`--set` of train knows the settings of [train]."""
    result = CliRunner().invoke(app, ["train", "x.jsonl", "--set", "learnig_rate=1"])
    assert isinstance(result.exception, RecipeError)
    assert 'did you mean "learning_rate"?' in str(result.exception)


def test_recipe_gives_the_settings_and_set_wins():
    """The section [train] of a recipe is used; --set overrides it."""
    result = CliRunner().invoke(app, ["train", "x", "--recipe", "quickstart", "--set", "epochs=9", "--list-settings"])
    lines = {line.split()[0]: line.split()[2] for line in result.output.splitlines() if line.startswith("train.")}
    assert float(lines["train.learning_rate"]) == load_recipe("quickstart").train.learning_rate != 1e-5
    assert lines["train.epochs"] == "9"


@pytest.mark.parametrize("terminal", [True, False])
def test_proof_marks_the_tokens_with_loss(terminal: bool):
    """In colour on a terminal, between » and « elsewhere, with the token counts of both kinds."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=80)
    with Live(console) if terminal else Lines(console) as progress:
        TrainDisplay(progress)(PROOF)
    text = written.getvalue()
    assert "row 4: 3 tokens with loss, 2 without" in text
    if terminal:
        assert re.search(r"\x1b\[[0-9;]+manswer<\|end\|>", text)
        assert not re.search(r"\x1b\[[0-9;]+mask", text)
    else:
        assert "»answer<|end|>«" in text


def test_steps_of_a_resumed_training_become_one_task():
    """It resumes at the third of four steps; earlier steps are skipped, and the last step ends the task."""
    told = Told()
    display = TrainDisplay(told)
    for number in (3, 4):
        display(step(number, 4))
    assert told.calls == [
        ("start", "training", 4, "steps"),
        ("skip", "training", 3),
        ("advance", "training", 0, 0, [], "epoch 0.75, loss 2.0000, 1,234 tokens/s"),
        ("advance", "training", 1, 0, [], "epoch 1.00, loss 2.0000, 1,234 tokens/s"),
        ("finish", "training", "4 steps, epoch 1.00, loss 2.0000, 1,234 tokens/s"),
    ]


def test_a_training_in_a_log():
    """Three quick steps: the notes, a line at the beginning and a line at the end."""
    written = io.StringIO()
    with Lines(Console(file=written, width=80)) as lines:
        display = TrainDisplay(lines)
        display(Note("a [note]"))
        for number in (1, 2, 3):
            display(step(number))
    assert written.getvalue().splitlines() == [
        "a [note]",
        "training: 3 steps to go through",
        "training: 3 steps, epoch 1.00, loss 2.0000, 1,234 tokens/s (0:00)",
    ]


def test_the_settings_of_the_method_are_listed_and_set():
    """`--set` goes to the section of the method, and `--list-settings` lists that section alone."""
    words = ["train", "x", "--method", "grpo", "--set", "steps=7", "--set", "execution.seconds=2", "--list-settings"]
    lines = CliRunner().invoke(app, words).output.splitlines()
    assert any(re.match(r"grpo\.steps = 7 +# optimizer steps", line) for line in lines)
    assert all(line.startswith("grpo.") for line in lines)
    wrong = CliRunner().invoke(app, ["train", "x", "--method", "dpo", "--set", "beat=1"])
    assert 'unknown setting "dpo.beat"; did you mean "beta"?' in str(wrong.exception)


@pytest.mark.parametrize("method", ["dpo", "grpo"])
def test_a_further_training_needs_a_tuned_model(tmp_path: Path, method: str):
    """A run folder has one, or --model names one; the error says so in one line."""
    for dataset, what in ((tmp_path, "has no tuned model"), (tmp_path / "p.jsonl", "is no run folder with a tuned")):
        result = CliRunner().invoke(app, ["train", str(dataset), "--method", method])
        assert isinstance(result.exception, TrainingError)
        assert what in str(result.exception)
        assert "name it with --model" in str(result.exception)


def test_pairs_are_trained_on_by_command(tiny_base: Path, tmp_path: Path):
    """The model that it begins with, the marked pairs, and in the end the margin and where the model is."""
    pair = {"prompt": "Write a function.", "chosen": "def f(): return 1", "rejected": "def f(): pass"}
    pairs = write_rows(tmp_path / "pairs.jsonl", [pair])
    words = ["train", str(pairs), "--method", "dpo", "-m", str(tiny_base), "-o", str(tmp_path / "out")]
    words += ["--set", "max_steps=2", "--set", "batch=1", "--set", "device=cpu", "--set", "dpo.precision=float32"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert f"dpo begins with the model {tiny_base}" in result.stderr
    assert "pair 0, rejected: " in result.stderr
    assert re.match(r"2 steps on 1 pairs, loss 0\.69\d\d → \d\.\d+, margin -?0\.0000 → \d\.\d+, ", result.stdout)
    assert f"model: {tmp_path / 'out'}" in result.stdout
