"""Classes across the two processes: what one tells about a class, and the class that the other makes of it.

An instance that stays in its process is met through a stand-in: an object of a class with the same name, whose
methods and operators ask the other side. A class derived from a plain type (`class Stack(list)`) becomes a real
subclass of that type with the data in it, so that comparisons are made here, on data.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import fractions
import pathlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from selfcodealign.sandbox.python.split.wire import Unsplittable

#: Operators that a stand-in passes on when the class defines them.
_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "divmod")
_ARITHMETIC += ("and", "or", "xor", "lshift", "rshift")
_TEXTS = ("__repr__", "__str__", "__format__", "__bytes__")
_NUMBERS = ("__index__", "__int__", "__float__", "__complex__", "__abs__", "__neg__", "__pos__", "__invert__")
_NUMBERS += ("__round__", "__trunc__", "__floor__", "__ceil__", "__hash__")
_CONTAINER = ("__len__", "__length_hint__", "__getitem__", "__setitem__", "__delitem__", "__iter__", "__next__")
_CONTAINER += ("__reversed__", "__missing__")
_OTHERS = ("__call__", "__enter__", "__exit__", "__aenter__", "__aexit__", "__aiter__", "__anext__", "__await__")
_OTHERS += ("__fspath__", "__dir__")
#: Operators by which an object of the response decides a test itself.
ORDER = ("__lt__", "__le__", "__gt__", "__ge__")
DECIDING = ("__eq__", "__ne__", *ORDER, "__bool__", "__contains__")
FORWARDED = frozenset(
    {f"__{prefix}{name}__" for name in _ARITHMETIC for prefix in ("", "r", "i")}
    | {*_TEXTS, *_NUMBERS, *_CONTAINER, *_OTHERS, *DECIDING}
)
ARITHMETIC = frozenset(f"__{prefix}{name}__" for name in _ARITHMETIC for prefix in ("", "r", "i"))
#: Special names that a stand-in asks the other side for; all others it does not have.
READABLE = frozenset({"__name__", "__qualname__", "__doc__", "__dict__", "__annotations__", "__wrapped__"})
READABLE |= {
    "__version__",
    "__defaults__",
    "__kwdefaults__",
    "__signature__",
    "__members__",
    "__slots__",
    "__args__",
    "__origin__",
}
READABLE |= {"__match_args__", "__func__", "__self__", "__all__", "__abstractmethods__", "__isabstractmethod__"}
_INTERNAL = frozenset({"_peer", "_number", "_class_number", "_base", "_stubs"})
_IMMUTABLE = (bool, int, float, complex, str, bytes, tuple, frozenset, decimal.Decimal, fractions.Fraction)
_IMMUTABLE += (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)
_IMMUTABLE += (pathlib.PosixPath, pathlib.PurePosixPath)
_MUTABLE = (collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque)
_MUTABLE += (list, dict, set, bytearray)
#: Methods that change a container: always the response's.
_CHANGING = frozenset(
    [
        "append",
        "extend",
        "insert",
        "remove",
        "pop",
        "clear",
        "sort",
        "reverse",
        "add",
        "discard",
        "update",
        "popitem",
        "setdefault",
    ]
)
_CHANGING |= {"__setitem__", "__delitem__", "__iadd__", "__ior__", "appendleft", "popleft", "extendleft", "rotate"}
_CHANGING |= {"subtract", "move_to_end", "difference_update", "intersection_update", "symmetric_difference_update"}
BASES: dict[str, type] = {base.__name__: base for base in (*_IMMUTABLE, *_MUTABLE)}


class Asking(Protocol):
    """What a stand-in needs from the conversation."""

    def ask(self, kind: str, *parts: Any) -> Any:
        """Send a request and return the value of the reply, or raise its exception."""
        ...

    def decide(self, name: str, mine: Any, other: Any) -> Any:
        """Ask for the result of an operator by which an object decides a test; watch for lies."""
        ...

    def vouch(self, name: str, mine: Any, value: Any) -> None:
        """Take note of the result of any other operator."""
        ...

    def has_own(self, mine: Any) -> bool:
        """Whether a method that a subclass of a plain type redefines is asked for; else its data decide, here."""
        ...


def data_base(kind: type) -> type | None:
    """Return the plain type that a class is derived from, if any."""
    if kind.__module__ == "builtins":
        return None
    for base in kind.__mro__:
        if BASES.get(base.__name__) is base:
            return base
    return None


def is_mutable(base: type) -> bool:
    return issubclass(base, _MUTABLE)


def plain_data(value: Any, base: type) -> Any:
    """Return the data of an instance as an exact instance of its plain base, by the base's own methods."""
    if issubclass(base, dict):
        return dict((collections.OrderedDict if base is collections.OrderedDict else dict).items(value))
    if issubclass(base, datetime.datetime):
        return base.combine(base.date(value), base.timetz(value))
    if issubclass(base, datetime.date):
        return datetime.date.fromordinal(base.toordinal(value))
    if issubclass(base, datetime.time):
        return datetime.time.fromisoformat(base.isoformat(value))
    if issubclass(base, datetime.timedelta):
        return datetime.timedelta(value.days, value.seconds, value.microseconds)
    if base is str:
        return str.__str__(value)
    if base in (int, bool):
        return int.__int__(value)
    if base is float:
        return float.__float__(value)
    if base is complex:
        return complex(value.real, value.imag)
    if base is fractions.Fraction:
        return fractions.Fraction(value._numerator, value._denominator)
    if base is decimal.Decimal:
        return decimal.Decimal(decimal.Decimal.__str__(value))
    if issubclass(base, pathlib.PurePath):
        return base(pathlib.PurePath.__str__(value))
    return base(base.__iter__(value)) if hasattr(base, "__iter__") else base(value)


