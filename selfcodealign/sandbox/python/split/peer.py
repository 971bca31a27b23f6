"""The conversation between the two processes: the same on both sides, but for what each may be asked.

One side asks and waits; while it waits, it serves what the other asks in return (a callback, a mock). Every message
also carries what changed meanwhile: printed output, working directory and environment, data of live stand-ins.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

from selfcodealign.sandbox.python.split import classes
from selfcodealign.sandbox.python.split.ambient import Ambient
from selfcodealign.sandbox.python.split.classes import StandInClass, number_of
from selfcodealign.sandbox.python.split.containers import can_change, fill, make_data, update_in_place
from selfcodealign.sandbox.python.split.operations import OPERATIONS
from selfcodealign.sandbox.python.split.values import Decoder, Encoder, Named, WriteOnly
from selfcodealign.sandbox.python.split.wire import Ended, Forged, Unsplittable, Wire

_GENERATORS = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_STREAMS = ("stdout", "stderr")
#: In place of a name or number: the response still holds an argument, and changed it after its call.
RETAINED = "*"


class Peer:
    """One side of the conversation."""

    def __init__(self, fd: int, named: Named) -> None:
        self._wire = Wire(fd)
        self._named = named
        self._exports: dict[int, list[Any]] = {}  # number → [object, times sent, data sent]
        self._numbers: dict[int, int] = {}  # id of an exported object → number
        self._count = 0
        self._described: set[int] = set()
        self._stand_ins: dict[int, Any] = {}  # number → stand-in, or a weak reference to it
        self._received: dict[int, int] = {}
        self._foreign: dict[int, tuple[Any, int]] = {}  # id of a stand-in without a number of itself
        self._released: list[tuple[int, int]] = []
        self._live: dict[int, type] = {}  # exported objects with data that can change → their plain base
        self._lock = threading.RLock()
        self._output: list[list[Any]] = []
        self._warnings: list[list[Any]] = []  # of the response, for the side of the tests
        self._ambient = Ambient()
        self.lost = self.forged = ""
        self.ended = False  # whether the other side has closed the socket
        self.inexact: set[str] = set()
        self.has_objects = False  # whether objects of the other side were met
        self.vouched = 0

    # ------------------------------------------------------------------------------------------------- asking

    def ask(self, kind: str, *parts: Any) -> Any:
        """Send a request and return the value of the reply, or raise its exception."""
        if self.lost:
            raise Unsplittable(self.lost)
        with self._lock:
            try:
                encoder = Encoder(self)
                self._send([kind, *encoder.items(parts)], encoder)
                while True:
                    message, blobs = self._receive()
                    decoder = Decoder(self, blobs)
                    if message[0] in ("ok", "raise"):
                        break
                    self._serve(message, decoder)
                value = decoder.decode(message[1])
                self._take_changes(parts, decoder, message[2])
                self._pass_warnings()
            except Unsplittable as error:
                self.lost = self.lost or str(error)
                self.forged = self.forged or (str(error) if isinstance(error, Forged) else "")
                self.ended |= isinstance(error, Ended)
                raise
            except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
                self.lost = f"a message of no known form: {type(error).__name__}: {error}"
                raise Unsplittable(self.lost) from None
        if message[0] == "raise":
            if not isinstance(value, BaseException):
                raise Unsplittable("something was raised that is no exception")
            raise value
        return value

    def decide(self, name: str, mine: Any, other: Any) -> Any:
        """Return the result of an operator by which an object of the other side decides."""
        return self.ask("special", name, [mine] if name == "__bool__" else [mine, other])

    def vouch(self, name: str, mine: Any, value: Any) -> None:
        """Take note of the result of any other operator."""

    def has_own(self, mine: Any) -> bool:
        """Whether a method that a subclass of a plain type redefines is asked for."""
        return True

    def _pass_warnings(self) -> None:
        """Let the warnings that came with messages take effect here."""

    def _take_changes(self, parts: tuple[Any, ...], decoder: Decoder, changes: Any) -> None:
        """Bring the arguments up to date that the other side changed in place."""
        if changes is not None:
            for old, new in zip(parts, decoder.items(changes), strict=True):
                update_in_place(old, new)

    # ------------------------------------------------------------------------------------------------- serving

    def _serve(self, message: list[Any], decoder: Decoder) -> None:
        """Do what is asked and send the reply."""
        kind, *parts = message
        self._check_request(kind, parts)
        given = decoder.items(parts)
        before = self._written(given)
        encoder = Encoder(self)
        try:
            value = self._do(kind, given)
            reply = ["ok", encoder.encode(value), None]
        except Unsplittable:
            raise
        except BaseException as error:
            encoder = Encoder(self)
            reply = ["raise", encoder.encode(error), None]
        if before is not None and self._written(given) != before:
            reply[2] = encoder.items(given)
        if before is not None:
            self._keep(given)
        self._send(reply, encoder)

    def _keep(self, given: list[Any]) -> None:
        """Remember arguments that can change, as far as they are still held after the call."""

    def _check_request(self, kind: str, parts: list[Any]) -> None:
        """Raise `Unsplittable` for a request that this side does not serve."""

    def _written(self, given: list[Any]) -> Any:
        """Return the arguments as a text, to see whether a call changes them; None if nothing in them can change."""
        if not any(can_change(part) for part in given):
            return None
        encoder = Silent(self)
        return encoder.items(given), encoder.blobs

    def _do(self, kind: str, given: list[Any]) -> Any:
        return OPERATIONS[kind](*given)

    # ------------------------------------------------------------------------------------------------- messages

    def _send(self, payload: list[Any], encoder: Encoder) -> None:
        released, self._released = self._released, []
        output, self._output = self._output, []
        warned, self._warnings = self._warnings, []
        updates = [self._list_updates(encoder), Encoder(self).items(warned)]
        self._wire.send([payload, released, output, self._ambient.changed(), *updates], encoder.blobs)

    def _receive(self) -> tuple[list[Any], list[bytes]]:
        message, blobs = self._wire.receive()
        try:
            payload, released, output, ambient, updates, warned = message
            self._warnings += Decoder(self, []).items(warned)
            for number, times in released:
                self._release(number, times)
            for stream, text in output:
                getattr(sys, _STREAMS[stream]).write(str(text))
            if ambient is not None:
                self._ambient.set(ambient)
            if updates:
                decoder = Decoder(self, blobs)
                for number, data in updates:
                    self._renew(number, decoder.decode(data))
            if type(payload) is not list or type(payload[0]) is not str:
                raise TypeError("no payload")
        except (TypeError, ValueError, LookupError, AttributeError, OSError) as error:
            raise Forged(f"a message of no known form: {error}") from None
        return payload, blobs

    def _list_updates(self, encoder: Encoder) -> list[Any]:
        """Return the data of exported objects derived from a list, set or dictionary, where they changed."""
        updates = []
        for number, base in list(self._live.items()):
            entry = self._exports.get(number)
            if entry is None:
                del self._live[number]
                continue
            data = Encoder(self).encode(classes.plain_data(entry[0], base))
            if data != entry[2]:
                entry[2] = data
                updates.append([number, encoder.encode(classes.plain_data(entry[0], base))])
        return updates

    def _renew(self, number: int, data: Any) -> None:
        found = self._stand_in(number)
        if found is not None:
            fill(found, data, type(found)._base)

    # ------------------------------------------------------------------------------------------------- handles

    def export(self, value: Any) -> list[Any]:
        """Return the message form of an object that stays here: ["h", number, kind, description…]."""
        number = self._numbers.get(id(value))
        if number is None:
            self._count += 1
            number = self._count
            self._numbers[id(value)] = number
            self._exports[number] = [value, 0, None]
        self._exports[number][1] += 1
        if isinstance(value, type):
            return ["h", number, "class", *self._describe(number, value)]
        if type(value) is types.FunctionType and not vars(value):
            return ["h", number, "function", *self._describe(number, value)]
        if type(value) in _GENERATORS:
            return ["h", number, type(value).__name__]
        kind = type(value)
        base = classes.data_base(kind)
        told = self.export(kind)
        if base is None:
            return ["h", number, "object", told]
        if classes.is_mutable(base):
            self._live[number] = base
        encoder = Encoder(self)
        data = encoder.encode(classes.plain_data(value, base))
        if encoder.blobs:
            raise Unsplittable("arrays inside an object derived from a container")
        self._exports[number][2] = data
        return ["h", number, "data", told, data]

    def _describe(self, number: int, value: Any) -> list[Any]:
        """Return the description that goes with the first message about a class or function."""
        if number in self._described:
            return []
        self._described.add(number)
        if isinstance(value, type):
            told = classes.describe(value)
            told[2] = Encoder(self).items(told[2])
            return [told]
        return [[value.__name__, value.__qualname__, value.__doc__, _signature(value), _kind_of_function(value)]]

    def resolve(self, message: list[Any]) -> Any:
        """Return the stand-in for an object of the other side."""
        _, number, kind, *rest = message
        if type(number) is not int:
            raise TypeError("a handle without a number")
        self._received[number] = self._received.get(number, 0) + 1
        found = self._stand_in(number)
        if found is not None:
            if kind == "object" or kind == "data":
                Decoder(self, []).decode(rest[0])  # counts the class
            if kind == "data" and classes.is_mutable(type(found)._base):
                fill(found, Decoder(self, []).decode(rest[1]), type(found)._base)
            return found
        made = self._make(number, kind, rest)
        self.has_objects |= kind in ("object", "data")
        keep = kind in ("class", "function", "data") or isinstance(made, BaseException)
        self._stand_ins[number] = made if keep else weakref.ref(made)
        if not keep:
            end: Any = weakref.finalize(made, self._forget, number)
            end.atexit = False
        return made

    def _make(self, number: int, kind: str, rest: list[Any]) -> Any:
        if kind == "class":
            told = list(rest[0])
            told[2] = Decoder(self, []).items(told[2])
            made: Any = classes.make_class(self, number, told)
        elif kind == "function":
            made = self._make_function(number, rest[0])
        elif kind == "generator":
            made = self._foreign_generator(number)
        elif kind == "coroutine":
            made = self._foreign_coroutine(number)
        elif kind == "async_generator":
            made = self._foreign_async_generator(number)
        else:
            owner = Decoder(self, []).decode(rest[0])
            if not isinstance(owner, StandInClass):
                raise TypeError("an object of no class")
            base = type.__getattribute__(owner, "_base")
            if kind == "data" and base is not None:
                made = make_data(owner, base, Decoder(self, []).decode(rest[1]))
                object.__getattribute__(made, "__dict__")["_number"] = number
            elif kind == "object" and base is None:
                made = object.__new__(cast(type, owner))
                object.__setattr__(made, "_number", number)
            else:
                raise TypeError("an object of no known kind")
        return made

    def _stand_in(self, number: int) -> Any:
        found = self._stand_ins.get(number)
        return found() if type(found) is weakref.ref else found

    def _forget(self, number: int) -> None:
        """The stand-in is gone: tell the other side with the next message."""
        if type(self._stand_ins.get(number)) is weakref.ref:
            self._stand_ins.pop(number, None)
        self._released.append((number, self._received.pop(number, 0)))

    def _release(self, number: int, times: int) -> None:
        entry = self._exports.get(number)
        if entry is not None:
            entry[1] -= times
            if entry[1] <= 0 and number not in self._described:
                del self._exports[number]
                self._numbers.pop(id(entry[0]), None)

    def own(self, number: int) -> Any:
        """Return the object that was exported under a number."""
        return self._exports[number][0]

    def foreign(self, value: Any) -> int | None:
        """Return the number of the other side's object that `value` stands for."""
        found = self._foreign.get(id(value))
        return found[1] if found is not None else number_of(value)

    def name_of(self, value: Any) -> list[str] | None:
        """Return module and name of a library's object that the other side finds itself."""
        return self._named.name_of(value)

    def find_named(self, module: str, name: str) -> Any:
        """Return the class of that name, if it is one that may be named."""
        found = self._named.find(module, name)
        if found is None:
            raise Unsplittable(f"{module}.{name} may not be named")
        return found

    # ------------------------------------------------------------------------------------------------- functions

    def _make_function(self, number: int, told: list[Any]) -> Callable[..., Any]:
        name, qualified, doc, signature, kind = told
        handle = _Handle(number)

        def function(*arguments: Any, **options: Any) -> Any:
            return self.ask("call", handle, list(arguments), options)

        if kind == "async":  # the coroutine is made on the other side, at once
            vars(function)["_is_coroutine"] = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
        function.__name__, function.__qualname__ = str(name), str(qualified)
        function.__doc__ = doc if type(doc) is str else None
        if signature is not None:
            vars(function)["__signature__"] = _read_signature(signature)
        self._foreign[id(function)] = (function, number)
        self._foreign[id(handle)] = (handle, number)
        return function

    def _step(self, number: int) -> Callable[..., Any]:
        handle = _Handle(number)
        self._foreign[id(handle)] = (handle, number)
        return lambda name, *arguments: self.ask("attribute", handle, name, list(arguments), {})

    def _foreign_generator(self, number: int) -> Any:
        step = self._step(number)

        def forward() -> Iterator[Any]:
            try:
                value = step("send", None)
                while True:
                    try:
                        sent = yield value
                    except GeneratorExit:
                        step("close")
                        raise
                    except BaseException as error:
                        value = step("throw", error)
                    else:
                        value = step("send", sent)
            except StopIteration as end:
                return end.value

        made = forward()
        self._foreign[id(made)] = (made, number)
        return made

    def _foreign_coroutine(self, number: int) -> Any:
        self.inexact.add("coroutines")
        handle = _Handle(number)
        self._foreign[id(handle)] = (handle, number)

        async def forward() -> Any:
            return self.ask("run", handle)

        made = forward()
        self._foreign[id(made)] = (made, number)
        return made

    def _foreign_async_generator(self, number: int) -> Any:
        self.inexact.add("coroutines")
        handle = _Handle(number)
        self._foreign[id(handle)] = (handle, number)

        async def forward() -> Any:
            while True:
                try:
                    value = self.ask("next", handle)
                except StopAsyncIteration:
                    return
                yield value

        made = forward()
        self._foreign[id(made)] = (made, number)
        return made


