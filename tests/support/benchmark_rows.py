"""Benchmark files of our own, in the formats of the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def evalplus_row(**changes: Any) -> dict[str, Any]:
    """A task of our own in the format of EvalPlus's release file."""
    row = {
        "task_id": "HumanEval/0",
        "prompt": 'from typing import List\n\n\ndef add_all(numbers: List[int]) -> int:\n    """Sum of numbers."""\n',
        "entry_point": "add_all",
        "canonical_solution": "    return sum(numbers)\n",
        "contract": "",
        "base_input": [[[1, 2]], [[]], [[5]]],
        "plus_input": [[[-1, 1]], [[10, 20, 30]]],
        "atol": 0,
    }
    return row | changes


#: Functions of two numbers, by name.
TASKS = {"add": "a + b", "subtract": "a - b", "multiply": "a * b", "larger": "max(a, b)"}


def arithmetic_row(number: int, name: str) -> dict[str, Any]:
    """The task `name` of `TASKS`, in the format of EvalPlus's release file."""
    return evalplus_row(
        task_id=f"HumanEval/{number}",
        prompt=f'def {name}(a, b):\n    """Compute {name} of a and b."""\n',
        entry_point=name,
        canonical_solution=f"    return {TASKS[name]}\n",
        base_input=[[3, 2]],
        plus_input=[[0, -1], [7, 7]],
    )
