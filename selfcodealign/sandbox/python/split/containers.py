"""Containers that exist in both processes: whether they can change, and how one is brought up to the other."""

from __future__ import annotations

import types
from typing import Any

from selfcodealign.sandbox.python.split import classes, values
from selfcodealign.sandbox.python.split.classes import StandInClass
from selfcodealign.sandbox.python.split.wire import Unsplittable


def can_change(value: Any, depth: int = 0) -> bool:
    """Whether there is a container in a value that can change; lists and dictionaries of arguments do not count."""
    kind = type(value)
    if kind in values.MUTABLE:
        if depth == 0 and (kind is list or kind is dict):  # the lists of arguments themselves
            inner = value.values() if kind is dict else value
            return any(can_change(part, 1) for part in inner)
        return True
    if kind is tuple:
        return any(can_change(part, depth) for part in value)
    return kind.__module__ in ("numpy", "types") or kind.__module__.startswith("pandas")


def update_in_place(old: Any, new: Any, seen: set[int] | None = None) -> Any:
    """Make `old` equal to `new` where it is a container that can change; return what to keep in its place."""
    kind, seen = type(old), set() if seen is None else seen
    if kind is not type(new) or isinstance(kind, StandInClass) or id(old) in seen:
        return new
    seen.add(id(old))
    if kind is list:
        old[:] = [update_in_place(a, b, seen) for a, b in zip(old, new, strict=False)] + new[len(old) :]
    elif issubclass(kind, dict) and kind in values.MUTABLE:
        merged = [(key, update_in_place(old[key], value, seen) if key in old else value) for key, value in new.items()]
        old.clear()
        old.update(merged)
    elif kind in (set, bytearray):
        old.clear()
        old |= new if kind is set else b""
        if kind is bytearray:
            old += new
    elif kind in values.MUTABLE:
        old.clear()
        old.extend(new)
    elif kind is tuple and len(old) == len(new):
        for a, b in zip(old, new, strict=True):
            update_in_place(a, b, seen)
    elif kind.__module__ == "numpy" and hasattr(old, "shape"):
        if old.shape != new.shape or old.dtype != new.dtype:
            raise Unsplittable("an array was changed in shape")
        old[...] = new
        return old
    elif kind.__module__.startswith("pandas") and hasattr(old, "_mgr"):
        old._mgr = new._mgr
    elif kind is types.SimpleNamespace:
        vars(old).clear()
        vars(old).update(vars(new))
    else:
        return new
    return old


def make_data(owner: type, base: Any, data: Any) -> Any:
    """Make the instance of a stand-in class that is derived from a plain type."""
    if classes.is_mutable(base):
        made = base.__new__(owner)
        fill(made, data, base)
        return made
    if type(data) is not base:
        raise TypeError("data of another type")
    if base.__module__ == "datetime":
        return base.__new__(owner, *data.__reduce__()[1])
    return base.__new__(owner, data)


def fill(made: Any, data: Any, base: Any) -> None:
    """Put data into a container, by the methods of its plain base."""
    if issubclass(base, dict):
        plain = values.keeper(made)
        plain.clear(made)
        for key, value in dict(data).items():
            plain.__setitem__(made, key, value)
        return
    base.clear(made)
    if base is set:
        set.update(made, data)
    else:
        base.extend(made, data)
