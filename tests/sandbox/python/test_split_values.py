"""The codec between a response's process and its judge's: exact for data, and deaf to everything that is none."""

from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import fractions
import json
import uuid
from typing import Any

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.sandbox.python.split.values import Decoder, Encoder
from selfcodealign.sandbox.python.split.wire import Unsplittable


class NoHandles:
    """Everything must cross as data."""

    def export(self, value: Any) -> list[Any]:
        raise Unsplittable(f"{value!r} is no data")

    def resolve(self, message: list[Any]) -> Any:
        raise Unsplittable("a handle")

    def own(self, number: int) -> Any:
        raise Unsplittable("a handle")

    def find_named(self, module: str, name: str) -> Any:
        raise Unsplittable("a name")

    def foreign(self, value: Any) -> int | None:
        return None

    def name_of(self, value: Any) -> list[str] | None:
        return None


def cross(value: Any) -> Any:
    """Encode, go through JSON text, decode."""
    encoder = Encoder(NoHandles())
    message = json.loads(json.dumps(encoder.encode(value)))
    return Decoder(NoHandles(), encoder.blobs).decode(message)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(SCALARS, inner)
        | st.sets(SCALARS)
        | st.frozensets(SCALARS)
        | st.lists(inner).map(collections.deque)
        | st.dictionaries(st.text(), inner).map(collections.OrderedDict)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_data_cross_exactly(value: Any) -> None:
    """Equal, and of the same types at every depth."""
    there = cross(value)
    assert there == value
    assert repr(there) == repr(value) or isinstance(value, (set, frozenset)) or "{" in repr(value)
    assert type(there) is type(value)


def test_shared_and_circular_references_stay_so() -> None:
    """The same list twice is one list there, and a list may hold itself."""
    inner = [1]
    outer: list[Any] = [inner, inner, {"again": inner}]
    outer.append(outer)
    there = cross(outer)
    assert there[0] is there[1] is there[2]["again"]
    assert there[3] is there


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(6).reshape(2, 3),
        numpy.array([1.5, float("nan")]),
        numpy.array(["a", "bc"]),
        numpy.array([True, False]),
        numpy.array([1, "x", None], dtype=object),
        numpy.array(3),
        numpy.zeros((0, 2)),
    ],
    ids=str,
)
def test_arrays_cross_exactly(array: Any) -> None:
    """Type, shape and values."""
    there = cross(array)
    assert there.dtype == array.dtype
    assert there.shape == array.shape
    numpy.testing.assert_array_equal(there, array)


def test_frames_cross_exactly() -> None:
    """Columns, index and types of a frame and a series."""
    frame = pandas.DataFrame(
        {"n": [1, 2], "s": ["a", None], "t": pandas.to_datetime(["2024-01-01", "2024-01-02"])}, index=["x", "y"]
    )
    pandas.testing.assert_frame_equal(cross(frame), frame)
    pandas.testing.assert_series_equal(cross(frame["n"]), frame["n"])
    assert cross(pandas.Timestamp("2024-05-01")) == pandas.Timestamp("2024-05-01")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
TAGS = ["i", "f", "r", "k", "h", "o", "g", "l", "t", "d", "s", "fs", "B", "od", "ct", "dd", "dq", "sn", "b", "c"]
TAGS += [
    "rg",
    "sl",
    "D",
    "F",
    "da",
    "td",
    "T",
    "tz",
    "zi",
    "u",
    "re",
    "vk",
    "vv",
    "vi",
    "mv",
    "p",
    "x",
    "n",
    "N",
    "no",
    "nd",
]


@given(st.lists(JSON, max_size=6), st.sampled_from([*TAGS, "ps", "pf", "pi", "pt", "pn", "zz"]))
def test_no_message_breaks_the_judge(parts: list[Any], tag: str) -> None:
    """Anything but a value of the codec is refused; nothing else happens."""
    with contextlib.suppress(Unsplittable):
        Decoder(NoHandles(), [b"1234"]).decode([tag, *parts])


def test_numbers_beyond_json_cross() -> None:
    """Huge integers and floats that JSON does not know."""
    for value in (1 << 70, -(1 << 200), 10**5000, float("inf"), -float("inf")):
        assert cross(value) == value
    assert str(cross(float("nan"))) == "nan"
    assert cross([decimal.Decimal("1.10"), fractions.Fraction(1, 3), uuid.UUID(int=5)]) == [
        decimal.Decimal("1.10"),
        fractions.Fraction(1, 3),
        uuid.UUID(int=5),
    ]
    assert cross(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)).tzinfo is datetime.UTC
