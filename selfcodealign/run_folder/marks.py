"""What people have said of single rows: `marks.jsonl` in a run, which selection honours and the report counts.

One line per mark, appended; of several for one row the last one holds:

    {"row": "3f9a…", "label": "drop", "note": "wrong units", "by": "ada", "at": "2026-11-27T08:12:03+00:00"}

`row` is the id of a seed, of concepts, of an instruction or of a response. `label` is "keep", "drop" or "" (a note
alone, or a label that was taken back).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Label = Literal["keep", "drop", ""]
FILE = "marks.jsonl"


@dataclass(frozen=True)
class Mark:
    """What was said of the row `row`, by whom and when (ISO 8601, UTC)."""

    row: str
    label: Label
    note: str = ""
    by: str = ""
    at: str = ""


def read_marks(run: Path) -> Mapping[str, Mark]:
    """The marks of a run that hold, by row; empty without a file. Raises `RunFolderError` for a damaged line."""
    raise NotImplementedError


def add_mark(run: Path, mark: Mark) -> None:
    """Append a mark, whole and on disk when this returns; several processes may. Raises `RunFolderError`."""
    raise NotImplementedError


def digest_marks(marks: Mapping[str, Mark]) -> str:
    """Name the labels (not notes, people and times), in any order; "" for none."""
    raise NotImplementedError
