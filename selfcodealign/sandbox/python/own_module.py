"""The module that holds a program: registered under every name that its tests use, with its source, able to reload."""

from __future__ import annotations

import importlib.machinery
import linecache
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

from selfcodealign.sandbox.python.build import RESPONSE_FILE, TESTS_FILE, Built


def register_module(module: types.ModuleType, names: Iterable[str]) -> None:
    """Make `module` importable under all `names`; the packages around a dotted name are empty modules."""
    for name in names:
        sys.modules[name] = module
    for name in names:
        while "." in name:
            package, _, last = name.rpartition(".")
            if package not in sys.modules:
                sys.modules[package] = types.ModuleType(package)
                sys.modules[package].__path__ = []
            if last not in vars(sys.modules[package]):
                setattr(sys.modules[package], last, sys.modules[name])
            name = package


def show_source(built: Built) -> None:
    """Give `inspect.getsource` and tracebacks the texts of programs that ask for them."""
    for file, text in zip((RESPONSE_FILE, TESTS_FILE), built.sources, strict=False):
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)


class OwnLoader:
    """Executes the response once more, for `importlib.reload`; a finder and a loader in one.

    The module is called `__main__` while the tests run, and `solution` while the response does.
    """

    def __init__(self, execute: Callable[[], object]) -> None:
        self._execute = execute

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name == "__main__" else None  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> None:
        """The default module."""

    def exec_module(self, module: types.ModuleType) -> None:
        before, module.__name__ = module.__name__, "solution"
        try:
            self._execute()
        finally:
            module.__name__ = before


def use_network_for_managers() -> None:
    """Let the managers of `multiprocessing` listen on the loopback: a unix socket cannot be made."""
    vars(importlib.import_module("multiprocessing.connection"))["default_family"] = "AF_INET"
