"""The fixtures that tests may ask for without defining them: tmp_path, capsys, monkeypatch, request."""

from __future__ import annotations

import importlib
import io
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

_absent = object()


class Captured(NamedTuple):
    out: str
    err: str


class Capture:
    """`capsys`: the output printed since the last read."""

    def __init__(self) -> None:
        self._before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()

    def readouterr(self) -> Captured:
        texts = []
        for stream in (sys.stdout, sys.stderr):
            texts.append(stream.getvalue() if isinstance(stream, io.StringIO) else "")
            if isinstance(stream, io.StringIO):
                stream.seek(0)
                stream.truncate()
        return Captured(*texts)

    @contextmanager
    def disabled(self) -> Iterator[None]:
        captured = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self._before
        yield
        sys.stdout, sys.stderr = captured

    def close(self) -> None:
        sys.stdout, sys.stderr = self._before


class MonkeyPatch:
    """`monkeypatch`: changes that are undone after the test."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def setattr(self, target: Any, name: Any, value: Any = _absent, raising: bool = True) -> None:
        if value is _absent:
            path, _, attribute = target.rpartition(".")
            target, name, value = _resolve(path), attribute, name
        before = getattr(target, name, _absent)
        if before is _absent and raising:
            raise AttributeError(f"{target!r} has no attribute {name!r}")
        self._undo.append(lambda: delattr(target, name) if before is _absent else setattr(target, name, before))
        setattr(target, name, value)

    def delattr(self, target: Any, name: Any = _absent, raising: bool = True) -> None:
        if name is _absent:
            path, _, name = target.rpartition(".")
            target = _resolve(path)
        if not hasattr(target, name) and not raising:
            return
        before = getattr(target, name)
        self._undo.append(lambda: setattr(target, name, before))
        delattr(target, name)

    def setitem(self, mapping: Any, key: Any, value: Any) -> None:
        before = mapping.get(key, _absent)
        self._undo.append(lambda: mapping.pop(key, None) if before is _absent else mapping.__setitem__(key, before))
        mapping[key] = value

    def delitem(self, mapping: Any, key: Any, raising: bool = True) -> None:
        if key in mapping or raising:
            before = mapping[key]
            self._undo.append(lambda: mapping.__setitem__(key, before))
            del mapping[key]

    def setenv(self, name: str, value: Any, prepend: str | None = None) -> None:
        joined = f"{value}{prepend}{os.environ[name]}" if prepend and name in os.environ else str(value)
        self.setitem(os.environ, name, joined)

    def delenv(self, name: str, raising: bool = True) -> None:
        self.delitem(os.environ, name, raising)

    def syspath_prepend(self, path: Any) -> None:
        before = sys.path[:]
        self._undo.append(lambda: sys.path.__setitem__(slice(None), before))
        sys.path.insert(0, str(path))

    def chdir(self, path: Any) -> None:
        before = os.getcwd()
        self._undo.append(lambda: os.chdir(before))
        os.chdir(path)

    @classmethod
    @contextmanager
    def context(cls) -> Iterator[MonkeyPatch]:
        patch = cls()
        try:
            yield patch
        finally:
            patch.undo()

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()


def _resolve(path: str) -> Any:
    """Return the object at a dotted path: the longest module in it, then attributes."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for attribute in parts[end:]:
            found = getattr(found, attribute)
        return found
    raise ImportError(f"no module in {path}")


class Request:
    """`request`: the parameter of a fixture, and a way to clean up after it."""

    def __init__(self, param: Any, instance: Any, enders: list[Callable[[], None]], make: Callable[[str], Any]) -> None:
        self.param = param
        self.instance = instance
        self._enders = enders
        self.getfixturevalue = make

    def addfinalizer(self, finalizer: Callable[[], None]) -> None:
        self._enders.append(finalizer)


def _tmp_path() -> tuple[pathlib.Path, Callable[[], None]]:
    return pathlib.Path(tempfile.mkdtemp()), lambda: None


def _capsys() -> tuple[Capture, Callable[[], None]]:
    capture = Capture()
    return capture, capture.close


def _monkeypatch() -> tuple[MonkeyPatch, Callable[[], None]]:
    patch = MonkeyPatch()
    return patch, patch.undo


BUILTIN_FIXTURES: dict[str, Callable[[], tuple[Any, Callable[[], None]]]] = {
    "tmp_path": _tmp_path,
    "tmpdir": _tmp_path,
    "capsys": _capsys,
    "capfd": _capsys,
    "monkeypatch": _monkeypatch,
}
