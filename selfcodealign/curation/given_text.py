"""What an imported row is compared by: it has no seed, only what it was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def given_text(row: Mapping[str, Any], *, tests: bool = False) -> str | None:
    """Instruction and given response of a row, given by its fields, with its tests if asked for; None for other rows.

    >>> given_text({"instruction": "Add.", "given_response": "def add(): ...", "given_tests": ""})
    'Add.\\ndef add(): ...'
    """
    if "given_response" not in row:
        return None
    parts = [row["instruction"], row["given_response"], row["given_tests"] if tests else ""]
    return "\n".join(part for part in parts if part)
