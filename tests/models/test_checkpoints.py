"""A checkpoint that cannot be loaded gives one line with the fix."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from selfcodealign.errors import MissingExtra, ModelError  # noqa: E402
from selfcodealign.models import local  # noqa: E402
from selfcodealign.models.local import LocalModel  # noqa: E402
from selfcodealign.models.revisions import digest_folder, find_commit, locate_folder  # noqa: E402
from selfcodealign.settings import ModelSettings  # noqa: E402
from tests.support.tiny_checkpoints import make_checkpoint  # noqa: E402


def fail(**values: Any) -> str:
    """Return the message of the error that entering raises."""

    async def enter() -> None:
        async with LocalModel(ModelSettings.model_validate(values)):
            pass

    with pytest.raises(ModelError) as caught:
        asyncio.run(enter())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_folder_suggests_its_neighbour(tmp_path: Path):
    """A missing path is not taken for a hub name; the most similar folder beside it is named."""
    (tmp_path / "starcoder").mkdir()
    assert fail(name=str(tmp_path / "starcodr")) == (
        f'there is no folder {tmp_path / "starcodr"}; did you mean "starcoder"?'
    )
    assert fail(name="./nowhere/at/all").startswith("there is no folder ./nowhere/at/all")


def test_folder_without_a_checkpoint(tmp_path: Path):
    """A folder of checkpoints is told apart from a checkpoint."""
    assert "is no checkpoint: it has no config.json" in fail(name=str(tmp_path))
    make_checkpoint(tmp_path / "step-200")
    assert fail(name=str(tmp_path)).endswith(f"did you mean {tmp_path / 'step-200'}?")
    file = tmp_path / "model.bin"
    file.write_text("")
    assert "is no folder; give the folder" in fail(name=str(file))


def test_hub_name_without_a_hub(monkeypatch: pytest.MonkeyPatch):
    """A hub name that is not cached needs the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = fail(name="nobody/no-such-model")
    assert (
        message == '"nobody/no-such-model" is no folder here and the hub cannot be reached; give a folder, or connect'
    )


def test_damaged_weights(tmp_path: Path):
    """A torn weights file gives an error of one line."""
    folder = make_checkpoint(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert fail(name=str(folder)).startswith(f'cannot load "{folder}": ')


def test_damaged_configuration(tmp_path: Path):
    """So is a config.json that is not JSON, and one of an architecture that does not exist."""
    folder = make_checkpoint(tmp_path)
    (folder / "config.json").write_text("{")
    assert fail(name=str(folder)).startswith(f'cannot load "{folder}": ')
    (folder / "config.json").write_text(json.dumps({"model_type": "nonsense"}))
    assert fail(name=str(folder)).startswith(f'cannot load "{folder}": ')


def test_revision_of_a_folder(tmp_path: Path):
    """A revision beside a folder would be ignored, so it is refused."""
    assert "leave the revision out" in fail(name=str(make_checkpoint(tmp_path)), revision="main")


def test_unknown_device(tmp_path: Path):
    """A misspelt or missing device is named."""
    folder = str(make_checkpoint(tmp_path))
    assert fail(name=folder, device="gpu").startswith('there is no device "gpu"; model.device is auto, cpu')
    assert "torch sees" in fail(name=folder, device="cuda:99")


def test_architecture_with_state_of_its_own(tmp_path: Path):
    """Layers with state besides keys and values are refused; the error names an engine that supports them."""
    values = {"state_size": 4, "intermediate_size": 64, "conv_kernel": 2, "num_hidden_layers": 2}
    config = transformers.MambaConfig(vocab_size=261, hidden_size=32, **values)
    transformers.MambaForCausalLM(config).save_pretrained(tmp_path)
    assert 'needs another engine; serve the model with vLLM instead (model.serve = "vllm")' in fail(name=str(tmp_path))


def test_missing_transformers(monkeypatch: pytest.MonkeyPatch):
    """Without the extra, the command that installs it is named before anything is loaded."""
    monkeypatch.setattr(local, "find_spec", lambda name: None if name == "transformers" else object())
    with pytest.raises(MissingExtra, match=r"pip install .*\[local\]'"):
        LocalModel(ModelSettings(name="anything"))


def test_no_name():
    """An empty name is for servers that hold one model."""
    assert fail(name="").startswith("no model named: set model.name to")


def test_revision_follows_the_deciding_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A card or a log beside the weights changes nothing; the tokenizer does, and so does the end of a large file."""
    folder = make_checkpoint(tmp_path)
    before = digest_folder(folder)
    (folder / "README.md").write_text("a card")
    assert digest_folder(folder) == before
    tokenizer = folder / "tokenizer_config.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    changed = digest_folder(folder)
    assert changed != before
    monkeypatch.setattr("selfcodealign.models.revisions._HASHED_WHOLE", 10)
    monkeypatch.setattr("selfcodealign.models.revisions._HASHED_END", 100)
    ends = digest_folder(folder)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert digest_folder(folder) != ends


def test_commit_of_a_cached_hub_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The hub's cache gives the commit of a name; without a cache there is none."""
    cache = tmp_path / "models--some--model"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0123abcd")
    (cache / "snapshots" / "0123abcd").mkdir(parents=True)
    (cache / "snapshots" / "0123abcd" / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert find_commit("some/model", None) == "0123abcd"
    assert find_commit("other/model", None) is None
    assert find_commit("not a name at all!", None) is None


def test_embedded_means_the_package_folder():
    """The embedded model is found in the installed package."""
    folder = locate_folder("embedded")
    assert folder is not None
    assert folder.name == "embedded"
    assert locate_folder("/no/such/folder") is None
