"""When two values count as equal, and how they travel between processes."""

from __future__ import annotations

import marshal
import math
from collections import Counter, OrderedDict, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.benchmarks.inside.oracles import find_check
from selfcodealign.benchmarks.inside.values import OPAQUE, Tolerance, alike, close, digest, pack, unpack

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(), inner)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_values_travel_unchanged(value: Any) -> None:
    """What is built from builtins arrives equal and of the same type."""
    foreign, data = pack(value)
    assert not foreign
    assert unpack(data) == value
    assert type(unpack(data)) is type(value)


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(x=1), {"x": 1}),
        (namedtuple("Point", "x y")(1, 2), (1, 2)),
        (Colour.RED, 1),
        (Fraction(4, 2), 2),
        (Decimal("2.5"), 2.5),
        ({1: 2}.keys(), {1}),
    ],
)
def test_values_of_other_classes_arrive_as_what_they_are_underneath(value: Any, plain: Any) -> None:
    """Library classes that equal builtins do so after the journey as well, and are marked as foreign."""
    foreign, data = pack(value)
    assert foreign
    assert unpack(data) == plain
    assert type(unpack(data)) is type(plain)


def test_library_classes_inside_lists_become_plain_too() -> None:
    """The list keeps its type, its members lose their class."""
    assert unpack(pack([Counter("a"), Colour.RED])[1]) == [{"a": 1}, 1]


def test_numpy_scalars_become_numbers_and_arrays_opaque() -> None:
    """A numpy number equals the number; an array has no single truth value, so it equals nothing."""
    import numpy as np

    assert unpack(pack(np.int64(3))[1]) == 3
    assert unpack(pack([np.float64(0.5), np.bool_(True)])[1]) == [0.5, True]
    assert unpack(pack(np.zeros(3))[1]) is OPAQUE


def test_an_object_that_equals_everything_arrives_as_nothing_special() -> None:
    """Equality is never asked of an answer's own class."""

    class Anything:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    class AlwaysEqual(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    assert unpack(pack(Anything())[1]) is OPAQUE
    assert unpack(pack([Anything()])[1]) == [OPAQUE]
    assert unpack(pack(AlwaysEqual(3))[1]) == 3
    assert unpack(pack(AlwaysEqual(3))[1]) != 4


def test_bottomless_values_are_opaque() -> None:
    """A list that holds itself ends the journey instead of the process."""
    bottomless: list[Any] = []
    bottomless.append(bottomless)
    bottomless.append(Counter())
    assert unpack(pack(bottomless)[1]) is OPAQUE or isinstance(unpack(pack(bottomless)[1]), list)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1),
    st.lists(st.floats(-1e6, 1e6), min_size=1),
    st.sampled_from([1e-6, 1e-3, 1.0]),
)
def test_closeness_is_numpys(out: list[float], expected: list[float], tolerance: float) -> None:
    """For lists of one length the verdict is that of numpy.allclose."""
    import numpy as np

    size = min(len(out), len(expected))
    out, expected = out[:size], expected[:size]
    assert close(out, expected, tolerance) == bool(np.allclose(out, expected, rtol=1e-7, atol=tolerance))


@pytest.mark.parametrize(
    ("out", "expected", "result"),
    [
        (math.inf, math.inf, True),
        (1.0, math.inf, False),
        (math.inf, 1.0, False),
        (math.nan, math.nan, False),
        ([[1.0, 2.0], [3.0]], [[1.0, 2.0 + 1e-9], [3.0]], True),
        ([1.0], [1.0, 2.0], False),
        ("1.0", 1.0, False),
        (10**400, 1.0, False),
        (1 + 1e-9j, 1 + 0j, True),
    ],
)
def test_closeness_at_the_edges(out: Any, expected: Any, result: bool) -> None:
    """Infinities, not-a-number, nesting, lengths, texts, numbers beyond floats."""
    assert close(out, expected, 1e-6) is result


def test_tolerance_is_evalplus_own() -> None:
    """Exact unless the task has a tolerance or the expected value is all floats; then for the rest of the suite."""
    tolerance = Tolerance(0)
    assert not tolerance.accepts(1, False, 1.0000001)
    assert tolerance.accepts(0.3, False, 0.1 + 0.2)
    assert tolerance.atol == 1e-6
    assert tolerance.accepts([1, 2.0000001], False, [1, 2.0])
    assert not tolerance.accepts((1.0, 2.0000001), False, [1.0, 2.0])
    assert not tolerance.accepts(0.30000001, True, 0.3)
    assert Tolerance(0.1).accepts(1.05, False, 1.0)
    assert not Tolerance(0).accepts([1, 2.0000001], False, [1, 2.0])


