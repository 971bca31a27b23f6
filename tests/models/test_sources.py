"""A model is a folder, a GGUF file, a folder with an adapter, or a hub name."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from selfcodealign.errors import MissingExtra, ModelError  # noqa: E402
from selfcodealign.models import Completion, Sampling, opening  # noqa: E402
from selfcodealign.models.local import LocalModel  # noqa: E402
from selfcodealign.models.opening import check_model  # noqa: E402
from selfcodealign.models.revisions import find_source  # noqa: E402
from selfcodealign.settings import ModelSettings  # noqa: E402
from tests.support.gguf_headers import make_header  # noqa: E402
from tests.support.tiny_checkpoints import make_checkpoint  # noqa: E402

CALLS = [("def f(x):", 0.0, 0), ("abab déjà", 1.0, 3), ("x" * 30, 1.0, 4)]


def write(name: str | Path) -> tuple[list[Completion], dict[str, str]]:
    """Ask a model for three texts; also return its identity."""

    async def run() -> tuple[list[Completion], dict[str, str]]:
        async with LocalModel(ModelSettings(name=str(name), device="cpu")) as model:
            asked = (model.complete(text, Sampling(heat, max_tokens=20), seed=seed) for text, heat, seed in CALLS)
            return await asyncio.gather(*asked), model.identity()

    return asyncio.run(run())


def make_adapter(base: Path, folder: Path) -> Path:
    """LoRA on all linear layers, with weights that change the texts."""
    from peft import LoraConfig, get_peft_model

    network = transformers.AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(network, config)
    torch.manual_seed(3)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    adapted.save_pretrained(str(folder))
    return folder


def test_gguf_file_writes_what_its_checkpoint_writes(tmp_path: Path):
    """A GGUF file is loaded by its path, weights and tokenizer, and the texts are those of the folder it came from."""
    pytest.importorskip("gguf")
    from tests.support.gguf_files import write_gguf

    folder = make_checkpoint(tmp_path / "folder")
    file = write_gguf(folder, tmp_path / "model.gguf")
    texts, identity = write(file)
    assert [one.text for one in texts] == [one.text for one in write(folder)[0]]
    assert identity["name"] == str(file)
    assert identity["revision"].startswith("sha256:")
    assert identity["dtype"] == "float32"


def test_adapter_folder_is_merged_into_its_base(tmp_path: Path):
    """A folder with an adapter gives the texts of base and adapter merged; both decide the revision."""
    base = make_checkpoint(tmp_path / "base")
    adapter = make_adapter(base, tmp_path / "adapter")
    texts, identity = write(adapter)
    plain, own = write(base)
    assert [one.text for one in texts] != [one.text for one in plain]
    assert identity["revision"] == f"{own['revision']}+{identity['revision'].partition('+')[2]}"

    from peft import PeftModel

    network = transformers.AutoModelForCausalLM.from_pretrained(base)
    PeftModel.from_pretrained(network, str(adapter)).merge_and_unload().save_pretrained(tmp_path / "merged")
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "merged")
    assert [one.text for one in write(tmp_path / "merged")[0]] == [one.text for one in texts]


def test_base_of_an_adapter_is_found_beside_it(tmp_path: Path):
    """A base that the adapter names relatively lies beside the adapter; one that is gone is named."""
    adapter = make_adapter(make_checkpoint(tmp_path / "base"), tmp_path / "adapter")
    config = adapter / "adapter_config.json"
    named = json.loads(config.read_text())
    config.write_text(json.dumps(named | {"base_model_name_or_path": "../base"}))
    source = find_source(str(adapter), None)
    assert (Path(source.location).resolve(), source.adapter) == (tmp_path / "base", adapter)
    config.write_text(json.dumps(named | {"base_model_name_or_path": "/gone/base"}))
    with pytest.raises(ModelError, match="holds an adapter for /gone/base: there is no folder"):
        find_source(str(adapter), None)
    config.write_text("{")
    with pytest.raises(ModelError, match=r"adapter_config\.json is damaged"):
        find_source(str(adapter), None)


@pytest.mark.parametrize(("kind", "extra"), [("gguf", "gguf"), ("peft", "train")])
def test_missing_package_is_named_before_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, extra: str
):
    """A GGUF file without the package gguf, an adapter without peft: the command that installs it is named."""
    (tmp_path / "model.gguf").write_bytes(make_header("llama"))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    base = make_checkpoint(tmp_path / "base")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    monkeypatch.setattr(opening, "find_spec", lambda name: None if name == kind else object())
    name = tmp_path / "model.gguf" if kind == "gguf" else adapter
    with pytest.raises(MissingExtra, match=rf"\[{extra}\]"):
        check_model(ModelSettings(name=str(name)))


def test_damaged_gguf_file(tmp_path: Path):
    """A file that is no GGUF file gives one line, the same before a run and when the model is opened."""
    file = tmp_path / "model.gguf"
    file.write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"model\.gguf is no GGUF file: it does not begin with GGUF$") as checked:
        check_model(ModelSettings(name=str(file)))
    with pytest.raises(ModelError) as opened:
        write(file)
    assert str(opened.value) == str(checked.value)
