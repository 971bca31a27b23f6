"""Another value of the same type: what tests that look only at types, lengths and `is not None` cannot tell apart.

The mutant `value:all` computes what the original computes and changes the value where it leaves the response, so that
an assertion, and not an accident inside, has to notice.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

_DEEPEST = 6
_LONGEST = 100_000


def make_other(file: str) -> tuple[Callable[[Any], Any], Callable[[], int]]:
    """Return the function `__other__` of the program in `file`, and one that counts the values it changed."""
    get_frame, another, changed = sys._getframe, other_value, [0]

    def other(value: Any) -> Any:
        if _stays_inside(get_frame(1).f_back, file):
            return value
        new = another(value)
        changed[0] += new is not value
        return new

    return other, lambda: changed[0]


def _stays_inside(caller: FrameType | None, file: str) -> bool:
    """Whether a caller is the response's own code: neither the tests' nor a module's top level."""
    if caller is None or caller.f_code.co_filename != file:
        return False
    name = caller.f_code.co_name
    return name != "<module>" and not name.startswith("test")


def other_value(value: Any, depth: int = 0) -> Any:
    """Return another value of the same type and shape; the value itself if there is none, or it is not plain."""
    change = _CHANGES.get(type(value))
    if change is not None:
        return change(value)
    change_all = _CONTAINERS.get(type(value))
    if change_all is not None and depth < _DEEPEST and len(value) <= _LONGEST:
        return change_all(value, depth + 1)
    if type(value).__module__ == "numpy":
        return _other_array(value)
    return value


def _other_int(value: int) -> int:
    return value + 1 if value >= 0 else value - 1


def _other_float(value: float) -> float:
    """Stay within what bounds a probability, a share or a length; 0, infinity and nan have no half."""
    half = value / 2
    return 0.5 if half in (value, 0.0) or half != half else half


def _other_text(value: str) -> str:
    """Change letters and digits, and keep case, length and punctuation."""
    changed = value.translate(_NEXT)
    if changed != value:
        return changed
    return "".join("!" if letter == "?" else "?" for letter in value) or "?"


def _other_list(value: list[Any], depth: int) -> list[Any]:
    return _if_changed(value, [other_value(part, depth) for part in value] or [0])


def _other_tuple(value: tuple[Any, ...], depth: int) -> tuple[Any, ...]:
    return _if_changed(value, tuple(other_value(part, depth) for part in value) or (0,))


def _other_dict(value: dict[Any, Any], depth: int) -> dict[Any, Any]:
    if not value:
        return {0: 0}
    changed = {key: other_value(part, depth) for key, part in value.items()}
    if any(new is not old for new, old in zip(changed.values(), value.values(), strict=True)):
        return changed
    return _if_changed(value, {other_value(key, depth): part for key, part in value.items()})


def _other_set(value: Any, depth: int) -> Any:
    """Replace one member: changing each could give the same set."""
    for member in value:
        new = member
        for _ in range(len(value) + 1):
            new = other_value(new, depth)
            if new is member:
                break
            if new not in value:
                return (value - {member}) | {new}
    return value if value else type(value)([0])


def _if_changed(before: Any, after: Any) -> Any:
    """Keep the identity of a container in which nothing could be changed."""
    if len(before) == len(after) and all(new is old for new, old in zip(after, before, strict=True)):
        return before
    return after


def _other_array(value: Any) -> Any:
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind == "b":
        return ~value
    if kind in "iuc":
        return value + value.dtype.type(1)
    return value / value.dtype.type(2) + value.dtype.type(1) if kind == "f" else value


def _next_letters() -> dict[int, str]:
    circles = ["abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"]
    return {ord(letter): circle[(i + 1) % len(circle)] for circle in circles for i, letter in enumerate(circle)}


_NEXT = _next_letters()
_CHANGES: dict[type, Callable[[Any], Any]] = {
    bool: lambda value: not value,
    int: _other_int,
    float: _other_float,
    complex: lambda value: value + 1,
    str: _other_text,
    bytes: lambda value: bytes(byte ^ 1 for byte in value) or b"\0",
    bytearray: lambda value: bytearray(byte ^ 1 for byte in value) or bytearray(1),
    range: lambda value: range(value.start, value.stop + value.step, value.step),
    decimal.Decimal: lambda value: value + 1,
    fractions.Fraction: lambda value: value + 1,
    datetime.timedelta: lambda value: value + datetime.timedelta(1),
    datetime.date: lambda value: value + datetime.timedelta(1),
    datetime.datetime: lambda value: value + datetime.timedelta(1),
}
_CONTAINERS: dict[type, Callable[[Any, int], Any]] = {
    list: _other_list,
    tuple: _other_tuple,
    dict: _other_dict,
    set: _other_set,
    frozenset: _other_set,
}
