"""Near-deduplication of seeds, and the limit of the recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from selfcodealign.rows import Dropped, Seed, digest
from selfcodealign.settings import NearDedupSettings
from selfcodealign.stages.near_dedup import drop_near_copies
from tests.support.rows import make_seed, store_and_sort


def seed(number: int, code: str, seed_id: str = "") -> Seed:
    """A seed found in file `number`; ids grow with the number unless one is given."""
    return make_seed(number, code, seed_id=seed_id or f"{number:016x}", source_id=f"{number:016x}")


def steps(start: int, stop: int) -> str:
    """Code whose overlap with other such code is that of their numbers."""
    return "\n".join(f"step_{number} = {number}" for number in range(start, stop))


def choose(*rows: Seed, limit: int | None = None, **settings: Any) -> list[Seed | Dropped]:
    asked = NearDedupSettings().model_copy(update=settings)
    outcomes = list(drop_near_copies(lambda: rows, asked, limit))
    assert [one.id for one in outcomes] == [row.id for row in rows]
    return outcomes


def told(outcomes: list[Seed | Dropped]) -> list[str]:
    return [f"{one.reason} {one.detail}" if isinstance(one, Dropped) else "kept" for one in outcomes]


FIRST = seed(1, steps(0, 40))
FILTERS: Mapping[str, tuple[Mapping[str, Any], Seed, str, Seed]] = {
    # reason: settings, a second seed that is dropped for it, the detail of the drop, a second seed that is kept
    "copy": (
        {},
        seed(2, FIRST.seed, seed_id=FIRST.id),
        FIRST.id,
        seed(2, steps(40, 80)),
    ),
    "copy, near copies allowed": (
        {"enabled": False},
        seed(2, FIRST.seed, seed_id=FIRST.id),
        FIRST.id,
        seed(2, steps(1, 41)),
    ),
    "near_copy": (
        {},
        seed(2, steps(4, 44)),
        FIRST.id + r" \(0\.[789]\d\)",
        seed(2, steps(24, 64)),
    ),
    "near_copy, laid out otherwise": (
        {"jaccard": 1.0},
        seed(2, FIRST.seed.replace(" = ", "=").replace("\n", ";")),
        FIRST.id + r" \(1\.00\)",
        seed(2, FIRST.seed + "\nstep_40 = 40"),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_drops_what_it_is_for(name: str) -> None:
    """A drop has its reason, its detail and all fields of the row; the first seed stays."""
    settings, row, detail, _ = FILTERS[name]
    first, dropped = choose(FIRST, row, **settings)
    assert first == FIRST
    assert isinstance(dropped, Dropped)
    assert dropped.reason == name.partition(",")[0]
    assert re.fullmatch(detail, dropped.detail), dropped.detail
    assert dropped.row == row.fields()


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_keeps_what_only_looks_like_it(name: str) -> None:
    """A near miss stays, and so does the first seed."""
    settings, _, _, kept = FILTERS[name]
    assert choose(FIRST, kept, **settings) == [FIRST, kept]


def test_the_limit_counts_what_stays() -> None:
    """Copies and near-duplicates do not count towards the limit; seeds over it have that reason."""
    rows = [
        FIRST,
        seed(2, FIRST.seed, seed_id=FIRST.id),
        seed(3, steps(1, 41)),
        seed(5, steps(100, 140)),
        seed(6, steps(200, 240)),
        seed(7, steps(101, 141)),
    ]
    near = rf"near_copy {FIRST.id} \(0\.9\d\)", rf"near_copy {rows[3].id} \(0\.9\d\)"
    expected = ["kept", f"copy {FIRST.id}", near[0], "kept", "over_limit limit 2", near[1]]
    for pattern, outcome in zip(expected, told(choose(*rows, limit=2)), strict=True):
        assert re.fullmatch(pattern, outcome)
    assert "over_limit limit 3" not in told(choose(*rows, limit=3))


def test_a_copy_of_a_near_copy_is_a_copy() -> None:
    """Copies are found by id, so each drop names its own id and not a similar seed."""
    near = seed(2, steps(1, 41))
    outcomes = told(choose(FIRST, near, seed(3, near.seed, seed_id=near.id)))
    assert outcomes[1].startswith(f"near_copy {FIRST.id}")
    assert outcomes[2] == f"copy {near.id}"


@st.composite
def many_seeds(draw: st.DrawFn) -> list[Seed]:
    """Seeds with copies (of one id, as their code is one) and near copies among them, in the order of their ids."""
    codes = st.integers(0, 12).map(lambda start: steps(3 * start, 3 * start + 40))
    rows = [seed(number, code, digest(code)) for number, code in enumerate(draw(st.lists(codes, max_size=12)))]
    return sorted(rows, key=lambda row: (row.seed_id, row.source_id))


@hypothesis_settings(max_examples=20, deadline=None)
@given(rows=many_seeds(), data=st.data())
def test_ids_decide_and_not_the_order_in_which_rows_were_made(rows: list[Seed], data: st.DataObject) -> None:
    """Stored in any order and read back as the engine reads them, the same seeds have the same outcomes."""
    stored = store_and_sort(data.draw(st.permutations(rows)), Seed, "source_id")
    assert choose(*stored, permutations=64) == choose(*rows, permutations=64)


@hypothesis_settings(max_examples=50, deadline=None)
@given(rows=many_seeds(), limit=st.integers(0, 6))
def test_a_higher_limit_draws_the_same_seeds_and_more(rows: list[Seed], limit: int) -> None:
    """The limit cuts the list of kept seeds, and a second pass keeps all of them."""
    everything = [one for one in choose(*rows, permutations=64) if isinstance(one, Seed)]
    kept = [one for one in choose(*rows, permutations=64, limit=limit) if isinstance(one, Seed)]
    assert kept == everything[:limit]
    assert choose(*everything, permutations=64) == everything
