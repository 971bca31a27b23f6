"""`selfcodealign run` against a real server, stopped in the middle: what each end leaves, and that it is resumed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfcodealign import ScriptedModel, run_recipe
from selfcodealign.recipe import recipe_toml
from tests.support.command_line import call
from tests.support.journey import small_recipe, write_sources
from tests.support.moody_server import MoodyServer, moody_answer
from tests.support.places import ROOT
from tests.support.processes import wait_for
from tests.support.runs import everything, rows_of

#: Exit codes of a clean end, as a shell and a batch system know them.
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SETTINGS = ("model.name=demo", "few_shot.file=tiny", "instructions.per_seed=2", "execution.mutation_testing=false")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe file of thirty seeds, and beside it `whole`, its run without an interruption."""
    folder = tmp_path_factory.mktemp("interrupted")
    small = small_recipe(write_sources(folder / "source", 30), *SETTINGS)
    (folder / "night.toml").write_text(recipe_toml(small))
    model = ScriptedModel(moody_answer, name="demo", revision="unknown")
    asyncio.run(run_recipe(small, folder / "whole", until="selection", model=model))
    return folder / "night.toml"


@pytest.fixture
def server() -> Iterator[MoodyServer]:
    with MoodyServer(0.0, latency=0.1) as running:
        yield running


def words(recipe: Path, run: Path, urls: list[str], *settings: str) -> list[str]:
    found = ["run", str(recipe), "-o", str(run), "--until", "selection", "--set", "model.concurrency=8"]
    for url in urls:
        found += ["--url", url]
    for setting in settings:
        found += ["--set", setting]
    return found


def start(*command: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    # Tests may run under nohup, which a run obeys.
    whole = ["env", "--default-signal=HUP", sys.executable, "-m", "selfcodealign", *command]
    return subprocess.Popen(whole, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def wait_for_rows(run: Path, process: subprocess.Popen[str]) -> None:
    """Wait until some answers are rows on disk while others are under way."""
    assert wait_for(lambda: bool(list((run / "instructions").glob("kept-*"))) or process.poll() is not None, 120)
    assert process.poll() is None, process.communicate()[1]


@pytest.mark.parametrize("whole_group", [False, True])
@pytest.mark.parametrize("number", CODES)
def test_a_signal_stops_a_run_in_one_line(
    number: signal.Signals, whole_group: bool, recipe: Path, server: MoodyServer, tmp_path: Path
) -> None:
    """Finished rows are on disk, the exit code names the signal, and the same command goes on, with what was answered.
    A batch system and a terminal signal all processes of the run, other senders the first alone."""
    command = words(recipe, tmp_path / "run", server.urls[:1], "flush_seconds=60")
    process = start(*command)
    assert wait_for(lambda: server.look()[1] >= 60 or process.poll() is not None, 120)
    (os.killpg if whole_group else os.kill)(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == CODES[number], said
    assert "stopped; all finished rows are on disk, and the same command resumes\n" in said
    assert number == signal.SIGINT or said.endswith(f"\nstopped by {number.name}\n")
    assert "Traceback" not in said
    assert rows_of(tmp_path / "run", "concepts")  # none was written by the clock
    done = call(*command)
    assert done.returncode == 0, done.stderr
    assert "stopped" not in done.stderr
    assert everything(tmp_path / "run") == everything(recipe.parent / "whole")


@pytest.mark.parametrize("settings", [[], ["model.api=chat"], ["model.group=1"]])
def test_a_killed_run_ends_with_the_same_rows(
    settings: list[str], recipe: Path, server: MoodyServer, tmp_path: Path
) -> None:
    """kill -9 of all processes: the same command gives the rows of an undisturbed run."""
    command = words(recipe, tmp_path / "run", server.urls[:1], *settings)
    process = start(*command)
    wait_for_rows(tmp_path / "run", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert call(*command).returncode == 0
    assert everything(tmp_path / "run") == everything(recipe.parent / "whole")


def test_without_seeds_finished_rows_stay(recipe: Path, server: MoodyServer, tmp_path: Path) -> None:
    """A server that is told no seed answers otherwise each time: rows on disk are not made again."""
    command = words(recipe, tmp_path / "run", server.urls[:1], "model.seeds=false", "model.group=1")
    process = start(*command)
    wait_for_rows(tmp_path / "run", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    stages = ("concepts", "instructions", "responses")
    before = {(stage, kind): rows_of(tmp_path / "run", stage, kind) for stage in stages for kind in ("kept", "dropped")}
    assert before["instructions", "kept"]
    assert call(*command).returncode == 0
    for (stage, kind), rows in before.items():
        after = rows_of(tmp_path / "run", stage, kind)
        assert all(row in after for row in rows)
    assert len(rows_of(tmp_path / "run", "concepts")) == 30
    assert len(rows_of(tmp_path / "run", "instructions")) == 60


def test_a_server_that_dies_leaves_its_work_to_the_other(recipe: Path, server: MoodyServer, tmp_path: Path) -> None:
    """The run is told in one line, ends well, and its rows are those of one server."""
    with MoodyServer(0.0, latency=0.1) as other:
        process = start(*words(recipe, tmp_path / "run", [server.urls[0], other.urls[0]]))
        wait_for_rows(tmp_path / "run", process)
        assert other.look()[1] > 0
        other.die()
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert sum(other.urls[0].removesuffix("/v1") in line for line in said.splitlines()) == 1
    assert everything(tmp_path / "run") == everything(recipe.parent / "whole")
