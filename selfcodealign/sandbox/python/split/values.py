"""Objects to JSON and back, between two processes of which one must not be believed.

Exact objects of plain types cross by value: numbers, text, bytes, containers (with shared and circular references),
dates, decimals, paths, patterns, arrays, series, frames. A class or function of a library crosses by name, resolved by
the receiver. Everything else stays where it is and crosses as a handle. There is no pickle: a tag never names code.

    scalar → itself    ["l", items] a list    ["r", 3] the container that was met as number 3
    ["h", id, kind…] a handle of the sender   ["o", id] an object of the receiver, come back
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import pathlib
import re
import sys
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, Protocol, cast

from selfcodealign.sandbox.python.split.wire import Unsplittable

_LEAST, _MOST = -(1 << 63), 1 << 63
_SCALARS = frozenset({type(None), bool, str})
_NAMED: dict[str, Any] = {"...": ..., "NotImplemented": NotImplemented, "utc": datetime.UTC}
_NAMES = {id(value): name for name, value in _NAMED.items()}
_EXCEPTION_STATE = frozenset({"__notes__"})
_NUMPY_KINDS = "biufcSUmM"
MUTABLE = (list, dict, set, bytearray, collections.deque, collections.OrderedDict, collections.defaultdict)
MUTABLE += (collections.Counter,)
#: Modules whose classes and exceptions the judge takes by name.
_CLASS_MODULES = ("builtins", "collections", "datetime", "decimal", "fractions", "enum", "pathlib", "uuid", "numbers")
_CLASS_MODULES += ("types", "string", "array", "io", "collections.abc", "typing", "functools", "itertools", "zoneinfo")
_CLASS_MODULES += ("numpy", "pandas")
#: Exceptions of these modules steer a test's run: raised by a response they mean nothing.
STEERING = ("unittest", "doctest", "pytest", "_pytest", "hypothesis", "selfcodealign", "bdb")


class Handles(Protocol):
    """What the codec needs from the conversation."""

    def export(self, value: Any) -> list[Any]:
        """Return the message form of an object that stays here."""
        ...

    def resolve(self, message: list[Any]) -> Any:
        """Return the stand-in for an object of the other side."""
        ...

    def own(self, number: int) -> Any:
        """Return the object that was exported under a number."""
        ...

    def foreign(self, value: Any) -> int | None:
        """Return the number of the other side's object that `value` stands for."""
        ...

    def name_of(self, value: Any) -> list[str] | None:
        """Return module and name of a library's object that the other side finds itself."""
        ...

    def find_named(self, module: str, name: str) -> Any:
        """The inverse of `name_of`. Raises `Unsplittable` for what may not be named."""
        ...


def keeper(value: Any) -> Any:
    """Return the plain type that keeps the items of a dictionary: an ordered one has its own order."""
    return collections.OrderedDict if isinstance(value, collections.OrderedDict) else dict


class WriteOnly:
    """Handles for an encoder whose message is compared and never sent: nothing of it is read."""

    def resolve(self, message: list[Any]) -> Any:
        raise NotImplementedError

    def own(self, number: int) -> Any:
        raise NotImplementedError

    def find_named(self, module: str, name: str) -> Any:
        raise NotImplementedError


class Named:
    """Classes that cross by name. Made once per server: both processes are forked with it."""

    def __init__(self, classes: dict[tuple[str, str], type]) -> None:
        self._classes = classes
        self._names = {id(kind): list(name) for name, kind in classes.items()}

    def add(self, module: str, name: str, kind: type) -> None:
        self._classes[module, name] = kind
        self._names[id(kind)] = [module, name]

    def name_of(self, value: Any) -> list[str] | None:
        return self._names.get(id(value))

    def find(self, module: str, name: str) -> type | None:
        return self._classes.get((module, name))


def allowed_classes() -> Named:
    """The classes that a response may name: plain types of the libraries, and exceptions that steer no test."""
    found: dict[tuple[str, str], type] = {}
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", "")
        root = name.partition(".")[0]
        listed = name in _CLASS_MODULES
        if root in STEERING or not (listed or root in sys.stdlib_module_names):
            continue
        for value in list(vars(module).values()):
            if isinstance(value, type) and (listed or issubclass(value, BaseException)):
                owner = value.__module__.partition(".")[0]
                if owner not in STEERING:
                    found.setdefault((value.__module__, value.__qualname__), value)
    return Named(found)


