"""`pytest.approx`: numbers and containers of numbers that are nearly equal (relative 1e-6 or absolute 1e-12)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Sized
from typing import Any


class Approx:
    """Equal to every value within the tolerance of `expected`, element by element for containers and arrays."""

    __array_ufunc__ = None  # numpy then uses this class's comparison
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expected: Any, rel: Any = None, abs: Any = None, nan_ok: bool = False) -> None:
        self.expected = expected
        self._relative = rel
        self._absolute = abs
        self._nan_ok = nan_ok

    def __repr__(self) -> str:
        return f"approx({self.expected!r})"

    def __eq__(self, actual: object) -> bool:
        return self._near(actual, self.expected)

    def __ne__(self, actual: object) -> bool:
        return not self == actual

    def __bool__(self) -> bool:
        raise AssertionError("approx() is not supported in a boolean context; did you mean `assert a == approx(b)`?")

    def _near(self, actual: Any, expected: Any) -> bool:
        if hasattr(expected, "__array__") or hasattr(actual, "__array__"):
            actual = actual.tolist() if hasattr(actual, "tolist") else actual
            expected = expected.tolist() if hasattr(expected, "tolist") else expected
            if isinstance(actual, Sequence) and not isinstance(expected, Sequence):
                return all(self._near(element, expected) for element in actual)
        if isinstance(expected, Mapping):
            return (
                isinstance(actual, Mapping)
                and actual.keys() == expected.keys()
                and self._all_near(actual, expected, expected)
            )
        if isinstance(expected, Sequence) and not isinstance(expected, (str, bytes)):
            same_shape = isinstance(actual, Sequence) and isinstance(actual, Sized) and len(actual) == len(expected)
            return same_shape and self._all_near(actual, expected, range(len(expected)))
        return self._near_number(actual, expected)

    def _all_near(self, actual: Any, expected: Any, keys: Any) -> bool:
        return all(self._near(actual[key], expected[key]) for key in keys)

    def _near_number(self, actual: Any, expected: Any) -> bool:
        if actual == expected:
            return True
        try:
            if math.isnan(abs(expected)):
                return self._nan_ok and math.isnan(abs(actual))
            if math.isinf(abs(expected)):
                return False
            return bool(abs(expected - actual) <= self._tolerance(expected))
        except (TypeError, AttributeError, ArithmeticError):
            return False

    def _tolerance(self, expected: Any) -> Any:
        kind = type(expected) if type(expected).__name__ in ("Decimal", "Fraction") else float
        absolute = kind(1e-12) if self._absolute is None else self._absolute
        if self._relative is None and self._absolute is not None:
            return absolute
        relative = kind(1e-6) if self._relative is None else self._relative
        return max(relative * abs(expected), absolute)
