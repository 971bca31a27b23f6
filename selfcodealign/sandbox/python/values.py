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


def make_other(file: str, *, tests_inside: bool) -> tuple[Callable[[Any], Any], Callable[[], int]]:
    """Return the function `__other__` of the program in `file`, and one that counts the values it changed."""
    get_frame, another, leaves, changed = sys._getframe, other_value, _leaves_response, [0]

    def other(value: Any) -> Any:
        if not leaves(get_frame(1).f_back, file, tests_inside):
            return value
        # By another amount each time: tests that compare two results with each other look at values, too.
        new = another(value, 1 + changed[0] % _AMOUNTS)
        changed[0] += new is not value
        return new

    return other, lambda: changed[0]


def _leaves_response(caller: FrameType | None, file: str, tests_inside: bool) -> bool:
    """Whether a caller is not the response's own code; of a text with tests inside, those are its tests."""
    if caller is None or caller.f_code.co_filename != file:
        return True
    name = caller.f_code.co_name
    return tests_inside and (name == "<module>" or name.startswith("test"))


def other_value(value: Any, amount: int = 1, depth: int = 0) -> Any:
    """Return another value of the same type and shape; the value itself if there is none, or it is not plain."""
    change = _CHANGES.get(type(value))
    if change is not None:
        return change(value, amount)
    change_all = _CONTAINERS.get(type(value))
    if change_all is not None and depth < _DEEPEST and len(value) <= _LONGEST:
        return change_all(value, lambda part: other_value(part, amount, depth + 1))
    if type(value).__module__ == "numpy":
        return _other_array(value, amount)
    return value


def _other_int(value: int, amount: int) -> int:
    return value + amount if value >= 0 else value - amount


def _other_float(value: float, amount: int) -> float:
    """Stay within what bounds a probability, a share or a length; 0, infinity and nan have no half."""
    part = value / (1 + amount)
    return 0.5 if part in (value, 0.0) or part != part else part


def _other_text(value: str, amount: int) -> str:
    """Change letters and digits, and keep case, length and punctuation."""
    changed = value
    for _ in range(amount):
        changed = changed.translate(_NEXT)
    if changed != value:
        return changed
    return "".join("!" if letter == "?" else "?" for letter in value) or "?"


def _other_list(value: list[Any], other: _Change) -> list[Any]:
    return _if_changed(value, [other(part) for part in value] or [0])


def _other_tuple(value: tuple[Any, ...], other: _Change) -> tuple[Any, ...]:
    return _if_changed(value, tuple(other(part) for part in value) or (0,))


def _other_dict(value: dict[Any, Any], other: _Change) -> dict[Any, Any]:
    if not value:
        return {0: 0}
    changed = {key: other(part) for key, part in value.items()}
    if any(new is not old for new, old in zip(changed.values(), value.values(), strict=True)):
        return changed
    return _if_changed(value, {other(key): part for key, part in value.items()})


def _other_set(value: Any, other: _Change) -> Any:
    """Replace one member: changing each could give the same set."""
    for member in value:
        new = member
        for _ in range(len(value) + 1):
            new, before = other(new), new
            if new is before:
                break
            if new not in value:
                return (value - {member}) | {new}
    return value if value else type(value)([0])


def _if_changed(before: Any, after: Any) -> Any:
    """Keep the identity of a container in which nothing could be changed."""
    if len(before) == len(after) and all(new is old for new, old in zip(after, before, strict=True)):
        return before
    return after


def _other_array(value: Any, amount: int) -> Any:
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind == "b":
        return ~value
    if kind in "iuc":
        return value + value.dtype.type(amount)
    return value / value.dtype.type(2) + value.dtype.type(amount) if kind == "f" else value


def _next_letters() -> dict[int, str]:
    circles = ["abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"]
    return {ord(letter): circle[(i + 1) % len(circle)] for circle in circles for i, letter in enumerate(circle)}


_NEXT = _next_letters()
_AMOUNTS = 5
_Change = Callable[[Any], Any]
_LONGER = datetime.timedelta(days=397, hours=1, minutes=1, seconds=1)  # another year, month, day, hour …
_CHANGES: dict[type, Callable[[Any, int], Any]] = {
    bool: lambda value, amount: not value,
    int: _other_int,
    float: _other_float,
    complex: lambda value, amount: value + amount,
    str: _other_text,
    bytes: lambda value, amount: bytes(byte ^ amount for byte in value) or b"\0",
    bytearray: lambda value, amount: bytearray(byte ^ amount for byte in value) or bytearray(1),
    range: lambda value, amount: range(value.start + amount, value.stop + amount, value.step),
    decimal.Decimal: lambda value, amount: value + amount,
    fractions.Fraction: lambda value, amount: value + amount,
    datetime.timedelta: lambda value, amount: value + amount * _LONGER,
    datetime.date: lambda value, amount: value + amount * _LONGER,
    datetime.datetime: lambda value, amount: value + amount * _LONGER,
}
_CONTAINERS: dict[type, Callable[[Any, _Change], Any]] = {
    list: _other_list,
    tuple: _other_tuple,
    dict: _other_dict,
    set: _other_set,
    frozenset: _other_set,
}
