"""Protects the harness from the program in its process, and detects patched libraries.

An audit hook (PEP 578), which Python code cannot remove, denies foreign code access to frames, other objects' memory
and native calls. `LibrarySnapshot` records the libraries that assertions use (builtins, math, unittest ...) and names
what a program replaced.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import sysconfig
import unittest
from collections.abc import Callable
from types import FrameType
from typing import Any

_FRAME_ATTRIBUTES = frozenset({"tb_frame", "gi_frame", "cr_frame", "ag_frame"})
_WATCHED = frozenset(
    {
        "gc.get_objects",
        "gc.get_referrers",
        "gc.get_referents",
        "sys._getframe",
        "sys._current_frames",
        "sys._current_exceptions",
        "sys.settrace",
        "sys.setprofile",
        "sys.monitoring.register_callback",
        "ctypes.dlopen",
        "ctypes.dlsym",
        "ctypes.dlsym/handle",
        "ctypes.cdata",
        "ctypes.call_function",
        "ctypes.string_at",
        "ctypes.wstring_at",
        "ctypes.PyObj_FromPtr",
        "object.__getattr__",
    }
)
# Modules that give frames to any caller: their accesses count as accesses by the caller.
_DEPUTIES = ("inspect.py", "pdb.py", "bdb.py", "trace.py", "ctypes/__init__.py", "ctypes/util.py")
_PLAIN_BUILTINS_TO_PATCH = frozenset(
    {"print", "input", "open", "exit", "quit", "help", "copyright", "credits", "license", "_"}
)


def forbid_introspection(extra_trusted: str) -> None:
    """Install the audit hook; code in the standard library, site-packages and `extra_trusted` is trusted."""
    paths = sysconfig.get_paths()
    roots = tuple({paths[name] + "/" for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {extra_trusted})
    sys.addaudithook(_make_hook(roots))


def _make_hook(roots: tuple[str, ...]) -> Callable[[str, tuple[Any, ...]], None]:
    get_frame = sys._getframe
    get_thread: Callable[[], int] = importlib.import_module("_thread").get_ident
    busy: set[int] = set()
    trusted = (*roots, "<frozen ")
    watched, frame_attributes, deputies, refusal = _WATCHED, _FRAME_ATTRIBUTES, _DEPUTIES, PermissionError

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in watched or (event == "object.__getattr__" and arguments[1] not in frame_attributes):
            return
        thread = get_thread()
        if thread in busy:
            return
        busy.add(thread)
        try:
            frame: FrameType | None = get_frame(1)
            while frame is not None and frame.f_code.co_filename.endswith(deputies):
                frame = frame.f_back
            foreign = frame is not None and not frame.f_code.co_filename.startswith(trusted)
        finally:
            busy.discard(thread)
        if foreign:
            raise refusal(f"{event} is not available in the sandbox")

    return hook


class LibrarySnapshot:
    """The library objects that assertions use, as they were before the program ran."""

    def __init__(self) -> None:
        self._known: list[tuple[str, dict[str, Any], str, Any]] = []
        self._remember("builtins", vars(builtins), [n for n in vars(builtins) if n not in _PLAIN_BUILTINS_TO_PATCH])
        asserts = [
            name for name in vars(unittest.TestCase) if name.startswith(("assert", "fail", "_base", "run", "__call__"))
        ]
        self._remember("unittest.TestCase", vars(unittest.TestCase), asserts)  # type: ignore[arg-type]
        for module in ("math", "cmath", "operator", "numpy.testing", "pandas.testing", "pytest"):
            if module in sys.modules:
                names = [name for name, value in vars(sys.modules[module]).items() if callable(value)]
                self._remember(module, vars(sys.modules[module]), names)
        if "numpy" in sys.modules:
            self._remember("numpy", vars(sys.modules["numpy"]), ["allclose", "isclose", "array_equal", "all", "any"])

    def _remember(self, owner: str, where: dict[str, Any], names: list[str]) -> None:
        self._known += [(f"{owner}.{name}", where, name, where[name]) for name in names]

    def find_patched(self) -> str:
        """Name the first object that was replaced; empty when none was."""
        missing = None
        for title, where, name, value in self._known:
            if where.get(name, missing) is not value:
                return title
        return ""
