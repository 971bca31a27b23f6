"""A file of JSON Lines that grows at its end and is whole after any kill: what a kill tore off goes first."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

#: More than the longest line: the end of the file in which its last whole line is.
_END_BYTES = 1 << 20


class Lines:
    """The file `path`. A write that fails leaves it as it was; `write` raises the `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._one_writer = Lock()

    def last(self) -> dict[str, Any]:
        """The last whole line; empty if there is none that can be read. A torn line behind it is cut off."""
        try:
            with open(self.path, "r+b") as file:
                size = file.seek(0, os.SEEK_END)
                start = file.seek(max(0, size - _END_BYTES))
                end = file.read()
                whole = end.rfind(b"\n") + 1
                if start + whole < size:
                    file.truncate(start + whole)
        except FileNotFoundError:
            return {}
        try:
            found = json.loads(end[:whole].rstrip(b"\n").rpartition(b"\n")[2])
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line, whole or not at all."""
        data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        with self._one_writer, open(self.path, "ab", buffering=0) as file:
            size = file.tell()
            try:
                written = file.write(data)
                if written != len(data):  # the disk took a part of it
                    written += file.write(data[written:])
            except OSError:
                with suppress(OSError):  # a device has no length
                    file.truncate(size)
                raise
