"""A small whole journey on the embedded model: real seeds, completions and verdicts, training and scores."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from selfcodealign import Program, Sandbox
from tests.support.command_line import call
from tests.support.places import ROOT
from tests.support.runs import books, rows_of

SMALL = (
    "--limit=40",
    "--set=instructions.per_seed=1",
    "--set=responses.samples=6",
    "--set=train.epochs=1",
    "--set=evaluate.limit=12",
)


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """`selfcodealign run quickstart`, a tenth of it, once for all tests of this file."""
    run = tmp_path_factory.mktemp("quickstart") / "run"
    done = call("run", "quickstart", "--out", str(run), *SMALL)
    assert done.returncode == 0, done.stderr
    return run, done


def test_it_takes_real_functions_of_the_standard_library(quickstart: tuple[Path, Any]) -> None:
    """Seeds name their interpreter, file, line and licence."""
    seeds = rows_of(quickstart[0], "near_dedup")
    assert len(seeds) == 40
    for seed in seeds:
        assert seed["origin"].startswith("CPython ")
        assert seed["source_path"].endswith(".py")
        assert seed["licence"]
        assert re.search(rf"def {seed['function']}\s*\(", seed["seed"])


async def test_what_it_calls_verified_is_verified(quickstart: tuple[Path, Any]) -> None:
    """Every example passes again in a fresh sandbox, and every sample is accounted for."""
    rows = pq.read_table(quickstart[0] / "dataset" / "data").to_pylist()
    assert rows
    async with Sandbox(workers=2, warm=()) as sandbox:
        for row in rows:
            assert (await sandbox.run(Program(response=row["response"], tests=row["tests"]))).passed
    entered, kept, dropped = books(quickstart[0])["responses"]
    drawn = kept + sum(dropped.values())
    assert entered <= drawn <= entered * 6
    assert books(quickstart[0])["selection"][0] == kept


def test_it_ends_with_a_tuned_model_and_a_table(quickstart: tuple[Path, Any]) -> None:
    """Base in chat, base few-shot, tuned; each with its interval; the run prints the paths."""
    run, done = quickstart
    assert (run / "tuned" / "model.safetensors").is_file()
    assert (run / "tuned" / "train_report.html").is_file()
    scores = json.loads((run / "evaluation" / "scores.json").read_text())["scores"]
    assert [score["label"] for score in scores] == ["base (chat)", "base (one example)", "tuned"]
    for label in ("base (chat)", "base (one example)", "tuned", "tiny-eval"):
        assert label in done.stdout
    assert f"data set: {run / 'dataset'}" in done.stdout


def test_a_second_run_does_nothing_again(quickstart: tuple[Path, Any]) -> None:
    """No model is loaded, nothing is executed, trained or scored."""
    run, _ = quickstart
    before = {path: path.stat().st_mtime_ns for path in (run / "responses").glob("*.parquet")}
    tuned = (run / "tuned" / "model.safetensors").stat().st_mtime_ns
    done = call("run", "--out", str(run))
    assert done.returncode == 0, done.stderr
    assert "evaluate: finished; evaluation/ stays" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in (run / "responses").glob("*.parquet")} == before
    assert (run / "tuned" / "model.safetensors").stat().st_mtime_ns == tuned


def test_the_example_follows_one_row() -> None:
    """examples/one_row.py runs, on the real model, up to the sandbox' verdicts."""
    script = ROOT / "examples" / "one_row.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "=== 2. Seed → concepts ===" in done.stdout
    assert "==> " in done.stdout or "the model wrote no instruction" in done.stdout
