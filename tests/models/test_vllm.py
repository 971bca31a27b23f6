"""A vLLM server is started, monitored and always stopped; a stand-in program behaves like vLLM."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, Sampling, endpoints
from selfcodealign.models.vllm import ServedModel
from selfcodealign.models.vllm_process import list_arguments
from selfcodealign.settings import ModelSettings
from tests.support.places import ROOT
from tests.support.served import start_served
from tests.support.tiny_checkpoints import make_checkpoint

#: What a stand-in for `vllm` does: writes its arguments and process ids, starts an engine process, serves.
STAND_IN = """#!{python}
import json, os, subprocess, sys, threading, time
sys.path.insert(0, {root!r})
from tests.support.faulty_server import FaultyServer, answer
arguments = sys.argv[2:]
engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
note = {note!r}
open(note + ".new", "w").write(json.dumps(dict(arguments=sys.argv[1:], pids=[os.getpid(), engine.pid],
    key=os.environ.get("VLLM_API_KEY"))))
os.rename(note + ".new", note)
def die(handler, body):
    print("RuntimeError: Worker failed with error 'CPU Generator does not use offset'", flush=True)
    os._exit(1)
def start(port):
    server = FaultyServer(*([die] if "--die-later" in arguments else []), models=(arguments[0],), port=port)
    handler = server.RequestHandlerClass
    list_models = handler.do_GET
    def get(self):
        self.send_json({{}}) if self.path == "/health" else list_models(self)
    handler.do_GET = get
    server.serve_forever()
if "--die-early" in arguments:
    print("INFO loading\\nValueError: No supported config format found in " + arguments[0] + "\\nINFO bye", flush=True)
    sys.exit(3)
start(int(arguments[arguments.index("--port") + 1]))
"""


@pytest.fixture
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put the stand-in on the PATH; return the file that it writes; check that its processes end."""
    note = tmp_path / "note.json"
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "vllm"
    program.write_text(STAND_IN.format(python=sys.executable, root=str(ROOT), note=str(note)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("VLLM_API_KEY", "for-another-server")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(endpoints, "FIRST_PAUSE", 0.01)
    yield note
    monkeypatch.setattr("tempfile.tempdir", None)
    for pid in read_note(note)["pids"]:
        wait_until_gone(pid)


def read_note(note: Path) -> dict[str, Any]:
    return json.loads(note.read_text())


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    for _ in range(200):
        if not is_running(pid):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail(f"process {pid} is still running")


def open_served(*serve_args: str, name: str = "some/model") -> ServedModel:
    return ServedModel(ModelSettings(name=name, serve="vllm", serve_args=list(serve_args), retry_seconds=60.0))


def test_server_is_started_asked_and_stopped(note: Path):
    """The server gets the model and the arguments, answers, and ends with its engine and its log."""

    async def run() -> tuple[Completion, dict[str, str]]:
        async with open_served("--max-model-len", "2048") as model:
            assert all(map(is_running, read_note(note)["pids"]))
            return await model.complete("hello", Sampling(), seed=4), model.identity()

    completion, identity = asyncio.run(run())
    assert completion.text == "hello:4"
    told = read_note(note)
    assert told["arguments"][:2] == ["serve", "some/model"]
    assert told["arguments"][-2:] == ["--max-model-len", "2048"]
    assert told["key"] is None
    assert (identity["name"], identity["engine"], identity["serve_args"]) == (
        "some/model",
        "vllm",
        "--max-model-len 2048",
    )
    for pid in told["pids"]:
        wait_until_gone(pid)
    assert not list(note.parent.glob("*.log"))


def test_death_at_start_shows_the_cause(note: Path):
    """A server that ends while starting is detected at once; the error shows the cause and the log's path."""

    async def run() -> None:
        async with open_served("--die-early"):
            pass

    with pytest.raises(ModelError) as caught:
        asyncio.run(run())
    (log,) = note.parent.glob("*.log")
    assert str(caught.value) == (
        f"vLLM ended with code 3: ValueError: No supported config format found in some/model (log: {log})"
    )


def test_death_half_way_does_not_wait_for_retries(note: Path):
    """A dead private server cannot return: the run ends at once, with the cause and the fix."""

    async def run() -> None:
        async with open_served("--die-later") as model:
            await asyncio.gather(*(model.complete("p", Sampling(), seed=seed) for seed in range(5)))

    begun = time.monotonic()
    with pytest.raises(ModelError, match=r'does not use offset.*add "--no-enable-chunked-prefill" to model.serve_args'):
        asyncio.run(run())
    assert time.monotonic() - begun < 50  # retry_seconds is 60


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_server_is_left_behind(note: Path, how: signal.Signals):
    """Ctrl-C and kill -9 of our process end the server too (that its engine follows is the server's business)."""
    process = start_served()
    server, engine = read_note(note)["pids"]
    process.send_signal(how)
    process.wait(60)
    wait_until_gone(server)
    if how == signal.SIGKILL:
        os.kill(engine, signal.SIGKILL)


def test_arguments_follow_the_settings(tmp_path: Path):
    """dtype and revision are passed on, a folder is passed as a path, `serve_args` come last and win."""
    settings = ModelSettings(name="a/b", revision="abc", dtype="bfloat16", serve="vllm", serve_args=["--dtype", "half"])
    assert list_arguments(settings, 99) == [
        "a/b", "--host", "127.0.0.1", "--port", "99", "--uvicorn-log-level", "warning",
        "--enable-prompt-tokens-details", "--dtype", "bfloat16", "--revision", "abc", "--dtype", "half",
    ]  # fmt: skip
    assert list_arguments(ModelSettings(name=str(tmp_path), serve="vllm"), 1)[0] == str(tmp_path)
    for given in (
        "--enable-prompt-tokens-details",
        "--no-enable-prompt-tokens-details",
        "--enable_prompt_tokens_details",
    ):
        arguments = list_arguments(ModelSettings(name="a/b", serve="vllm", serve_args=[given]), 99)
        assert [one for one in arguments if "tokens" in one] == [given]
    with pytest.raises(ModelError, match="serve_args cannot set --port"):
        list_arguments(ModelSettings(name="a/b", serve="vllm", serve_args=["--port=1"]), 99)


@pytest.mark.slow
def test_real_vllm(tmp_path: Path):
    """A real vLLM serves a random checkpoint and answers each seed alike. Put its bin folder on the PATH."""
    if shutil.which("vllm") is None:
        pytest.skip("no vllm on the PATH")
    folder = make_checkpoint(tmp_path, hidden_size=128, max_position_embeddings=512, head_dim=32)

    async def run() -> list[Completion]:
        async with open_served("--no-enable-chunked-prefill", name=str(folder)) as model:
            sampling = Sampling(temperature=1.0, max_tokens=16)
            return await asyncio.gather(*(model.complete("def f", sampling, seed=seed % 4) for seed in range(8)))

    answers = asyncio.run(run())
    assert [answer.text for answer in answers[:4]] == [answer.text for answer in answers[4:]]
    assert len({answer.text for answer in answers}) == 4