class Encoder:
    """Converts the objects of one message."""

    def __init__(self, handles: Handles) -> None:
        self._handles = handles
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no id is used twice
        self.blobs: list[bytes] = []

    def encode(self, value: Any) -> Any:
        """Return JSON values. Raises `Unsplittable` for what neither has a value nor can be a handle."""
        kind = type(value)
        if kind in _SCALARS:
            return value
        if kind is int:
            return value if _LEAST <= value < _MOST else ["i", hex(value)]
        if kind is float:
            return value if value - value == 0 else ["f", repr(value)]
        if (known := self._seen.get(id(value))) is not None:
            return ["r", known]
        write = _WRITERS.get(kind)
        if write is not None:
            return write(self, value)
        return self._encode_rare(value)

    def number(self, value: Any) -> None:
        """Count a container, before its elements."""
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)

    def items(self, values: Any) -> list[Any]:
        encode = self.encode
        return [encode(value) for value in values]

    def _encode_rare(self, value: Any) -> Any:
        if (name := _NAMES.get(id(value))) is not None:
            return ["k", name]
        if (number := self._handles.foreign(value)) is not None:
            return ["o", number]
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | types.ModuleType):
            named = self._handles.name_of(value)
            return self._handles.export(value) if named is None else ["g", *named]
        if isinstance(value, BaseException):
            return self._encode_exception(value)
        module = type(value).__module__
        if module == "numpy" and "numpy" in sys.modules:
            return self._encode_numpy(value)
        if module.partition(".")[0] == "pandas" and "pandas" in sys.modules:
            return self._encode_pandas(value)
        return self._handles.export(value)

    def _encode_exception(self, error: BaseException) -> Any:
        self.number(error)
        state = {name: value for name, value in vars(error).items() if name.isidentifier()}
        try:
            text = str(error)
        except Exception as other:
            text = f"<{type(other).__name__}>"
        line = 0
        traceback = error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == "<response>":
                line = traceback.tb_lineno
            traceback = traceback.tb_next
        cause = error.__cause__
        return [
            "x",
            self.encode(type(error)),
            self.items(error.args),
            self.items([part for pair in state.items() for part in pair]),
            text,
            line,
            None if cause is None or id(cause) in self._seen else self.encode(cause),
            self._handles.export(error)[1] if self._handles.name_of(type(error)) is None else 0,
        ]

    def _encode_numpy(self, value: Any) -> Any:
        import numpy

        if type(value) is numpy.ndarray:
            self.number(value)
            if value.dtype.kind == "O":
                return ["no", list(value.shape), self.items(value.ravel().tolist())]
            if value.dtype.kind in _NUMPY_KINDS:
                self.blobs.append(numpy.ascontiguousarray(value).tobytes())
                return ["n", value.dtype.str, list(value.shape), len(self.blobs) - 1]
        elif isinstance(value, numpy.generic) and value.dtype.kind in _NUMPY_KINDS:
            return ["N", value.dtype.str, value.tobytes().hex()]
        elif isinstance(value, numpy.dtype) and value.kind in _NUMPY_KINDS + "O":
            return ["nd", value.str]
        return self._handles.export(value)

    def _encode_pandas(self, value: Any) -> Any:
        import pandas

        kind = type(value)
        if kind is pandas.Series:
            self.number(value)
            return ["ps", self._column(value), self._index(value.index), self.encode(value.name)]
        if kind is pandas.DataFrame:
            self.number(value)
            columns = [self._column(value.iloc[:, place]) for place in range(value.shape[1])]
            return ["pf", self._index(value.columns), columns, self._index(value.index)]
        if kind is pandas.Timestamp or kind is pandas.Timedelta:
            return ["pt", kind.__name__, value.isoformat(), str(value.tz) if getattr(value, "tz", None) else ""]
        if value is pandas.NaT or value is pandas.NA:
            return ["pn", str(value)]
        if isinstance(value, pandas.Index):
            self.number(value)
            return ["pi", self._index(value)]
        return self._handles.export(value)

    def _column(self, values: Any) -> Any:
        array = values.to_numpy()
        plain = array.dtype == values.dtype if hasattr(values.dtype, "kind") else False
        if plain and array.dtype.kind in _NUMPY_KINDS:
            return [str(values.dtype), True, self.encode(array)]
        return [str(values.dtype), False, self.items(values.tolist())]

    def _index(self, index: Any) -> Any:
        names = self.items(index.names)
        if type(index).__name__ == "RangeIndex":
            return ["range", [index.start, index.stop, index.step], names]
        if type(index).__name__ == "MultiIndex":
            return ["multi", self.items(index.tolist()), names]
        return ["plain", self._column(index), names, type(index).__name__ == "CategoricalIndex"]


def _pairs(encoder: Encoder, value: Any) -> list[Any]:
    encode = encoder.encode
    return [encode(part) for pair in keeper(value).items(value) for part in pair]


