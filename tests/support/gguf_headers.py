"""Headers of GGUF files, written without the package gguf."""

from __future__ import annotations

import struct


def make_header(
    architecture: str = "", *, version: int = 3, order: str = "<", before: bytes = b"", entries: int = 0
) -> bytes:
    """A header that names an architecture, after the metadata in `before`, which has so many `entries`."""
    named = text("general.architecture", order) + struct.pack(f"{order}I", 8) + text(architecture, order)
    entries += bool(architecture)
    return b"GGUF" + struct.pack(f"{order}IQQ", version, 0, entries) + before + (named if architecture else b"")


def text(words: str, order: str = "<") -> bytes:
    """A text as GGUF has it: its length, its bytes."""
    return struct.pack(f"{order}Q", len(words.encode())) + words.encode()
