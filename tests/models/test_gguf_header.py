"""The header of a GGUF file says whether it can be opened."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models.gguf_header import check_gguf, read_architecture
from tests.support.command_line import call
from tests.support.gguf_headers import make_header, text
from tests.support.journey import write_sources

#: A number, a flag, an array of numbers and one of texts.
OTHERS = (
    text("a.number") + struct.pack("<IQ", 10, 7)
    + text("a.flag") + struct.pack("<IB", 7, 1)
    + text("some.numbers") + struct.pack("<IIQ3f", 9, 6, 3, 1, 2, 3)
    + text("some.texts") + struct.pack("<IIQ", 9, 8, 2) + text("one") + text("two")
)  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        make_header("llama"),
        make_header("llama", version=2),
        make_header("llama", order=">"),
        make_header("llama", before=OTHERS, entries=4) + b"tensors",
    ],
)
def test_architecture_is_found(data: bytes, tmp_path: Path) -> None:
    """In both versions and byte orders, wherever it stands."""
    (tmp_path / "model.gguf").write_bytes(data)
    assert read_architecture(tmp_path / "model.gguf") == "llama"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no GGUF file"),
        (b"<html>not found</html>", "is no GGUF file: it does not begin with GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS: git lfs pull"),
        (b"GGUF", "ends within its header: download or convert it again"),
        (make_header("llama")[:-1], "ends within its header"),
        (make_header(before=OTHERS[:-3], entries=5), "ends within its header"),
        (make_header("llama", version=1), "is a GGUF file of version 1; versions 2 and 3 are read"),
        (make_header(before=OTHERS, entries=4), "does not say which architecture it has"),
        (make_header("llama", before=text("a") + struct.pack("<I", 77), entries=1), "has a damaged header"),
        (make_header("llama", before=struct.pack("<Q", 1 << 40), entries=1), "has a damaged header"),
    ],
)
def test_what_is_wrong_is_told(data: bytes, message: str, tmp_path: Path) -> None:
    """In one line, with the file's name."""
    (tmp_path / "model.gguf").write_bytes(data)
    with pytest.raises(ModelError, match=rf"model\.gguf {message}"):
        read_architecture(tmp_path / "model.gguf")


def test_an_architecture_that_transformers_does_not_read(tmp_path: Path) -> None:
    """It is named; names that llama.cpp and transformers write differently are the same."""
    pytest.importorskip("transformers")
    file = tmp_path / "model.gguf"
    file.write_bytes(make_header("rwkv99"))
    with pytest.raises(ModelError, match=r'architecture "rwkv99", which transformers [\d.]+ does not read'):
        check_gguf(file)
    file.write_bytes(make_header("qwen2moe"))
    check_gguf(file)


def test_checking_imports_no_torch(tmp_path: Path) -> None:
    """A plan is printed at once."""
    pytest.importorskip("transformers")
    (tmp_path / "model.gguf").write_bytes(make_header("llama"))
    code = (
        "import json, sys; from selfcodealign.models.opening import check_model; "
        "from selfcodealign.settings import ModelSettings; "
        f"check_model(ModelSettings(name={str(tmp_path / 'model.gguf')!r})); print(json.dumps('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False


def test_a_dry_run_refuses_a_damaged_file(tmp_path: Path) -> None:
    """With the line that opening it would give, and no run folder."""
    pytest.importorskip("transformers")
    (tmp_path / "bad.gguf").write_bytes(b"<html>")
    sources = str(write_sources(tmp_path / "source", 2))
    words = ["run", "quickstart", "--dry-run", "-m", "./bad.gguf", "--source", sources, "-o", "run"]
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "bad.gguf is no GGUF file" in done.stderr
    assert not (tmp_path / "run").exists()
