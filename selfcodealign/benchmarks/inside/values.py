"""Values that cross from an answer's process to the judge, and when two of them count as equal."""

from __future__ import annotations

import marshal
import sys
from collections.abc import Callable, Mapping, Set
from typing import Any

#: Stands for whatever has no plain form (a match object, an array, an instance of the answer's own class).
OPAQUE = ...
#: Longer lists may be compared by their hash.
LARGE = 20_000
#: `numpy.allclose` as EvalPlus calls it.
RELATIVE_TOLERANCE = 1e-7
#: What EvalPlus and EvoEval allow floats where a task names no tolerance.
FLOAT_TOLERANCE = 1e-6

_PLAIN = (int, float, complex, str, bytes)
_BUILTIN = frozenset({*_PLAIN, bool, list, tuple, dict, set, frozenset, type(None)})
_NUMBERS = (int, float, complex)

# What a subclass's instance is underneath, asked without any method of the subclass.
_TAKE: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, lambda value: int.__add__(value, 0)),
    (float, lambda value: float.__add__(value, 0.0)),
    (complex, lambda value: complex.__add__(value, 0j)),
    (str, lambda value: str.__getitem__(value, slice(None))),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
)
_dumps, _loads, _type, _isinstance = marshal.dumps, marshal.loads, type, isinstance


def pack(value: Any) -> tuple[bool, bytes]:
    """A value as bytes that hold plain builtins only, and whether its own type was another one.

    Instances of subclasses lose their class, so an object that claims to equal everything arrives as what it is.
    """
    # Marshal writes whatever has a buffer as bytes, numpy's numbers too; without numpy nothing of that kind matters.
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
    """The plain value that `pack` made. Raises `ValueError`, `EOFError` or `TypeError` on other bytes."""
    return _loads(data)


def digest(value: Any) -> int | None:
    """The hash of a large list or tuple of hashable things; None for every other value.

    Some tasks answer with millions of tuples: comparing hashes (equal in all processes forked from one) saves moving
    them. Lists of floats are never hashed, because they may differ a little and be right.
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
    """`out == expected`; a comparison that raises or does not say yes or no means no."""
    try:
        return bool(out == expected)
    except Exception:
        # The reference's own values may refuse (an array has no single truth value): not equal, as in EvalPlus.
        return False


def all_floats(value: Any) -> bool:
    """Whether EvalPlus would allow this expected value a tolerance: a float or a flat, non-empty list of floats."""
    if isinstance(value, float):
        return True
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, float) for item in value)


def close(out: Any, expected: Any, absolute: float, relative: float = RELATIVE_TOLERANCE, nan: bool = False) -> bool:
    """|out − expected| ≤ absolute + relative·|expected| in every place of two numbers or equally shaped lists."""
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

    Exact equality first. A task's `atol`, or 1e-6 from the first expected value on that is all floats (it stays for
    the rest of the suite, as there), allows numbers of the same type to differ.
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
    """EvoEval's comparison: types must agree all the way down, floats may differ by 1e-6 (and 1e-5 of their size)."""
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
    # An empty list counts as floats there, so [] and () agree.
    if isinstance(value, float):
        return True
    return isinstance(value, (list, tuple)) and all(isinstance(item, float) for item in value)


def _all_alike(out: Any, expected: Any) -> bool:
    return all(alike(a, b) for a, b in zip(out, expected, strict=True))


Check = Callable[[Any, bool, Any, list], bool]