class _Handle:
    """What a function or generator made here passes on in place of itself."""

    def __init__(self, number: int) -> None:
        self.number = number


class Silent(Encoder):
    """Writes values only to compare them: no object is counted as sent."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(_Identities(peer))


class _Identities(WriteOnly):
    """Stands for the handles of a peer where nothing is sent."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def export(self, value: Any) -> list[Any]:
        return ["h", id(value)]

    def foreign(self, value: Any) -> int | None:
        return self._peer.foreign(value)

    def name_of(self, value: Any) -> list[str] | None:
        return self._peer.name_of(value)


def _signature(function: Callable[..., Any]) -> list[Any] | None:
    """Return names, kinds and plain defaults of the parameters."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    plain = (int, float, str, bool, type(None))
    return [
        [one.name, int(one.kind), one.default is not one.empty, one.default if type(one.default) in plain else "..."]
        for one in parameters
    ]


def _read_signature(told: list[Any]) -> inspect.Signature:
    empty, kinds = inspect.Parameter.empty, list(inspect._ParameterKind)
    return inspect.Signature(
        [
            inspect.Parameter(str(name), kinds[kind], default=default if has_default else empty)
            for name, kind, has_default, default in told
        ]
    )


def _kind_of_function(function: Callable[..., Any]) -> str:
    return "async" if inspect.iscoroutinefunction(function) else ""


def shuffled(items: list[Any]) -> list[Any]:
    """Return the items in an order that nobody can foresee."""
    return random.SystemRandom().sample(items, len(items))