def _writer(tag: str, listed: Callable[[Encoder, Any], list[Any]]) -> Callable[[Encoder, Any], Any]:
    """A writer for a container: counted first, then written."""

    def write(encoder: Encoder, value: Any) -> Any:
        encoder.number(value)
        return [tag, *listed(encoder, value)]

    return write


def _write_timezone(encoder: Encoder, value: Any) -> Any:
    offset = value.utcoffset(None)
    return ["k", "utc"] if value is datetime.UTC else ["tz", encoder.encode(offset), value.tzname(None)]


def _write_time(encoder: Encoder, value: Any) -> Any:
    fields = [getattr(value, name) for name in _TIME_FIELDS[type(value)]]
    return ["T", type(value).__name__, fields, encoder.encode(value.tzinfo), value.fold]


_TIME_FIELDS: dict[type, tuple[str, ...]] = {
    datetime.datetime: ("year", "month", "day", "hour", "minute", "second", "microsecond"),
    datetime.time: ("hour", "minute", "second", "microsecond"),
}
_PLAIN_PATHS = {kind.__name__: kind for kind in (pathlib.PosixPath, pathlib.PurePosixPath, pathlib.PureWindowsPath)}
_PATTERN = type(re.compile(""))
_WRITERS: dict[type, Callable[[Encoder, Any], Any]] = {
    list: _writer("l", lambda e, v: [e.items(v)]),
    tuple: _writer("t", lambda e, v: [e.items(v)]),
    dict: _writer("d", lambda e, v: [_pairs(e, v)]),
    set: _writer("s", lambda e, v: [e.items(v)]),
    frozenset: _writer("fs", lambda e, v: [e.items(v)]),
    bytearray: _writer("B", lambda e, v: [v.decode("latin-1")]),
    collections.OrderedDict: _writer("od", lambda e, v: [_pairs(e, v)]),
    collections.Counter: _writer("ct", lambda e, v: [_pairs(e, v)]),
    collections.defaultdict: _writer("dd", lambda e, v: [_pairs(e, v), e.encode(v.default_factory)]),
    collections.deque: _writer("dq", lambda e, v: [e.items(v), v.maxlen]),
    types.SimpleNamespace: _writer("sn", lambda e, v: [_pairs(e, vars(v))]),
    bytes: lambda e, v: ["b", v.decode("latin-1")],
    complex: lambda e, v: ["c", e.encode(v.real), e.encode(v.imag)],
    range: lambda e, v: ["rg", *e.items((v.start, v.stop, v.step))],
    slice: lambda e, v: ["sl", *e.items((v.start, v.stop, v.step))],
    decimal.Decimal: lambda e, v: ["D", str(v)],
    fractions.Fraction: lambda e, v: ["F", *e.items((v.numerator, v.denominator))],
    datetime.date: lambda e, v: ["da", v.year, v.month, v.day],
    datetime.timedelta: lambda e, v: ["td", v.days, v.seconds, v.microseconds],
    datetime.datetime: _write_time,
    datetime.time: _write_time,
    datetime.timezone: _write_timezone,
    zoneinfo.ZoneInfo: lambda e, v: ["zi", v.key],
    uuid.UUID: lambda e, v: ["u", v.hex],
    _PATTERN: lambda e, v: ["re", e.encode(v.pattern), v.flags],
    type({}.keys()): lambda e, v: ["vk", e.items(v)],
    type({}.values()): lambda e, v: ["vv", e.items(v)],
    type({}.items()): lambda e, v: ["vi", e.items(v)],
    memoryview: lambda e, v: ["mv", v.tobytes().decode("latin-1")],
} | {kind: lambda e, v: ["p", type(v).__name__, str(v)] for kind in _PLAIN_PATHS.values()}


