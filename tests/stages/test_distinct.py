"""Each distinct task is answered once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from selfcodealign.rows import Dropped, Imported, Instruction, grow
from selfcodealign.stages.distinct import drop_copies
from tests.support.rows import make_instruction, store_and_sort

FIRST = make_instruction(1, instruction="Add two numbers.")


@pytest.mark.parametrize("text", ["Add two numbers.", " Add\ttwo\n\nnumbers .\n", "Addtwonumbers."])
def test_a_copy_is_dropped_whatever_its_white_space(text: str) -> None:
    """The first stays unchanged; the copy's drop names it and holds the copy's fields."""
    copy = make_instruction(2, instruction=text)
    assert list(drop_copies([FIRST, copy])) == [
        FIRST,
        Dropped(parent=copy.id, reason="same_instruction", detail=FIRST.id, row=copy.fields()),
    ]


def test_imported_rows_are_copies_by_what_they_were_given() -> None:
    """Two answers to one instruction are two rows to verify; the same answer again is a copy."""
    given = {"given_id": "", "given_tests": ""}
    rows = [
        grow(make_instruction(number, instruction="Add."), Imported, given_response=text, **given)
        for number, text in enumerate(("a + b", "b + a", " b  +a"))
    ]
    assert [isinstance(one, Dropped) for one in drop_copies(rows, given=True)] == [False, False, True]
    assert [isinstance(one, Dropped) for one in drop_copies(rows)] == [False, True, True]


@pytest.mark.parametrize("text", ["add two numbers.", "Add two numbers", "Add two numbers!", "Add 2 numbers.", ""])
def test_another_wording_is_another_task(text: str) -> None:
    """Case, punctuation and every word count."""
    rows = [FIRST, make_instruction(2, instruction=text)]
    assert list(drop_copies(rows)) == rows


def test_every_copy_names_the_first_and_not_the_one_before_it() -> None:
    """Three copies with another instruction between them."""
    rows = [make_instruction(number, instruction=text) for number, text in enumerate(["A", "B", "A ", " A", "B"])]
    outcomes = [one.detail if isinstance(one, Dropped) else "kept" for one in drop_copies(rows)]
    assert outcomes == ["kept", "kept", rows[0].id, rows[0].id, rows[1].id]


@hypothesis_settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.text("ab \n", max_size=3), max_size=12), data=st.data())
def test_one_of_each_task_stays_whatever_the_order_in_which_rows_were_made(
    texts: list[str], data: st.DataObject
) -> None:
    """Every row has one outcome, in order; of each text the row with the smallest id stays."""
    rows = [make_instruction(number, instruction=text) for number, text in enumerate(texts)]
    stored = store_and_sort(data.draw(st.permutations(rows)), Instruction, "concepts_id")
    outcomes = list(drop_copies(stored))
    assert [one.id for one in outcomes] == [row.id for row in rows]
    kept = [one for one in outcomes if isinstance(one, Instruction)]
    first = {"".join(row.instruction.split()): row for row in reversed(rows)}
    assert kept == sorted(first.values(), key=lambda row: row.id)
    assert list(drop_copies(kept)) == kept
