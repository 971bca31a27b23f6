"""Shards of one run as processes that a test may kill, and the run that all shards together must equal."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from selfcodealign import Completion, Sampling, ScriptedModel
from selfcodealign.pipeline import merge_shards, run_recipe, run_shard
from selfcodealign.run_folder.partition import Partition
from selfcodealign.settings import Recipe
from tests.support.journey import answer, judge_by_text, scripted_model, small_recipe
from tests.support.places import ROOT

#: Arguments: the folder of sources, the folder of the run, the shard, the answers that it gets.
_SHARD = """
import asyncio, sys
from pathlib import Path
from tests.support.shards import take
asyncio.run(take(*sys.argv[1:]))
"""


class _Silent(ScriptedModel):
    """Answers so many requests, and then none."""

    left = 0

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        self.left -= 1
        if self.left < 0:
            await asyncio.Event().wait()
        return await super().complete(prompt, sampling, seed=seed)


async def take(sources: str, run: str, shard: str, answers: str) -> None:
    """Take one shard without a sandbox; after so many answers of the model it only waits to be killed."""
    judge_by_text(pytest.MonkeyPatch())
    recipe = small_recipe(Path(sources), "flush_seconds=0.05")
    model = _Silent(answer, latency=0.01, concurrency=4)
    model.left = int(answers)
    await run_shard(recipe, run, Partition.parse(shard), until="dataset", model=model)


def start_shard(sources: Path, run: Path, shard: str, answers: int = 10_000) -> subprocess.Popen[bytes]:
    """Start a process that takes one shard; `answers` as in `take`."""
    command = [sys.executable, "-c", _SHARD, str(sources), str(run), shard, str(answers)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


async def run_in_shards(recipe: Recipe, run: Path, *counts: int) -> None:
    """Make a run in shards that work at once, flow by flow: as many in each flow as `counts` says, in turn."""
    numbers: Iterator[int] = iter(counts * 10)
    coming = "next"
    while coming:
        of = next(numbers)
        shards = (Partition(number, of) for number in range(of))
        await asyncio.gather(*(run_shard(recipe, run, one, until="dataset", model=scripted_model()) for one in shards))
        coming = await merge_shards(recipe, run, until="dataset", model=scripted_model())


async def run_locally(recipe: Recipe, run: Path) -> None:
    """Make a run by one process, up to the data set."""
    await run_recipe(recipe, run, until="dataset", model=scripted_model())


def asked(run: Path) -> dict[str, Any]:
    """What the model was asked, by stage, as run.json has it; how many answers begin ahead of a verdict is chance."""
    stages: dict[str, Any] = json.loads((run / "run.json").read_text())["asked"]
    return {name: stages[name] for name in ("concepts", "instructions")}


def rows_on_disk(run: Path, stage: str, writer: str = "*") -> int:
    """Rows of a stage that are committed, kept and dropped; by one writer or by all."""
    kept = list((run / stage).glob(f"kept-{writer}-*.parquet"))
    pairs = [*kept, *(path.with_name(path.name.replace("kept", "dropped", 1)) for path in kept)]
    return sum(pq.read_metadata(path).num_rows for path in pairs)
