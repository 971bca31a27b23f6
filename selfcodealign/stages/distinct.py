"""Instruction → instruction: answer each distinct task once.

A copy would be dropped by the selection anyway; here it is dropped before anything is paid for its answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from selfcodealign.rows import Dropped, Instruction, digest
from selfcodealign.stages import Whole


def drop_copies(rows: Iterable[Instruction]) -> Iterator[Instruction | Dropped]:
    """Keep the first of all instructions that differ in white space only; a drop's detail is the id of that first."""
    first: dict[str, str] = {}
    for row in rows:
        kept = first.setdefault(digest("".join(row.instruction.split())), row.id)
        if kept == row.id:
            yield row
        else:
            yield Dropped(parent=row.id, reason="same_instruction", detail=kept, row=row.fields())


DISTINCT = Whole(
    name="distinct",
    takes=Instruction,
    gives=Instruction,
    decided_by=lambda context: {},
    decide=lambda context, rows: drop_copies(rows()),
)
