"""What one process may ask of the other's objects, by name."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from typing import Any


def _call(function: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
    return function(*arguments, **options)


def _method(owner: Any, name: str, value: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
    """Call a method as the class defines it, unless the object has another attribute of that name."""
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = {}
    if name in own:
        return own[name](*arguments, **options)
    found = vars(owner).get(name)
    if found is None:
        return getattr(value, name)(*arguments, **options)
    if hasattr(type(found), "__get__"):
        return found.__get__(value, type(value))(*arguments, **options)
    return found(*arguments, **options)


def _attribute(value: Any, name: str, arguments: list[Any], options: dict[str, Any]) -> Any:
    return getattr(value, name)(*arguments, **options)


def _special(name: str, arguments: list[Any]) -> Any:
    value = arguments[0]
    for owner in type(value).__mro__:
        if name in vars(owner):
            found = vars(owner)[name]
            bound = found.__get__(value, type(value)) if hasattr(type(found), "__get__") else found
            return bound(*arguments[1:])
    raise TypeError(f"{type(value).__name__!r} object has no {name}")


def _item(value: Any, key: Any) -> Any:
    return value[key]


_replaced: dict[tuple[int, str], Any] = {}


def _set(value: Any, name: str, other: Any) -> None:
    if isinstance(value, type) and name in vars(value):
        _replaced.setdefault((id(value), name), vars(value)[name])
    setattr(value, name, other)


def _restore(value: Any, name: str) -> None:
    setattr(value, name, _replaced.pop((id(value), name)))


def _copy(value: Any, deep: bool) -> Any:
    return copy.deepcopy(value) if deep else copy.copy(value)


_loops: list[asyncio.AbstractEventLoop] = []


def _run(coroutine: Any) -> Any:
    """Run a coroutine to its end, in the one loop of this process; in another one while that is running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        if not _loops:
            _loops.append(asyncio.new_event_loop())
            asyncio.set_event_loop(_loops[0])
        return _loops[0].run_until_complete(_await(coroutine))
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(_outcome(coroutine)))
    thread.start()
    thread.join()
    value, error = results[0]
    if error is not None:
        raise error
    return value


def _outcome(coroutine: Any) -> tuple[Any, BaseException | None]:
    try:
        return asyncio.run(_await(coroutine)), None
    except BaseException as error:
        return None, error


async def _await(coroutine: Any) -> Any:
    return await coroutine


def _next(generator: Any) -> Any:
    return _run(generator.__anext__())


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": _call,
    "method": _method,
    "attribute": _attribute,
    "special": _special,
    "item": _item,
    "get": getattr,
    "set": _set,
    "del": delattr,
    "restore": _restore,
    "dir": dir,
    "copy": _copy,
    "run": _run,
    "next": _next,
    "end": lambda: None,
}
