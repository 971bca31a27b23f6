"""Rows only grow, ids are hashes of what made a row, seeds come from ids."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.rows import (
    Concepts,
    Dropped,
    Example,
    Instruction,
    Response,
    Seed,
    digest,
    extended,
    grow,
    holds,
    seed_of,
)
from tests.support.rows import make_seed

JOURNEY = (Seed, Concepts, Instruction, Response, Example)


def test_each_row_keeps_all_fields_of_the_one_before() -> None:
    """Every stage's row holds its parent's fields first, in the same order."""
    for earlier, later in pairwise(JOURNEY):
        before, after = list(earlier.field_names()), list(later.field_names())
        assert after[: len(before)] == before
        assert len(after) > len(before)


def test_a_row_is_known_by_its_own_id() -> None:
    """`id` is the field that `id_field` names; a drop is known by its parent's id."""
    for kind in JOURNEY:
        assert kind.id_field in kind.field_names()
    assert Dropped(parent="ab", reason="r", detail="", row={}).id == "ab"


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_different_parts_have_different_digests(one: list[str], other: list[str]) -> None:
    """Boundaries between parts count: ("ab", "c") and ("a", "bc") differ; any text is allowed."""
    assert (digest(*one) == digest(*other)) == (one == other)
    assert len(digest(*one)) == 16


def test_digests_stay_the_same_for_ever() -> None:
    """A run folder of last year is resumed by the same ids: this value must never change."""
    assert digest("seed", 1, None) == digest("seed", "1", "None") == "c4f57f58b4cd4d2f"


@given(st.text(alphabet="0123456789abcdef", min_size=16, max_size=16))
def test_seeds_are_31_bit_numbers_that_differ_by_purpose(row_id: str) -> None:
    """Seeds fit every engine's integer, and two purposes of one row have different seeds."""
    assert 0 <= seed_of(row_id, "a") < 2**31
    assert seed_of(row_id, "a") == seed_of(row_id, "a") != seed_of(row_id, "b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated(Seed):
    """A seed with a field of somebody's own."""

    rating: float


def test_later_rows_carry_the_fields_of_earlier_ones_on() -> None:
    """A row grows by all that it was, whatever its type; without further fields the plain type is used."""
    seed = make_seed(1)
    concepts = grow(seed, Concepts, concepts_id="c", concepts=["a"])
    assert type(concepts) is Concepts
    rated = Rated(**seed.fields(), rating=0.5)
    grown = grow(rated, Concepts, concepts_id="c", concepts=["a"])
    assert isinstance(grown, Concepts)
    assert (grown.fields()["rating"], grown.id) == (0.5, "c")
    assert type(grown) is extended(Concepts, Rated)
    assert holds(type(grown), Rated)
    assert not holds(Concepts, Rated)


def test_a_row_of_an_extended_type_survives_another_process() -> None:
    """Pickled and back it is equal, further fields included."""
    grown = grow(Rated(**make_seed(1).fields(), rating=0.5), Concepts, concepts_id="c", concepts=[])
    assert pickle.loads(pickle.dumps(grown)) == grown
