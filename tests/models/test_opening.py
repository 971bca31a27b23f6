"""Settings choose the engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from selfcodealign.errors import MissingExtra, ModelError
from selfcodealign.models import vllm_process
from selfcodealign.models.local import LocalModel
from selfcodealign.models.opening import open_model
from selfcodealign.models.server import ServerModel
from selfcodealign.models.vllm import ServedModel
from selfcodealign.settings import ModelSettings
from tests.support.command_line import call
from tests.support.journey import write_sources


def test_urls_mean_servers():
    """Named servers are used, with the concurrency from the settings."""
    model = open_model(ModelSettings(name="x", urls=["localhost:1", "http://localhost:1/v1"], concurrency=7))
    assert isinstance(model, ServerModel)
    assert model.concurrency == 7


def test_serve_means_a_server_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """vLLM is searched for when the model is opened, before any other work."""
    (tmp_path / "vllm").write_text("#!/bin/sh\n")
    (tmp_path / "vllm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert isinstance(open_model(ModelSettings(name="x", serve="vllm")), ServedModel)


def test_serve_without_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without vLLM the message says how to install it and where it is searched for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(vllm_process, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"^model.serve = \"vllm\" needs .*pip install .*\[vllm\]'.*; or .*PATH$"):
        open_model(ModelSettings(name="x", serve="vllm"))


def test_otherwise_a_local_checkpoint():
    """The default is the embedded model, with more concurrent calls than slots."""
    pytest.importorskip("transformers")
    model = open_model(ModelSettings(batch_size=8))
    assert isinstance(model, LocalModel)
    assert model.concurrency > 8


def test_bad_address_is_refused_when_opened():
    """A wrong address is refused before any work."""
    with pytest.raises(ModelError, match="is no server address"):
        open_model(ModelSettings(name="x", urls=["ftp://host"]))


def test_opening_imports_nothing_heavy():
    """Choosing an engine loads neither torch nor transformers nor an HTTP library."""
    code = (
        "import sys; from selfcodealign.models.opening import open_model; "
        "from selfcodealign.settings import ModelSettings; "
        "open_model(ModelSettings(name='x', urls=['localhost:1'])); open_model(ModelSettings()); "
        "print([name for name in ('torch', 'transformers', 'httpx', 'aiohttp', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_hub_that_cannot_be_reached_is_asked_once(tmp_path: Path) -> None:
    """One line that says what is waited for, one error; no retries of half a minute."""
    words = ["run", "quickstart", "-o", str(tmp_path / "run"), "-m", "nobody/no-such-model"]
    words += ["--source", str(write_sources(tmp_path / "source", 2))]
    done = call(*words, env={"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)})
    assert done.returncode == 2
    assert "asking the hub for nobody/no-such-model" in done.stderr
    assert done.stderr.count("the hub cannot be reached") == 1
    assert "Retry" not in done.stderr
