"""Whether a GGUF file can be opened, by its header: its magic, its version and its architecture. Imports no torch.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import os
import struct
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from selfcodealign.errors import ModelError

MAGIC = b"GGUF"
#: The versions that the package gguf reads.
VERSIONS = (2, 3)
ARCHITECTURE = "general.architecture"
#: Sizes of numbers in bytes, by their type. A text is its length and its bytes; an array is the type of its elements,
#: their number and the elements.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY = 8, 9
#: No key is longer, nor the name of an architecture.
_LONGEST_TEXT = 65_535


def check_gguf(file: Path) -> None:
    """Check that transformers can open a GGUF file. Raises `ModelError`, with the fix."""
    architecture = read_architecture(file)
    known = _list_architectures()
    if known and _simplify(architecture) not in known:
        raise ModelError(
            f'{file} holds a model of architecture "{architecture}", which transformers {version("transformers")} does '
            "not read from GGUF files: use its checkpoint in safetensors, or a server that reads it (model.urls)"
        )


def read_architecture(file: Path) -> str:
    """Return the architecture that the header names. Raises `ModelError` for what is no whole header."""
    try:
        with file.open("rb") as opened:
            return _Header(opened, file).architecture()
    except EOFError:
        raise ModelError(f"{file} ends within its header: download or convert it again") from None
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}") from None


class _Header:
    """Reads a header from its beginning. Raises `EOFError` at the end of the file."""

    def __init__(self, opened: BinaryIO, file: Path) -> None:
        self._opened, self._file = opened, file
        self._size = os.fstat(opened.fileno()).st_size
        self._order = "<"
        head = opened.read(24)
        if head[:4] != MAGIC:
            pointer = head.startswith(b"version https://git-lfs")
            what = (
                "is a pointer of Git LFS: git lfs pull" if pointer else "is no GGUF file: it does not begin with GGUF"
            )
            raise ModelError(f"{file} {what}")
        if len(head) < 24:
            raise EOFError
        if head[4:6] == b"\0\0":  # a small number in four bytes, the largest first
            self._order = ">"
        number, _, self._entries = struct.unpack(f"{self._order}IQQ", head[4:])
        if number not in VERSIONS:
            read = " and ".join(map(str, VERSIONS))
            raise ModelError(f"{file} is a GGUF file of version {number}; versions {read} are read: convert it again")

    def architecture(self) -> str:
        for _ in range(self._entries):
            key = self._text()
            kind = self._number("I", 4)
            if key == ARCHITECTURE.encode() and kind == _TEXT:
                return self._text().decode("utf-8", "replace")
            self._skip(kind)
        raise ModelError(f"{self._file} does not say which architecture it has ({ARCHITECTURE}): convert it again")

    def _number(self, code: str, size: int) -> int:
        return struct.unpack(f"{self._order}{code}", self._read(size))[0]

    def _text(self) -> bytes:
        size = self._number("Q", 8)
        if size > _LONGEST_TEXT:
            raise self._damaged()
        return self._read(size)

    def _read(self, size: int) -> bytes:
        found = self._opened.read(size)
        if len(found) < size:
            raise EOFError
        return found

    def _skip(self, kind: int) -> None:
        """Pass over a value."""
        count = 1
        if kind == _ARRAY:
            kind, count = self._number("I", 4), self._number("Q", 8)
        if kind in _SIZES:
            self._pass(count * _SIZES[kind])
        elif kind == _TEXT:
            for _ in range(count):
                self._pass(self._number("Q", 8))
        else:
            raise self._damaged()

    def _pass(self, size: int) -> None:
        place = self._opened.tell() + size
        if place > self._size:
            raise EOFError
        self._opened.seek(place)

    def _damaged(self) -> ModelError:
        return ModelError(f"{self._file} has a damaged header: download or convert it again")


def _list_architectures() -> set[str]:
    """The architectures that transformers reads from GGUF files; none where it does not tell."""
    if find_spec("transformers") is None:
        return set()
    try:
        from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
    except ImportError:
        return set()
    return set(map(_simplify, GGUF_CONFIG_MAPPING))


def _simplify(architecture: str) -> str:
    """llama.cpp and transformers write some names differently: qwen2moe, qwen2_moe."""
    return architecture.replace("-", "").replace("_", "")
