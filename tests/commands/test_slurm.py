"""The script in examples/slurm, on stand-ins for Slurm's commands: local processes, the same files."""

from __future__ import annotations

import asyncio
from pathlib import Path

from selfcodealign import ScriptedModel, run_recipe
from selfcodealign.recipe import recipe_toml
from tests.support.faulty_server import refused_port
from tests.support.journey import small_recipe, write_sources
from tests.support.moody_server import MoodyServer, moody_answer
from tests.support.places import ROOT
from tests.support.runs import everything
from tests.support.slurm import Slurm

SCRIPT = ROOT / "examples" / "slurm" / "selfcodealign.sbatch"
SETTINGS = ("model.name=demo", "few_shot.file=tiny", "instructions.per_seed=2", "execution.mutation_testing=false")


def test_the_slurm_script_makes_the_run_of_one_process(tmp_path: Path) -> None:
    """Two rounds of two shards and a merge, and a third with nothing to do: the rows of a run by one process. The first
    time the server is down when the second round begins: its merge does not run, and the same line goes on."""
    recipe = small_recipe(write_sources(tmp_path / "source", 12), *SETTINGS)
    file, run = tmp_path / "night.toml", tmp_path / "run"
    file.write_text(recipe_toml(recipe))
    model = ScriptedModel(moody_answer, name="demo", revision="unknown")
    asyncio.run(run_recipe(recipe, tmp_path / "local", until="selection", model=model))
    words = [str(file), "-o", str(run), "--until", "selection", "--set", "model.concurrency=8", "--url"]
    options = {"SHARDS": "2", "ROUNDS": "3", "SHARD_OPTIONS": "--cpus-per-task=1"}

    down, up = Slurm(tmp_path / "down"), Slurm(tmp_path / "up")
    with refused_port() as closed:
        down.submit(SCRIPT, *words, f"http://127.0.0.1:{closed}/v1", **options | {"ROUNDS": "2"})
    assert down.ended() == [1, 2]  # the shards of the seeds, and their merge
    assert f"127.0.0.1:{closed}" in down.logs()["3-0"]
    with MoodyServer(0.0) as server:
        assert "round 3: shards 5, merge 6" in up.submit(SCRIPT, *words, server.urls[0], **options)
    assert up.ended() == [1, 2, 3, 4, 5, 6]
    assert "shard 1/2 of concepts, instructions and responses has ended" in up.logs()["1-1"]
    assert "nothing is left for shards" in up.logs()["5-0"]
    assert everything(run) == everything(tmp_path / "local")
