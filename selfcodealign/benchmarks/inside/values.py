"""Values sent from an answer's process to the judge, and their comparison."""

from __future__ import annotations

import marshal
import sys
from collections.abc import Callable, Mapping, Set
from typing import Any

#: Replaces a value without a plain form (a match object, an array, an instance of the answer's own class).
OPAQUE = ...
#: Longer lists may be compared by their hash.
LARGE = 20_000
#: EvalPlus's relative tolerance in `numpy.allclose`.
RELATIVE_TOLERANCE = 1e-7
#: Tolerance of EvalPlus and EvoEval for floats where a task sets none.
FLOAT_TOLERANCE = 1e-6

_PLAIN = (int, float, complex, str, bytes)
_BUILTIN = frozenset({*_PLAIN, bool, list, tuple, dict, set, frozenset, type(None)})
_NUMBERS = (int, float, complex)

# The builtin value of a subclass's instance, computed without methods of the subclass.
_TAKE: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, lambda value: int.__add__(value, 0)),
    (float, lambda value: float.__add__(value, 0.0)),
    (complex, lambda value: complex.__add__(value, 0j)),
    (str, lambda value: str.__getitem__(value, slice(None))),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
)
_dumps, _loads, _type, _isinstance = marshal.dumps, marshal.loads, type, isinstance


def pack(value: Any) -> tuple[bool, bytes]:
    """Serialise a value as plain builtins; return whether its own type was another one, and the bytes.

    Instances of subclasses lose their class, so an object that equals everything loses that behaviour.
    """
    # Marshal writes any object with a buffer as bytes, including numpy's numbers; without numpy this does not matter.
    if "numpy" not in sys.modules:
        try:
            return False, _dumps(value)
        except ValueError:
            pass
    try:
        return _type(value) not in _BUILTIN, _dumps(_simplify(value, 0))
    except (ValueError, RecursionError):
        return True, _dumps(OPAQUE)


def unpack(data: bytes) -> Any:
    """Return the plain value that `pack` serialised. Raises `ValueError`, `EOFError` or `TypeError` on other bytes."""
    return _loads(data)


def digest(value: Any) -> int | None:
    """Return the hash of a large list or tuple of hashable values; None for any other value.

    Some tasks return millions of tuples: comparing hashes (equal in all processes forked from one) avoids sending them.
    Lists of floats are never hashed, because slightly different values can be correct.
    """
    if type(value) not in (list, tuple) or len(value) < LARGE or isinstance(value[0], float):
        return None
    try:
        return hash(tuple(value))
    except TypeError:
        return None


def _simplify(value: Any, depth: int) -> Any:
    kind = _type(value)
    if value is None or kind in (bool, *_PLAIN):
        return value
    if depth > 200:
        return OPAQUE
    if kind.__module__ == "numpy" and hasattr(kind, "item") and getattr(value, "ndim", 1) == 0:
        return _simplify(value.item(), depth + 1)
    for plain, take in _TAKE:
        if _isinstance(value, plain):
            return take(value)
    if _isinstance(value, list):
        return [_simplify(item, depth + 1) for item in list.__iter__(value)]
    if _isinstance(value, tuple):
        return tuple(_simplify(item, depth + 1) for item in tuple.__iter__(value))
    if _isinstance(value, dict):
        pairs = dict.items(value)
        return {_simplify(key, depth + 1): _simplify(item, depth + 1) for key, item in pairs}
    if _isinstance(value, Set):
        items = {_simplify(item, depth + 1) for item in value}
        return frozenset(items) if _isinstance(value, frozenset) else items
    if kind.__module__ in ("fractions", "decimal") and value == value:
        return int(value) if value == int(value) else float(value)
    return OPAQUE


def equal(out: Any, expected: Any) -> bool:
    """Return `out == expected`; false when the comparison raises or has no truth value."""
    try:
        return bool(out == expected)
    except Exception:
        # The reference's value may raise (an array has no single truth value): not equal, as in EvalPlus.
        return False


def all_floats(value: Any) -> bool:
    """Whether EvalPlus applies a tolerance to this expected value: a float or a flat, non-empty list of floats."""
    if isinstance(value, float):
        return True
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, float) for item in value)


def close(out: Any, expected: Any, absolute: float, relative: float = RELATIVE_TOLERANCE, nan: bool = False) -> bool:
    """|out − expected| ≤ absolute + relative·|expected| for two numbers, or at all places of lists of one shape."""
    if isinstance(expected, (list, tuple)) and isinstance(out, (list, tuple)):
        pairs = zip(out, expected, strict=False)
        return len(out) == len(expected) and all(close(a, b, absolute, relative, nan) for a, b in pairs)
    if not (isinstance(out, _NUMBERS) and isinstance(expected, _NUMBERS)):
        return False
    if out == expected:
        return True
    if out != out or expected != expected:
        return nan and out != out and expected != expected
    try:
        difference, size = abs(out - expected), abs(expected)
    except OverflowError:
        return False
    return size != float("inf") and difference <= absolute + relative * size


class Tolerance:
    """EvalPlus's comparison of one suite of calls.

    Exact equality is checked first. Numbers of the same type may differ by the task's `atol`, or by 1e-6 from the first
    expected value on that is all floats (for the rest of the suite, as in EvalPlus).
    """

    def __init__(self, atol: float) -> None:
        self.atol = atol

    def accepts(self, out: Any, foreign: bool, expected: Any, exact: bool | None = None) -> bool:
        """Whether `out` counts as `expected`; `exact` overrides plain equality where a task has its own oracle."""
        if exact is None:
            exact = equal(out, expected)
        if self.atol == 0 and all_floats(expected):
            self.atol = FLOAT_TOLERANCE
        if exact:
            return True
        if self.atol == 0 or foreign or type(out) is not type(expected):
            return False
        return close(out, expected, self.atol)


def alike(out: Any, expected: Any) -> bool:
    """EvoEval's comparison: types must be equal at all levels, floats may differ by 1e-6 (plus 1e-5 of their size)."""
    if expected is None or isinstance(expected, (bool, str)):
        return type(out) is type(expected) and out == expected
    if isinstance(expected, int):
        return isinstance(out, int) and not isinstance(out, bool) and out == expected
    if _float_like(expected) or _float_like(out):
        return _float_like(expected) and _float_like(out) and close(out, expected, FLOAT_TOLERANCE, 1e-5, nan=True)
    for kind in (tuple, list):
        if isinstance(expected, kind):
            return isinstance(out, kind) and len(out) == len(expected) and _all_alike(out, expected)
    if isinstance(expected, Mapping):
        if not isinstance(out, dict) or len(out) != len(expected):
            return False
        return all(key in expected and alike(value, expected[key]) for key, value in out.items())
    return isinstance(out, set) == isinstance(expected, set) and equal(out, expected)


def _float_like(value: Any) -> bool:
    # In EvoEval an empty list counts as floats, so [] and () are equal.
    if isinstance(value, float):
        return True
    return isinstance(value, (list, tuple)) and all(isinstance(item, float) for item in value)


def _all_alike(out: Any, expected: Any) -> bool:
    return all(alike(a, b) for a, b in zip(out, expected, strict=True))


Check = Callable[[Any, bool, Any, list], bool]
