"""Text and JSON files: read with one line for each mistake, written whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from selfcodealign.errors import RunFolderError


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file in one step. Raises `RunFolderError` when the disk does not take it."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step. Raises `RunFolderError` when the disk does not take it."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, "utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror}; make room or choose another --out") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of the run; empty when there is none. Raises `RunFolderError` when it is damaged."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}); remove it to go on") from None
