"""The fixtures that tests may ask for without defining them: tmp_path, capsys, monkeypatch, request and others."""

from __future__ import annotations

import importlib
import itertools
import os
import pathlib
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from selfcodealign.sandbox.python.pytest_capture import (
    CaptureFixture,
    FileCapture,
    LogCaptureFixture,
    WarningsRecorder,
)
from selfcodealign.sandbox.python.pytest_mocker import MockerFixture

_absent = object()


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


class TempPathFactory:
    """`tmp_path_factory`: folders below one temporary folder."""

    def __init__(self) -> None:
        self._base: pathlib.Path | None = None

    def getbasetemp(self) -> pathlib.Path:
        self._base = self._base or pathlib.Path(tempfile.mkdtemp())
        return self._base

    def mktemp(self, basename: str, numbered: bool = True) -> pathlib.Path:
        base = self.getbasetemp()
        free = (base / f"{basename}{number}" for number in itertools.count())
        folder = next(path for path in free if not path.exists()) if numbered else base / basename
        folder.mkdir()
        return folder


class LocalPath(type(pathlib.Path())):  # type: ignore[misc]
    """`tmpdir`: a path with the methods of `py.path.local` that tests use."""

    def join(self, *parts: Any) -> LocalPath:
        return LocalPath(self, *parts)

    def write(self, data: Any, mode: str = "w", ensure: bool = False) -> None:
        self.write_bytes(data) if isinstance(data, bytes) else self.write_text(str(data))

    def read(self, mode: str = "r") -> Any:
        return self.read_bytes() if "b" in mode else self.read_text()

    def check(self, **_: Any) -> bool:
        return bool(self.exists())

    def ensure(self, *parts: Any, dir: bool = False) -> LocalPath:
        path = self.join(*parts)
        (path if dir else path.parent).mkdir(parents=True, exist_ok=True)
        if not dir:
            path.touch()
        return path

    def listdir(self) -> list[LocalPath]:
        return list(self.iterdir())

    @property
    def strpath(self) -> str:
        return str(self)

    @property
    def basename(self) -> str:
        return str(self.name)

    @contextmanager
    def as_cwd(self) -> Iterator[LocalPath]:
        before = os.getcwd()
        os.chdir(self)
        try:
            yield self
        finally:
            os.chdir(before)

    def mkdir(self, *parts: Any, **options: Any) -> LocalPath:  # type: ignore[override]
        path = self.join(*parts)
        super(LocalPath, path).mkdir(**options)
        return path


class Config:
    """`pytestconfig` and `request.config`: every option and setting has its default."""

    def __init__(self) -> None:
        self.option = types.SimpleNamespace(verbose=0)
        self.rootpath = self.rootdir = pathlib.Path.cwd()

    def getoption(self, name: str, default: Any = None, skip: bool = False) -> Any:
        return default

    def getini(self, name: str) -> Any:
        return []

    def addinivalue_line(self, name: str, line: str) -> None:
        """There are no settings to add to."""


class Node:
    """`request.node`: the running test."""

    def __init__(self, function: Any, group: type | None, marks: list[Any], params: dict[str, Any]) -> None:
        self.originalname = getattr(function, "__name__", "")
        self.name = f"{self.originalname}[{'-'.join(map(str, params.values()))}]" if params else self.originalname
        self.nodeid = "::".join(["solution.py", *([group.__name__] if group else []), self.name])
        self.function, self.cls, self.own_markers = function, group, marks
        self.callspec = types.SimpleNamespace(params=params)
        self.keywords = {mark.name: mark for mark in marks} | {self.name: True}
        self.user_properties: list[Any] = []

    def iter_markers(self, name: str | None = None) -> Iterator[Any]:
        # The closest first: the runner lists marks from the module inwards.
        return (mark for mark in reversed(self.own_markers) if name in (None, mark.name))

    def get_closest_marker(self, name: str, default: Any = None) -> Any:
        return next(self.iter_markers(name), default)

    def add_marker(self, mark: Any) -> None:
        self.own_markers.append(mark)


class Request:
    """`request`: what a fixture or a test may ask about the running test, and a way to clean up after it."""

    def __init__(
        self, node: Node, instance: Any, enders: list[Callable[[], object]], make: Callable[[str], Any], module: Any
    ) -> None:
        self.node = node
        self.function, self.cls, self.instance, self.module = node.function, node.cls, instance, module
        self.config, self.keywords = Config(), node.keywords
        self.scope = "function"
        self.fixturename: str | None = None
        self.param: Any  # only where there is one
        self._enders = enders
        self.getfixturevalue = make

    def addfinalizer(self, finalizer: Callable[[], object]) -> None:
        self._enders.append(finalizer)

    def applymarker(self, mark: Any) -> None:
        self.node.add_marker(mark)


def _with_end(make: Callable[[], Any], end: str) -> Callable[[], tuple[Any, Callable[[], object]]]:
    """A fixture whose object is finished by its method `end`."""

    def begin() -> tuple[Any, Callable[[], object]]:
        value = make()
        return value, getattr(value, end)

    return begin


def _plain(make: Callable[[], Any]) -> Callable[[], tuple[Any, Callable[[], object]]]:
    return lambda: (make(), lambda: None)


#: How to make each fixture, with the call that finishes it.
BUILTIN_FIXTURES: dict[str, Callable[[], tuple[Any, Callable[[], object]]]] = {
    "tmp_path": _plain(lambda: pathlib.Path(tempfile.mkdtemp())),
    "tmpdir": _plain(lambda: LocalPath(tempfile.mkdtemp())),
    "tmp_path_factory": _plain(TempPathFactory),
    "tmpdir_factory": _plain(TempPathFactory),
    "capsys": _with_end(CaptureFixture, "close"),
    "capsysbinary": _with_end(lambda: CaptureFixture(binary=True), "close"),
    "capfd": _with_end(FileCapture, "close"),
    "capfdbinary": _with_end(lambda: FileCapture(binary=True), "close"),
    "caplog": _with_end(LogCaptureFixture, "close"),
    "recwarn": _with_end(lambda: WarningsRecorder().__enter__(), "close"),
    "monkeypatch": _with_end(MonkeyPatch, "undo"),
    "pytestconfig": _plain(Config),
    "record_property": _plain(lambda: lambda name, value: None),
    "doctest_namespace": _plain(dict),
    "anyio_backend": _plain(lambda: "asyncio"),
}
BUILTIN_FIXTURES |= {
    f"{scope}mocker": _with_end(MockerFixture, "stopall") for scope in ("", "class_", "module_", "package_", "session_")
}
