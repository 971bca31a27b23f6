"""Rows of the stages, with defaults for all fields that a test does not set."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from selfcodealign.rows import Dropped, Instruction, Response, Row, Seed, digest
from selfcodealign.run_folder.shards import Shards

Kind = TypeVar("Kind", bound=Row)


def make_seed(number: int, text: str = "def f(x):\n    return x\n", **changes: Any) -> Seed:
    return _make(Seed, number, {"seed": text} | changes)


def make_instruction(number: int, **changes: Any) -> Instruction:
    """Make an instruction. Ids grow with the number; instructions of different numbers share no words."""
    return _make(Instruction, number, changes)


def make_response(number: int, **changes: Any) -> Response:
    """Make a verified response. Ids grow with the number; those of different numbers share no names or instructions."""
    return _make(Response, number, changes)


def make_drop(number: int) -> Dropped:
    return Dropped(parent=digest("file", number), reason="no_docstring", detail="", row={"function": "g"})


def store_and_sort(rows: Sequence[Kind], kind: type[Kind], parent_field: str) -> list[Kind]:
    """Write the rows to shards in the given order and read them sorted by id, as for a stage that compares rows."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        shards = Shards(Path(folder), kind, parent_field)
        middle = len(rows) // 2
        shards.write(rows[middle:], [])
        shards.write(rows[:middle], [])
        return list(shards.sorted_rows(connection, kind.id_field, parent_field))


def _make(kind: type[Kind], number: int, changes: dict[str, Any]) -> Kind:
    fields = {
        "seed_id": digest("seed", number),
        "source_id": digest("file", number),
        "function": "f",
        "origin": "here",
        "source_path": "a.py",
        "source_line": number,
        "commit": "",
        "licence": "MIT",
        "seed": "",
        "concepts_id": digest("concepts", number),
        "concepts": ["arithmetic"],
        "instruction_id": f"{number:016x}",
        "category": "function",
        "language": "python",
        "difficulty": "easy",
        "instruction": f"Write a function `task_{number}`.",
        "response_id": f"{number:016x}",
        "sample": 0,
        "completion": "",
        "response": f"```python\ndef task_{number}(): return {number}\n```",
        "tests": f"```python\nassert task_{number}() == {number}\n```",
        "status": "passed",
        "error_type": "",
        "message": "",
        "line": -1,
        "output": "",
        "seconds": 0.1,
        "peak_memory_mib": 10.0,
        "mutation_score": 1.0,
        "killed_by_value": True,
        "repairs": "",
        "proof": "shared",
        "siblings": [],
        "passes_siblings": math.nan,
        "tests_pass": math.nan,
        "agreement": math.nan,
    }
    known = fields | changes
    return kind(**{name: known[name] for name in kind.field_names() if name in known})
