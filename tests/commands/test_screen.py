"""`train` and `evaluate` on a terminal of 80 columns: life before the heavy imports, no noise of libraries."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.command_line import call
from tests.support.screen import Shown, show
from tests.support.tiny_model import make_model, make_rows, write_rows

COMMAND = [sys.executable, "-m", "selfcodealign"]


def check_quiet(shown: Shown) -> None:
    assert shown.code == 0, shown.screen.text()
    for frame in shown.frames:
        for noise in ("Warning", "warning", "%|", "deprecated", "it/s"):
            assert noise not in frame, frame


def test_train_shows_life_at_once(tmp_path: Path) -> None:
    """What it waits for is on the screen before torch is imported; bars and proof fit."""
    pytest.importorskip("trl")
    base, rows = make_model(tmp_path / "base"), write_rows(tmp_path / "rows.jsonl", make_rows(24))
    words = ["train", str(rows), "--model", str(base), "--out", "out", "--set", "batch=8", "--set", "max_steps=3"]
    shown = show([*COMMAND, *words], cwd=tmp_path)
    check_quiet(shown)
    assert "importing torch" in next(filter(None, shown.frames))
    assert any("loading" in frame for frame in shown.frames)
    assert "importing torch" not in shown.screen.text()
    assert "training: 3 steps, epoch 1.00" in shown.screen.text()


def test_evaluate_shows_life_at_once(tmp_path: Path) -> None:
    """The base model in the package meets three problems."""
    pytest.importorskip("torch")
    words = ["evaluate", "-b", "tiny-eval", "--model", "embedded", "-o", "out", "--limit", "3", "--max-tokens", "20"]
    shown = show([*COMMAND, *words], cwd=tmp_path)
    check_quiet(shown)
    assert "loading" in next(filter(None, shown.frames))
    assert "embedded: tiny-eval, asking: 3 answers" in shown.screen.text()


def test_evaluate_writes_no_warning_into_a_log(tmp_path: Path) -> None:
    """Without a terminal nothing is captured: the lines are those of this package alone."""
    pytest.importorskip("torch")
    words = ["-b", "tiny-eval", "--model", "embedded", "-o", "out", "--limit", "2", "--max-tokens", "8"]
    done = call("evaluate", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {line.partition(":")[0] for line in done.stderr.splitlines()} == {"loading the benchmarks …", "embedded"}