def describe(kind: type) -> list[Any]:
    """Return what the other side has to know about a class: bases, methods, operators (bases are still classes)."""
    own = vars(kind)
    base = data_base(kind)
    methods, statics, class_methods = [], [], []
    for name, value in own.items():
        if name.startswith("__") and name.endswith("__"):
            continue
        if isinstance(value, types.FunctionType):
            methods.append(name)
        elif isinstance(value, staticmethod):
            statics.append(name)
        elif isinstance(value, classmethod):
            class_methods.append(name)
    specials = [name for name in own if name in FORWARDED and not _is_generated(kind, name)]
    for other in kind.__mro__[1:]:  # what classes of a library define comes with the class that is derived from them
        if other is not object and other is not base and other.__module__.partition(".")[0] in sys.stdlib_module_names:
            specials += [name for name in vars(other) if name in FORWARDED and name not in specials]
    if own.get("__hash__", "") is None:
        specials.append("unhashable")
    fields: list[str] = []
    if "__dataclass_fields__" in own and _is_generated(kind, "__eq__"):
        fields = [field.name for field in dataclasses.fields(kind) if field.compare]
    bases = [other for other in kind.__bases__ if other is not object]
    named = list(own["_fields"]) if base is tuple and type(own.get("_fields")) is tuple else []
    return [
        kind.__name__,
        kind.__doc__ if isinstance(kind.__doc__, str) else None,
        bases,
        base.__name__ if base else "",
        methods,
        statics,
        class_methods,
        specials,
        fields,
        named,
        list(own.get("__dataclass_fields__", ())),
        _is_generated(kind, "__lt__"),
    ]


def _is_generated(kind: type, name: str) -> bool:
    """Whether `dataclass` wrote the comparison: it compares the fields, and so can the other side."""
    value = vars(kind).get(name)
    return (
        name in ("__eq__", *ORDER)
        and "__dataclass_fields__" in vars(kind)
        and isinstance(value, types.FunctionType)
        and value.__qualname__ == f"{kind.__qualname__}.{name}"
        and value.__code__.co_filename == "<string>"
    )


