"""Instruction → instruction: answer each distinct task once, and none that the selection would not take.

A copy, or a text with too many words, would be dropped by the selection anyway; here it is dropped before anything is
paid for its answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from selfcodealign.curation.given_text import given_text
from selfcodealign.rows import Dropped, Instruction, digest
from selfcodealign.stages import Rows, Whole
from selfcodealign.stages.context import Context


def drop_copies(
    rows: Iterable[Instruction], most_words: int | None = None, *, given: bool = False
) -> Iterator[Instruction | Dropped]:
    """Keep the first of all instructions that differ in white space only; a drop's detail is the id of that first.

    Instructions of more than `most_words` words are dropped, too. With `given`, imported rows are copies only if their
    given responses are the same as well.
    """
    first: dict[str, str] = {}
    for row in rows:
        words = len(row.instruction.split())
        if most_words is not None and words > most_words:
            yield Dropped(parent=row.id, reason="long_instruction", detail=f"{words} words", row=row.fields())
            continue
        text = (given_text(row.fields()) if given else None) or row.instruction
        kept = first.setdefault(digest("".join(text.split())), row.id)
        if kept == row.id:
            yield row
        else:
            yield Dropped(parent=row.id, reason="same_instruction", detail=kept, row=row.fields())


def _decided_by(context: Context) -> dict[str, Any]:
    """Here, and not where instructions are written: with another limit no instruction has to be written again."""
    if "selection" not in context.places:
        return {}
    return {"selection.max_instruction_words": context.recipe.selection.max_instruction_words}


def _decide(context: Context, rows: Rows) -> Iterator[Instruction | Dropped]:
    # Where a model answers the instructions, the given responses make no difference.
    answered = "responses" in context.places
    return drop_copies(rows(), next(iter(_decided_by(context).values()), None), given=not answered)


DISTINCT = Whole(
    name="distinct",
    takes=Instruction,
    gives=Instruction,
    columns=("instruction", "category", "difficulty", "concepts", "function"),
    decided_by=_decided_by,
    decide=_decide,
)
