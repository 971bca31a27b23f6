"""A finished run with a data set and a tuned model, and the push command beside a stand-in of the hub."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import run_recipe
from selfcodealign.rows import digest
from selfcodealign.training.events import Proof, TrainResult
from selfcodealign.training.masking import Piece
from selfcodealign.training.report import write_report
from tests.support.hub_server import TOKEN, HubServer
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.tiny_model import make_model


def make_run(folder: Path) -> Path:
    """A run up to its data set, with the stage that trains still to come."""
    sources = write_sources(folder / "sources", 6)
    with pytest.MonkeyPatch.context() as patch:
        judge_by_text(patch)
        recipe = small_recipe(sources)
        asyncio.run(run_recipe(recipe, folder / "run", model=scripted_model()))
    return folder / "run"


def add_model(run: Path, base: str = "owner/base", *, scored: bool = True) -> Path:
    """Put a tuned model into a run, with its report and, unless told otherwise, the scores that it was given."""
    out = make_model(run / "tuned")
    losses = [2.0, 1.0]
    steps = [
        {"step": place + 1, "loss": loss, "learning_rate": 1e-5, "grad_norm": 1.0, "tokens_per_second": 10.0}
        for place, loss in enumerate(losses)
    ]
    result = TrainResult(out, 2, 2, {}, 100, 50, 2.0, 1.0, 3.0, 10.0, 5.0, out / "train_report.html", losses)
    about = {"model": base, "dataset": str(run), "settings": {"batch": 2}, "written_by": [base], "versions": {"x": "1"}}
    split = {"micro_batch": 1, "accumulation": 2, "processes": 1}
    write_report(out, result, steps, Proof([4], [[Piece("a", True, 1)]]), about | {"split": split, "method": "sft"})
    trained = {"decided_by": {"train.epochs": 3}, "made_from": {}}
    made = {"the tuned model": digest(json.dumps(trained, sort_keys=True)) if scored else "of earlier weights"}
    facts = json.loads((run / "run.json").read_text("utf-8"))
    facts["last_stages"] = {"train": trained, "evaluate": {"decided_by": {}, "made_from": made}}
    (run / "run.json").write_text(json.dumps(facts))
    (run / "evaluation").mkdir(exist_ok=True)
    told = {"scores": [_score("base (chat)", 0.125), _score("tuned", 0.9)], "comparisons": [_comparison()], "notes": []}
    (run / "evaluation" / "scores.json").write_text(json.dumps(told))
    return out


def _score(label: str, mean: float) -> dict[str, Any]:
    interval = {"mean": mean, "low": mean - 0.04, "high": mean + 0.04, "method": "bootstrap"}
    about = {"benchmark": "humaneval+", "mode": "chat", "k": 1, "tasks": 164, "samples": 1, "not_judged": 0}
    return {"label": label, "interval": interval, "version": "v0.1.10", **about}


def _comparison() -> dict[str, Any]:
    sentence = "tuned is 77.5 points above base (chat) on humaneval+ (164 tasks, p < 0.001 by an exact test)."
    return {"first": "base (chat)", "second": "tuned", "sentence": sentence}


def environment(server: HubServer, home: Path, **more: str) -> dict[str, str]:
    """That of a process whose hub is the stand-in; nothing of the user's own set-up is in it."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    hub = {"HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    return own | hub | {"HF_HUB_DISABLE_TELEMETRY": "1", "COLUMNS": "200"} | more


def push(server: HubServer, home: Path, *words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Call `selfcodealign push` in a process of its own."""
    command = [sys.executable, "-m", "selfcodealign", "push", *map(str, words)]
    env = environment(server, home, **more)
    return subprocess.run(command, capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL, check=False)