class Decoder:
    """Rebuilds the objects of one message."""

    def __init__(self, handles: Handles, blobs: list[bytes]) -> None:
        self._handles = handles
        self._blobs = blobs
        self._seen: list[Any] = []

    def decode(self, message: Any) -> Any:
        """Return the object. Raises `Unsplittable` for anything that the encoder does not write."""
        if type(message) is not list:
            return message
        try:
            return _READERS[message[0]](self, *message[1:])
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise Unsplittable(f"a value of no known form: {type(error).__name__}: {error}") from None

    def items(self, messages: list[Any]) -> list[Any]:
        decode = self.decode
        return [decode(message) if type(message) is list else message for message in messages]

    def note(self, value: Any) -> Any:
        """Count a container, before its elements."""
        self._seen.append(value)
        return value

    def fill_list(self, items: list[Any]) -> list[Any]:
        found: list[Any] = self.note([])
        found += self.items(items)
        return found

    def fill_dict(self, items: list[Any], found: Any) -> Any:
        self.note(found)
        parts = self.items(items)
        put = keeper(found).__setitem__
        for key, value in zip(parts[::2], parts[1::2], strict=True):
            put(found, key, value)
        return found

    def fill_default_dict(self, items: list[Any], factory: Any) -> Any:
        found: Any = collections.defaultdict(None)
        self.fill_dict(items, found)
        found.default_factory = self.decode(factory)
        return found

    def fill_set(self, items: list[Any]) -> Any:
        found: set[Any] = self.note(set())
        found.update(self.items(items))
        return found

    def fill_deque(self, items: list[Any], most: int | None) -> Any:
        found: Any = self.note(collections.deque(maxlen=most))
        found.extend(self.items(items))
        return found

    def fill_namespace(self, items: list[Any]) -> Any:
        found = self.note(types.SimpleNamespace())
        parts = self.items(items)
        vars(found).update(zip(parts[::2], parts[1::2], strict=True))
        return found

    def freeze(self, items: list[Any], kind: Callable[[list[Any]], Any]) -> Any:
        """A container that cannot hold itself but through another one."""
        place = len(self._seen)
        self._seen.append(None)
        self._seen[place] = kind(self.items(items))
        return self._seen[place]

    def again(self, number: int) -> Any:
        value = self._seen[number]
        if value is None:
            raise ValueError("a circle through an immutable container")
        return value

    def handle(self, *message: Any) -> Any:
        return self._handles.resolve(["h", *message])

    def own(self, number: int) -> Any:
        return self._handles.own(number)

    def named(self, module: str, name: str) -> Any:
        return self._handles.find_named(module, name)

    def exception(
        self, kind: Any, arguments: list[Any], state: list[Any], text: str, line: int, cause: Any, number: int
    ) -> Any:
        place = len(self._seen)
        self._seen.append(None)
        found = self.decode(kind)
        parts = self.items(arguments)
        if not (isinstance(found, type) and issubclass(found, BaseException)):
            raise ValueError("an exception of a class that is none")
        try:
            error = found.__new__(found, *parts)
            BaseException.__init__(error, *parts)
            error.args = tuple(parts)
        except Exception:
            raise ValueError(f"an exception {found.__name__} that cannot be built") from None
        self._seen[place] = error
        values = self.items(state)
        for name, value in zip(values[::2], values[1::2], strict=True):
            if type(name) is str and (name in _EXCEPTION_STATE or not name.startswith("__")):
                error.__dict__[name] = value
        _restore(error, parts)
        error.__dict__["__split_text__"] = str(text)
        error.__dict__["__split_line__"] = int(line)
        if number:
            error.__dict__["_number"] = int(number)
        error.__cause__ = self.decode(cause)
        return error

    def time(self, kind: str, fields: list[int], zone: Any, fold: int) -> Any:
        made = {"datetime": datetime.datetime, "time": datetime.time}[kind]
        return made(*fields, tzinfo=self.decode(zone), fold=fold)  # type: ignore[misc]

    def array(self, dtype: str, shape: list[int], blob: int) -> Any:
        import numpy

        kind = numpy.dtype(dtype)
        if kind.kind not in _NUMPY_KINDS:
            raise ValueError("an array of objects")
        return self.note(numpy.frombuffer(bytearray(self._blobs[blob]), kind).reshape(shape))

    def object_array(self, shape: list[int], items: list[Any]) -> Any:
        import numpy

        found = self.note(numpy.empty(shape, dtype=object))
        found.ravel()[:] = 0
        flat = self.items(items)
        for place, value in enumerate(flat):
            found.flat[place] = value
        return found

    def array_scalar(self, dtype: str, data: str) -> Any:
        import numpy

        kind = numpy.dtype(dtype)
        if kind.kind not in _NUMPY_KINDS:
            raise ValueError("a scalar that is an object")
        return numpy.frombuffer(bytes.fromhex(data), kind)[0]

    def dtype(self, name: str) -> Any:
        import numpy

        return numpy.dtype(name)

    def series(self, column: Any, index: Any, name: Any) -> Any:
        import pandas

        place = len(self._seen)
        self._seen.append(None)
        data = self._column(column)
        found = pandas.Series(data[1], dtype=data[0], copy=True)
        found.index = self._index(index)
        found.name = self.decode(name)
        self._seen[place] = found
        return found

    def frame(self, columns: Any, data: list[Any], index: Any) -> Any:
        import pandas

        place = len(self._seen)
        self._seen.append(None)
        names = self._index(columns)
        made = [pandas.Series(values, dtype=kind, copy=True) for kind, values in map(self._column, data)]
        rows = self._index(index)
        found = pandas.DataFrame(dict(enumerate(made)), index=None if made else rows)
        found.index, found.columns = rows, names
        self._seen[place] = found
        return found

    def index(self, message: Any) -> Any:
        place = len(self._seen)
        self._seen.append(None)
        self._seen[place] = found = self._index(message)
        return found

    def _column(self, column: Any) -> tuple[Any, Any]:
        dtype, is_array, data = column
        return dtype, self.decode(data) if is_array else self.items(data)

    def _index(self, message: Any) -> Any:
        import pandas

        kind, data, names, *_ = message
        if kind == "range":
            found: Any = pandas.RangeIndex(*data)
        elif kind == "multi":
            found = pandas.MultiIndex.from_tuples(self.items(data))
        else:
            dtype, values = self._column(data)
            found = pandas.Index(values, dtype=dtype)
        found.names = self.items(names)
        return found

    def timestamp(self, kind: str, text: str, zone: str) -> Any:
        import pandas

        if kind == "Timedelta":
            return pandas.Timedelta(text)
        found = pandas.Timestamp(text)
        return found.tz_convert(zone) if zone else found

    def missing(self, name: str) -> Any:
        import pandas

        return {"NaT": pandas.NaT, "<NA>": pandas.NA}[name]