class StandInClass(type):
    """The class of stand-in classes: calling one makes an instance on the other side."""

    _peer: Any
    _class_number: int
    _base: type | None
    _stubs: dict[str, Any]

    def __new__(meta, name: str, bases: tuple[type, ...], space: dict[str, Any], **options: Any) -> Any:
        raise Unsplittable(f"the tests derive {name} from a class of the response")

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        return cls._peer.ask("call", cls, list(arguments), options)

    def __getattr__(cls, name: str) -> Any:
        if _is_private(name):
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        return cls._peer.ask("get", cls, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        if name in cls._stubs and cls._stubs[name] is value:
            cls._peer.ask("restore", cls, name)
            type.__setattr__(cls, name, value)
            return
        cls._peer.ask("set", cls, name, value)
        if name in vars(cls):  # what was set is asked for from now on
            cls._stubs.setdefault(name, vars(cls)[name])
            type.__delattr__(cls, name)

    def __delattr__(cls, name: str) -> None:
        cls._peer.ask("del", cls, name)

    def __iter__(cls) -> Iterator[Any]:
        return cls._peer.ask("special", "__iter__", [cls])

    def __len__(cls) -> int:
        return cls._peer.ask("special", "__len__", [cls])

    def __bool__(cls) -> bool:
        return True

    def __getitem__(cls, key: Any) -> Any:
        return cls._peer.ask("item", cls, key)

    def __contains__(cls, item: Any) -> bool:
        found = cls._peer.ask("special", "__contains__", [cls, item])
        cls._peer.vouch("__contains__", cls, found)
        return found

    def __dir__(cls) -> list[str]:
        return cls._peer.ask("dir", cls)


def make_class(peer: Asking, number: int, described: list[Any]) -> type:
    """Make the class of the stand-ins for a described class; its bases are decoded already."""
    name, doc, bases, base_name, methods, statics, class_methods, specials, *rest = described
    fields, named, all_fields, ordered = rest
    base = BASES.get(base_name)
    space: dict[str, Any] = {"__doc__": doc, "__module__": "solution", "__qualname__": str(name)}
    placeholder: list[Any] = []
    for method in filter(_is_plain_name, methods):
        space[method] = _method(peer, placeholder, method)
    for method in filter(_is_plain_name, statics):
        space[method] = staticmethod(_class_attribute(peer, placeholder, method))
    for method in filter(_is_plain_name, class_methods):
        space[method] = classmethod(_bound_to_class(peer, method))
    for special in specials:
        if special in FORWARDED:
            space[special] = _deciding(peer, special) if special in DECIDING else _special(peer, special)
    if base is not None:
        for own in [
            name for name in space if hasattr(base, name) and name not in ("__doc__", "__module__", "__qualname__")
        ]:
            space[own] = _own_or_data(peer, space[own], getattr(base, own))
    if name in ("function", "method", "builtin_function_or_method", "partial", "_lru_cache_wrapper"):
        space["__doc__"] = property(lambda self: peer.ask("get", self, "__doc__"))
    if ("unhashable" in specials and not base) or ("__eq__" in space and "__hash__" not in space):
        space["__hash__"] = None
    real = [other for other in bases if isinstance(other, type)]
    exceptional = any(issubclass(other, BaseException) for other in real)
    if fields and not base and not exceptional:
        _compare_fields(space, [str(field) for field in fields], bool(ordered))
    if all_fields:
        made = dataclasses.make_dataclass("_", [(str(field), object) for field in all_fields])
        space["__dataclass_fields__"] = vars(made)["__dataclass_fields__"]
    named = [field for field in named if _is_plain_name(field)]
    if base is tuple and named:
        space |= {str(field): property(_element(place)) for place, field in enumerate(named)}
        space |= {"_fields": tuple(map(str, named)), "_asdict": lambda self: dict(zip(self._fields, self, strict=True))}
    if base is not None and is_mutable(base):
        for method in dir(base):
            if not method.startswith("__") or method in ("__setitem__", "__delitem__", "__iadd__", "__ior__"):
                space.setdefault(method, _asked_method(peer, method))
    mixin: type = Instance
    if exceptional:
        made_bases = _few(real)
        mixin = ErrorStandIn
        space.pop("__str__", None)
    else:
        made_bases = tuple(other for other in real if isinstance(other, StandInClass))
        if base is not None:
            mixin = StandIn
            if not any(issubclass(other, base) for other in made_bases):
                made_bases += (base,)
        else:
            space["__slots__"] = ()
    if not any(issubclass(other, mixin) for other in made_bases):
        made_bases = (mixin, *made_bases)
    made_class = type.__new__(StandInClass, str(name), made_bases, space)
    for attribute, value in (("_peer", peer), ("_class_number", number), ("_base", base), ("_stubs", {})):
        type.__setattr__(made_class, attribute, value)
    placeholder.append(made_class)
    return made_class


def _few(bases: list[type]) -> tuple[type, ...]:
    """At most two lines of exceptions: one that is of every kind would meet every expectation."""
    lines = [base for base in bases if issubclass(base, BaseException)]
    return tuple(lines[:2])


def _is_plain_name(name: Any) -> bool:
    return type(name) is str and name.isidentifier() and name not in _INTERNAL and name[:2] != "__"


def _is_private(name: str) -> bool:
    """Whether an attribute is none that the other side is asked for."""
    return (name.startswith("__") and name.endswith("__") and name not in READABLE) or name in _INTERNAL


class StandIn:
    """A stand-in for an object of the other side."""

    __slots__ = ()
    _peer: Any

    def __getattr__(self, name: str) -> Any:
        if _is_private(name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return type(self)._peer.ask("get", self, name)

    def __copy__(self) -> Any:
        return type(self)._peer.ask("copy", self, False)

    def __deepcopy__(self, memo: Any) -> Any:
        return type(self)._peer.ask("copy", self, True)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")


class Instance(StandIn):
    """A stand-in without data: every attribute is asked for."""

    __slots__ = ("__weakref__", "_number")

    def __setattr__(self, name: str, value: Any) -> None:
        type(self)._peer.ask("set", self, name, value)

    def __delattr__(self, name: str) -> None:
        type(self)._peer.ask("del", self, name)


class ErrorStandIn(StandIn):
    """A stand-in exception: an exception here, with the data that came with it."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if number_of(self) is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return super().__getattr__(name)

    def __str__(self) -> str:
        return vars(self)["__split_text__"] if "__split_text__" in vars(self) else super().__str__()


def number_of(value: Any) -> int | None:
    """Return the number of the object that a stand-in stands for; None for everything else."""
    kind = type(value)
    if isinstance(kind, StandInClass):
        try:
            return object.__getattribute__(value, "_number")
        except AttributeError:
            return None
    if issubclass(kind, StandInClass):
        return type.__getattribute__(value, "_class_number")
    return None


def _method(peer: Asking, owner: list[Any], name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        return peer.ask("method", owner[0], name, self, list(arguments), options)

    method.__name__ = method.__qualname__ = name
    return method


def _class_attribute(peer: Asking, owner: list[Any], name: str) -> Callable[..., Any]:
    def function(*arguments: Any, **options: Any) -> Any:
        return peer.ask("attribute", owner[0], name, list(arguments), options)

    function.__name__ = function.__qualname__ = name
    return function


def _bound_to_class(peer: Asking, name: str) -> Callable[..., Any]:
    def function(cls: Any, *arguments: Any, **options: Any) -> Any:
        return peer.ask("attribute", cls, name, list(arguments), options)

    function.__name__ = function.__qualname__ = name
    return function


def _asked_method(peer: Asking, name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        return peer.ask("attribute", self, name, list(arguments), options)

    method.__name__ = name
    return method


def _special(peer: Asking, name: str) -> Callable[..., Any]:
    def special(self: Any, *arguments: Any, **options: Any) -> Any:
        if options:
            return peer.ask("attribute", self, name, list(arguments), options)
        value = peer.ask("special", name, [self, *arguments])
        peer.vouch(name, self, value)
        return value

    special.__name__ = name
    return special


def _deciding(peer: Asking, name: str) -> Callable[..., Any]:
    if name == "__bool__":
        return lambda self: peer.decide(name, self, None)
    return lambda self, other: peer.decide(name, self, other)


def _own_or_data(peer: Asking, own: Any, plain: Any) -> Any:
    """A method that a subclass of a plain type redefines: its own where that class is tested, else that of the type."""
    if not callable(own) or not callable(plain):
        return own

    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        return (own if peer.has_own(self) else plain)(self, *arguments, **options)

    return method


def _element(place: int) -> Callable[[Any], Any]:
    return lambda self: tuple.__getitem__(self, place)


def _compare_fields(space: dict[str, Any], fields: list[str], ordered: bool) -> None:
    """Compare as `dataclass` does, here: the fields of both sides, fetched as data."""

    def values(value: Any) -> tuple[Any, ...]:
        return tuple(getattr(value, field) for field in fields)

    def equal(self: Any, other: Any) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        type(self)._peer.vouched += 1  # both sides tell their fields themselves
        return values(self) == values(other)

    space["__eq__"] = equal
    space.setdefault("__hash__", None)
    operators: dict[str, Callable[[Any, Any], bool]] = {
        "__lt__": lambda a, b: a < b,
        "__le__": lambda a, b: a <= b,
        "__gt__": lambda a, b: a > b,
        "__ge__": lambda a, b: a >= b,
    }
    for name, operator in operators.items() if ordered else ():
        if name not in space:

            def compare(self: Any, other: Any, operator: Callable[[Any, Any], bool] = operator) -> Any:
                return operator(values(self), values(other)) if type(other) is type(self) else NotImplemented

            space[name] = compare
