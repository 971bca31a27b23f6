"""Which rows of each arm are tuned on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.errors import ExperimentError
from selfcodealign.experiments.ablation.matching import Rows, match

_IDS = st.lists(st.integers(0, 60).map(lambda number: f"{number:016x}"), min_size=1, max_size=40, unique=True)


def _rows(ids: list[str], cost: dict[str, float] | None = None) -> Rows:
    return Rows([Path("none")], ids, [True] * len(ids), cost or dict.fromkeys(ids, 1.0))


def _taken(rows: Rows, places: object) -> set[str]:
    return {rows.instructions[place] for place in places}  # type: ignore[attr-defined]


@given(_IDS, _IDS, st.integers(0, 5))
def test_arms_have_as_many_rows_as_the_smallest(first: list[str], second: list[str], seed: int) -> None:
    """Sizes are equal and places distinct; the smallest arm keeps all of its rows."""
    arms = {"a": _rows(first), "b": _rows(second)}
    found = match(arms, "rows", seed)
    fewest = min(len(first), len(second))
    assert [len(set(one.rows)) for one in found.values()] == [fewest, fewest]


@given(_IDS, st.integers(0, 5), st.integers(1, 10))
def test_equal_instructions_are_drawn_alike(ids: list[str], seed: int, limit: int) -> None:
    """Arms that have the same instructions, in whatever order, get the same ones; another seed draws others."""
    arms = {"a": _rows(ids), "b": _rows(ids[::-1])}
    found = match(arms, "rows", seed, limit)
    assert _taken(arms["a"], found["a"].rows) == _taken(arms["b"], found["b"].rows)
    assert len(found["a"].rows) == min(limit, len(ids))


def test_a_seed_decides_the_draw() -> None:
    """Another seed draws other rows."""
    arms = {"a": _rows([f"{number:016x}" for number in range(50)])}
    assert match(arms, "rows", 0, 20)["a"].rows != match(arms, "rows", 1, 20)["a"].rows


@given(_IDS, _IDS)
def test_shared_instructions_are_those_of_all_arms(first: list[str], second: list[str]) -> None:
    """Each arm has the instructions that all have, no more and no fewer; without any, the arm is named."""
    arms = {"a": _rows(first), "b": _rows(second)}
    shared = {*first} & {*second}
    if not shared:
        with pytest.raises(ExperimentError, match="has no rows that the others have, too"):
            match(arms, "instructions", 0)
        return
    found = match(arms, "instructions", 0)
    assert all(_taken(arms[name], one.rows) == shared for name, one in found.items())


@given(_IDS, st.floats(1, 8), st.integers(0, 3))
def test_no_arm_costs_more_tokens_than_the_cheapest(ids: list[str], dearer: float, seed: int) -> None:
    """With equal instructions of which one arm's are dearer, that arm has fewer; both stay within the budget."""
    arms = {"cheap": _rows(ids), "dear": _rows(ids, dict.fromkeys(ids, dearer))}
    try:
        found = match(arms, "tokens", seed)
    except ExperimentError:
        assert dearer > len(ids)  # the budget does not pay for one instruction
        return
    assert len(found["cheap"].rows) == len(ids)
    assert found["dear"].tokens <= arms["cheap"].tokens * (1 + 1e-6)
    assert found["dear"].tokens + dearer > arms["cheap"].tokens or len(found["dear"].rows) == len(ids)


def test_instructions_without_a_row_cost_tokens_too() -> None:
    """What was asked about and gave no row is paid from the same budget."""
    ids = [f"{number:016x}" for number in range(40)]
    arms = {"all": _rows(ids), "half": _rows(ids[:20], dict.fromkeys(ids, 2.0))}
    found = match(arms, "tokens", 0)
    assert found["half"].tokens == 40
    assert len(found["half"].rows) < 20


def test_an_arm_without_rows_is_named() -> None:
    """Nothing can be tuned on it."""
    with pytest.raises(ExperimentError, match="b has no rows to tune on"):
        match({"a": _rows(["1"]), "b": Rows([Path("none")], [], [], {})}, "rows", 0)
