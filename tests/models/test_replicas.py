"""Several vLLM servers for one run: GPUs are shared out, one that dies comes back, all end; a stand-in is vLLM."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models import Sampling, endpoints, vllm
from selfcodealign.models.gpus import Gpus, count_replicas, find_gpus
from selfcodealign.models.vllm import ServedModel
from selfcodealign.settings import ModelSettings
from tests.support.places import ROOT
from tests.support.processes import wait_for
from tests.support.served import start_served

#: A stand-in for `vllm`: notes its process and its GPUs in a file by port, dies at start where a file says so, serves.
STAND_IN = """#!{python}
import json, os, sys
sys.path.insert(0, {root!r})
from tests.support.faulty_server import FaultyServer
port = int(sys.argv[sys.argv.index("--port") + 1])
note = {notes!r} + "/" + str(port) + ".json"
open(note + ".new", "w").write(json.dumps(dict(pid=os.getpid(), gpus=os.environ.get("CUDA_VISIBLE_DEVICES"))))
os.rename(note + ".new", note)
if os.path.exists({notes!r} + "/die"):
    sys.exit("RuntimeError: no memory")
server = FaultyServer(models=(sys.argv[2],), port=port)
handler = server.RequestHandlerClass
list_models = handler.do_GET
handler.do_GET = lambda self: self.send_json({{}}) if self.path == "/health" else list_models(self)
server.serve_forever()
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The stand-in on the PATH, four GPUs; the folder of its notes. Its processes must have ended in the end."""
    (tmp_path / "bin").mkdir()
    (notes := tmp_path / "notes").mkdir()
    program = tmp_path / "bin" / "vllm"
    program.write_text(STAND_IN.format(python=sys.executable, root=str(ROOT), notes=str(notes)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(endpoints, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(vllm, "RESTART_PAUSES", (0.01, 0.01))
    yield notes
    monkeypatch.setattr("tempfile.tempdir", None)
    wait_for(lambda: not any(is_running(note["pid"]) for note in read_notes(notes)))


def read_notes(notes: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(notes.glob("*.json"))]


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def open_served(*serve_args: str, **values: Any) -> ServedModel:
    given = {"name": "some/model", "serve": "vllm", "serve_args": list(serve_args), "retry_seconds": 60.0, **values}
    return ServedModel(ModelSettings.model_validate(given))


async def ask(model: ServedModel, seeds: range) -> list[str]:
    answers = await asyncio.gather(*(model.complete("p", Sampling(), seed=seed) for seed in seeds))
    return [answer.text for answer in answers]


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def test_the_gpus_are_shared_out(notes: Path):
    """Two GPUs for each server by its arguments: two servers, each with a port and GPUs that no other has."""

    async def run() -> dict[str, str]:
        async with open_served("--tensor-parallel-size", "2") as model:
            assert await ask(model, range(20)) == [f"p:{seed}" for seed in range(20)]
            return model.identity()

    assert asyncio.run(run())["replicas"] == "2"
    assert sorted(note["gpus"] for note in read_notes(notes)) == ["0,1", "2,3"]
    assert not list(notes.parent.glob("*.log"))


def test_one_that_dies_is_started_again(notes: Path, caplog: pytest.LogCaptureFixture):
    """The others answer meanwhile; the cause is said, and that it is back."""

    async def run() -> None:
        async with open_served(replicas=2) as model:
            first = read_notes(notes)[0]["pid"]
            os.kill(first, signal.SIGKILL)
            assert await ask(model, range(20)) == [f"p:{seed}" for seed in range(20)]
            await until(lambda: any("answers again" in line for line in caplog.messages))
            assert read_notes(notes)[0]["pid"] != first

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert any("vLLM ended by signal SIGKILL" in line and "it starts again in" in line for line in caplog.messages)


def test_one_that_dies_again_and_again_is_left_out(notes: Path, caplog: pytest.LogCaptureFixture):
    """The run goes on with the others, and ends when none is left."""

    async def run() -> None:
        async with open_served(replicas=2) as model:
            (notes / "die").touch()
            one, other = read_notes(notes)
            os.kill(one["pid"], signal.SIGKILL)
            await until(lambda: any("it is left out" in line for line in caplog.messages))
            assert await ask(model, range(3)) == ["p:0", "p:1", "p:2"]
            os.kill(other["pid"], signal.SIGKILL)
            with pytest.raises(ModelError, match="vLLM ended"):
                await ask(model, range(3))

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert any("RuntimeError: no memory" in line for line in caplog.messages)


def test_a_death_at_start_ends_the_run(notes: Path):
    """What is wrong with one is wrong with all: the error has the cause."""
    (notes / "die").touch()

    async def run() -> None:
        async with open_served(replicas=2):
            pass

    with pytest.raises(ModelError, match="vLLM ended with code 1: RuntimeError: no memory"):
        asyncio.run(run())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_none_is_left_behind(notes: Path, how: signal.Signals):
    """Ctrl-C and kill -9 of our process end all servers."""
    process = start_served(replicas=3)
    pids = [note["pid"] for note in read_notes(notes)]
    assert len(pids) == 3
    process.send_signal(how)
    process.wait(60)
    wait_for(lambda: not any(map(is_running, pids)))


def test_how_many_servers():
    """All GPUs are used; without GPUs there is one server, or as many as are asked for."""
    four, none = Gpus("CUDA_VISIBLE_DEVICES", ("0", "1", "2", "3")), Gpus("CUDA_VISIBLE_DEVICES", ())
    assert count_replicas(None, [], four) == (4, 1)
    assert count_replicas(None, ["-tp=2", "--pipeline_parallel_size", "2"], four) == (1, 4)
    assert count_replicas(None, ["--tensor-parallel-size", "8"], four) == (1, 8)
    assert count_replicas(None, ["-dp", "3"], four) == (1, 3)
    assert count_replicas(3, [], none) == (3, 1)
    assert none.share(3, 1) == [{}, {}, {}]
    assert four.share(1, 4) == [{}]
    with pytest.raises(ModelError, match=r"needs 6 GPUs \(2 each, by model.serve_args\)"):
        count_replicas(3, ["-tp", "2"], four)
    with pytest.raises(ModelError, match='takes a number of at least 1, not "two"'):
        count_replicas(None, ["-tp", "two"], four)


def test_gpus_are_counted_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From the environment, else from nvidia-smi."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-89ab,-1,5")
    assert find_gpus().names == ("2", "GPU-89ab")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_gpus().names == ()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0,1")
    assert find_gpus() == Gpus("HIP_VISIBLE_DEVICES", ("0", "1"))
    monkeypatch.delenv("HIP_VISIBLE_DEVICES")
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA H100 (UUID: GPU-2)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_gpus() == Gpus("CUDA_VISIBLE_DEVICES", ("0", "1"))