@pytest.mark.parametrize(
    ("out", "expected", "result"),
    [
        (1, 1, True),
        (True, 1, False),
        (1.0, 1, False),
        (0.1 + 0.2, 0.3, True),
        (math.nan, math.nan, True),
        ([], (), True),
        ([1], (1,), False),
        ([1.0], (1.0 + 1e-9,), True),
        ({"a": 0.1 + 0.2}, {"a": 0.3}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([["x", 1], ["y", 2]], [["x", 1], ["y", 3]], False),
        ({1, 2}, {2, 1}, True),
        (None, None, True),
        ("a", "a", True),
        (OPAQUE, 3, False),
    ],
)
def test_evoeval_compares_types_all_the_way_down(out: Any, expected: Any, result: bool) -> None:
    """Its rule: equal kinds in every place, floats nearly equal, empty lists and tuples alike."""
    assert alike(out, expected) is result


def test_tasks_with_oracles_accept_other_right_answers() -> None:
    """One case per oracle: a value that differs from the reference's and is right, and one that is wrong."""
    cases = [
        ("mbpp", "similar_elements", ([4, 3], (3, 4), []), ([4], (3, 4), [])),
        ("mbpp", "check_str", (OPAQUE, True, []), (None, True, [])),
        ("mbpp", "sum_div", (0, 1, []), (5, 1, [])),
        ("mbpp", "digit_distance_nums", (3, 9, [1, 22]), (4, 9, [1, 22])),
        ("mbpp", "surface_Area", (35, 0, [3, 4]), (33, 0, [3, 4])),
        ("humaneval", "find_zero", (2.0, 0, [[-4, 0, 1]]), (2.1, 0, [[-4, 0, 1]])),
        ("evoeval", "difficult/10", ("aba", "aBa", ["ab"]), ("abb", "aBa", ["ab"])),
        ("evoeval", "difficult/32", (2.0, 9.0, [[-4, 0, 1], (0, 3)]), (3.5, 9.0, [[-4, 0, 1], (0, 3)])),
        ("evoeval", "subtle/32", (1.0, 9.0, [[-1, 0, 1]]), (0.5, 9.0, [[-1, 0, 1]])),
        (
            "evoeval",
            "creative/26",
            (["right"], ["down"], [[[0, 0]], (0, 0), (0, 1)]),
            (["down"], ["x"], [[[0, 0]], (0, 0), (0, 1)]),
        ),
        (
            "evoeval",
            "creative/30",
            ([(0, 0), (0, 1)], [(9, 9)], [[[1, 1]], (0, 0), (0, 1)]),
            ([(0, 0)], [(9, 9)], [[[1, 1]], (0, 0), (0, 1)]),
        ),
        ("evoeval", "creative/69", ((0, 1), (2, 3), [[2, 3], 6]), ((1, 1), (2, 3), [[2, 3], 6])),
        ("equal", "", ((1, 2), [1, 2], []), ([2, 1], [1, 2], [])),
    ]
    for rule, name, right, wrong in cases:
        for (out, expected, arguments), verdict in ((right, True), (wrong, False)):
            try:
                found = find_check(rule, name, 1e-6)(out, False, expected, arguments)
            except Exception:
                found = False
            assert bool(found) is verdict, (rule, name, out)


def test_large_lists_may_be_compared_by_their_hash() -> None:
    """Equal lists have equal hashes; small ones, floats and unhashable things are moved as they are."""
    large = [(number, "x") for number in range(30_000)]
    assert digest(large) == digest(list(large)) is not None
    assert digest(large) != digest([*large[:-1], (0, "x")])
    assert digest(large[:10]) is digest([0.5] * 30_000) is digest([[]] * 30_000) is None


def test_bytes_from_an_answer_can_do_no_harm() -> None:
    """Only plain values come out of what an answer's process sends, whatever it sends."""
    with pytest.raises((ValueError, EOFError, TypeError)):
        unpack(b"\x80\x04garbage")
    assert unpack(marshal.dumps((1, "a"))) == (1, "a")