def _restore(error: BaseException, arguments: list[Any]) -> None:
    """Set the attributes that built-in exceptions compute from their arguments."""
    if isinstance(error, OSError) or type(error).__init__ is BaseException.__init__:
        return
    mro: tuple[Any, ...] = type(error).__mro__
    owner = next((base for base in mro if base.__module__ == "builtins"), Exception)
    if owner in (StopIteration, SystemExit, KeyError, UnicodeDecodeError, UnicodeEncodeError, SyntaxError):
        try:
            cast(Any, owner).__init__(error, *arguments)
        except Exception:
            return


_READERS: dict[str, Callable[..., Any]] = {
    "i": lambda d, text: int(text, 16),
    "f": lambda d, text: {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}[text],
    "r": Decoder.again,
    "k": lambda d, name: _NAMED[name],
    "h": Decoder.handle,
    "o": Decoder.own,
    "g": Decoder.named,
    "l": Decoder.fill_list,
    "t": lambda d, items: d.freeze(items, tuple),
    "d": lambda d, items: d.fill_dict(items, {}),
    "s": Decoder.fill_set,
    "fs": lambda d, items: d.freeze(items, frozenset),
    "B": lambda d, text: d.note(bytearray(text, "latin-1")),
    "od": lambda d, items: d.fill_dict(items, collections.OrderedDict()),
    "ct": lambda d, items: d.fill_dict(items, collections.Counter()),
    "dd": Decoder.fill_default_dict,
    "dq": Decoder.fill_deque,
    "sn": Decoder.fill_namespace,
    "b": lambda d, text: text.encode("latin-1"),
    "c": lambda d, real, imaginary: complex(d.decode(real), d.decode(imaginary)),
    "rg": lambda d, *parts: range(*d.items(list(parts))),
    "sl": lambda d, *parts: slice(*d.items(list(parts))),
    "D": lambda d, text: decimal.Decimal(text),
    "F": lambda d, *parts: fractions.Fraction(*d.items(list(parts))),
    "da": lambda d, *parts: datetime.date(*parts),
    "td": lambda d, *parts: datetime.timedelta(*parts),
    "T": Decoder.time,
    "tz": lambda d, offset, name: datetime.timezone(d.decode(offset), name),
    "zi": lambda d, key: zoneinfo.ZoneInfo(key),
    "u": lambda d, text: uuid.UUID(text),
    "re": lambda d, pattern, flags: re.compile(d.decode(pattern), flags),
    "vk": lambda d, items: dict.fromkeys(d.items(items)).keys(),
    "vv": lambda d, items: dict(enumerate(d.items(items))).values(),
    "vi": lambda d, items: dict(d.items(items)).items(),
    "mv": lambda d, text: memoryview(text.encode("latin-1")),
    "p": lambda d, kind, text: _PLAIN_PATHS[kind](text),
    "x": Decoder.exception,
    "n": Decoder.array,
    "N": Decoder.array_scalar,
    "no": Decoder.object_array,
    "nd": Decoder.dtype,
    "ps": Decoder.series,
    "pf": Decoder.frame,
    "pi": Decoder.index,
    "pt": Decoder.timestamp,
    "pn": Decoder.missing,
}
