"""The side of the response: its code runs here, and nothing of the tests is here.

What this process says is a claim of the response; the judge's side never relies on it.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

from selfcodealign.sandbox.python.instrument import RAN
from selfcodealign.sandbox.python.own_module import use_network_for_managers
from selfcodealign.sandbox.python.split.containers import update_in_place
from selfcodealign.sandbox.python.split.peer import RETAINED, Peer, Silent
from selfcodealign.sandbox.python.split.values import MUTABLE, STEERING, Decoder, Encoder, Named
from selfcodealign.sandbox.python.split.wire import INTERRUPTED, Unsplittable

_MOST_OUTPUT = 1 << 20  # characters; what is more goes straight to the program's output
_MOST_RETAINED = 16
_SCALARS = (int, float, str, bool, type(None), tuple)


class Response(Peer):
    """The response's side of the conversation."""

    def __init__(
        self,
        fd: int,
        named: Named,
        code: types.CodeType,
        functions: int,
        aliases: list[str],
        uses_processes: bool,
    ) -> None:
        super().__init__(fd, named)
        if uses_processes:
            use_network_for_managers()
        self._code, self._functions, self._aliases = code, functions, aliases
        self._module = types.ModuleType("solution")
        self._namespace = vars(self._module)
        self._data: dict[str, Any] = {}
        self._originals: dict[tuple[str, str, str], Any] = {}
        self._retained: list[tuple[Any, Any]] = []
        self._printed = 0
        self._serving = 0
        self._operations: dict[str, Callable[..., Any]] = {
            "begin": self._begin,
            "patch": self._patch,
            "unpatch": self._unpatch,
            "seed": self._seed,
            "set_global": self._namespace.__setitem__,
            "del_global": lambda name: self._namespace.pop(name, None),
        }

    def take_streams(self) -> None:
        """Let what the response prints, reads and warns of reach the tests."""
        for stream, name in enumerate(("stdout", "stderr")):
            setattr(sys, name, _Forwarded(self, stream, getattr(sys, name)))
        sys.stdin = _Stdin(self)  # type: ignore[assignment]
        warnings.simplefilter("always")
        warnings.showwarning = self.warn
        logging.root.addHandler(_Records(self))
        logging.root.setLevel(1)  # the tests' side decides which records count

    def serve(self) -> None:
        """Serve the judge. Raises `Unsplittable` when it is gone."""
        while True:
            with self._lock:
                message, blobs = self._receive()
                self._serving += 1
            self._serve(message, Decoder(self, blobs))

    def _send(self, payload: list[Any], encoder: Encoder) -> None:
        with self._lock:
            if payload[0] in ("ok", "raise"):
                self._serving -= 1
            self._printed = 0
            super()._send(payload, encoder)

    def ask(self, kind: str, *parts: Any) -> Any:
        if not self._serving:
            self._retained.append((self._retained, None))  # told with the next message
            raise Unsplittable("a thread of the response asks the tests while they do not wait")
        with self._lock:
            try:
                return super().ask(kind, *parts)
            finally:
                if self._wire.interrupted:
                    os._exit(INTERRUPTED)

    def _do(self, kind: str, given: list[Any]) -> Any:
        operation = self._operations.get(kind)
        return super()._do(kind, given) if operation is None else operation(*given)

    # ------------------------------------------------------------------------------------------------- operations

    def _begin(self, wanted: list[str]) -> dict[str, Any]:
        """Run the response's text; return what it binds, as far as the tests may name it."""
        names = {"__name__": "solution", "__file__": "solution.py", RAN: bytearray(self._functions)}
        self._namespace.update(names)
        for name in ("solution", "__main__", *self._aliases):
            sys.modules[name] = self._module
        exec(self._code, self._namespace)
        self._namespace["__name__"] = "__main__"
        chosen = {}
        for name in wanted:
            value = self._namespace.get(name, self)
            if value is self or name.startswith("__") or isinstance(value, types.ModuleType):
                continue
            chosen[name] = value
            if type(value) in MUTABLE or type(value) in _SCALARS:
                self._data[name] = self._write(value)
        return chosen

    def _patch(self, module: str, path: str, name: str, value: Any) -> None:
        target = self.find_named(module, path)
        self._originals.setdefault((module, path, name), getattr(target, name))
        setattr(target, name, value)

    def _unpatch(self, module: str, path: str, name: str) -> None:
        key = (module, path, name)
        if key in self._originals:
            setattr(self.find_named(module, path), name, self._originals.pop(key))

    def _seed(self, module: str, name: str, arguments: list[Any], options: dict[str, Any]) -> None:
        getattr(importlib.import_module(module), name)(*arguments, **options)

    def name_of(self, value: Any) -> list[str] | None:
        """Return module and name of a class that the judge takes by name: a plain type, a library's exception."""
        named = super().name_of(value)
        if named is None and isinstance(value, type) and issubclass(value, BaseException):
            module, name = value.__module__, value.__qualname__
            known = module in sys.modules and sys.modules[module] is not self._module
            if known and getattr(sys.modules[module], name, None) is value and module.partition(".")[0] not in STEERING:
                return [module, name]
        return named

    def find_named(self, module: str, name: str) -> Any:
        """Return anything of a library: the tests are trusted here."""
        try:
            found: Any = importlib.import_module(module)
            for part in name.split(".") if name else ():
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            raise Unsplittable(str(error)) from None
        return found

    # ------------------------------------------------------------------------------------------------- data

    def _keep(self, given: list[Any]) -> None:
        for part in given:
            for value in part if type(part) is list else part.values() if type(part) is dict else ():
                if type(value) in MUTABLE or type(value).__module__ == "numpy":
                    self._retained.append((value, self._write(value)))

    def _write(self, value: Any) -> Any:
        encoder = Silent(self)
        return encoder.encode(value), encoder.blobs

    def _list_updates(self, encoder: Encoder) -> list[Any]:
        updates = super()._list_updates(encoder)
        # A reference of this list, one of its pair and one of the count: nothing else holds it any more.
        self._retained = [pair for pair in self._retained if sys.getrefcount(pair[0]) > 2][-_MOST_RETAINED:]
        if any(form is None or self._write(value) != form for value, form in self._retained):
            updates.append([RETAINED, None])
        for name, known in self._data.items():
            value = self._namespace.get(name)
            if (type(value) in MUTABLE or type(value) in _SCALARS) and (now := self._write(value)) != known:
                self._data[name] = now
                updates.append([name, encoder.encode(value)])
        return updates

    def _renew(self, number: Any, data: Any) -> None:
        if type(number) is str:
            self._namespace[number] = update_in_place(self._namespace.get(number), data)
            self._data[number] = self._write(self._namespace[number])
        else:
            super()._renew(number, data)

    def warn(self, message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        """Keep a warning for the next message: the tests' side decides what becomes of it."""
        kind = type(message) if isinstance(message, Warning) else category
        self._warnings.append([kind, str(message), int(lineno)])

    def log(self, record: logging.LogRecord) -> None:
        """Keep a log record for the next message."""
        name = "" if record.name == "root" else record.name
        self._warnings.append(["log", [name, record.levelno], record.getMessage()])

    def print(self, stream: int, text: str, straight: Any) -> None:
        """Keep printed text for the next message; a flood of it goes to the program's output."""
        self._printed += len(text)
        if self._printed > _MOST_OUTPUT:
            straight.write(text)
        else:
            self._output.append([stream, text])


class _Records(logging.Handler):
    """Takes the log records of the response to the tests."""

    def __init__(self, peer: Response) -> None:
        super().__init__()
        self._peer = peer

    def emit(self, record: logging.LogRecord) -> None:
        self._peer.log(record)


class _Forwarded(io.TextIOBase):
    """The standard output of the response: it appears where the tests' own output goes."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, peer: Response, stream: int, straight: Any) -> None:
        self._peer, self._stream, self._straight = peer, stream, straight
        self.buffer = straight.buffer

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._peer.print(self._stream, text, self._straight)
        return len(text)

    def fileno(self) -> int:
        return self._straight.fileno()

    def writable(self) -> bool:
        return True


class _Stdin(io.TextIOBase):
    """The standard input of the response: what the tests put there."""

    encoding = "utf-8"

    def __init__(self, peer: Response) -> None:
        self._peer = peer

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        return self._peer.ask("stdin", "readline")

    def read(self, size: int | None = -1) -> str:
        return self._peer.ask("stdin", "read")

    def readable(self) -> bool:
        return True
