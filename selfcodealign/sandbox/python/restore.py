"""Restores a process between two runs of a program: what one run patched, left behind or wrote, the next does not find.

This makes runs independent for honest programs. What it misses shows when the original runs again and does not pass;
then every mutant gets a process.

After a fork, every page written to is copied, and a reference to an object is a write: nothing here refers to all
modules, unless the program may patch some.
"""

from __future__ import annotations

import decimal
import doctest
import importlib
import logging
import os
import shutil
import signal
import sys
import threading
import unittest
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import CodeType
from typing import Any

_absent: Any = object()
_get_handler: Callable[[int], Any] = importlib.import_module("_signal").getsignal  # without an Enum for each answer
_OF_SYS = ("stdin", "stdout", "stderr", "displayhook", "excepthook", "unraisablehook", "exit")
_LISTS_OF_SYS = ("path", "argv", "meta_path", "path_hooks")
_SIGNALS = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)
# Classes that the harness and tests change.
_CLASSES = (unittest.TestResult, unittest.TestCase, doctest.DocTestRunner, unittest.TestLoader)


class Surroundings:
    """What surrounds a program in its process. Create it before foreign code runs."""

    def __init__(self, codes: Iterable[CodeType], *, uses_libraries: bool, may_patch: bool, folder: str) -> None:
        """`codes` are the program's; only with `may_patch` are the modules that they name looked through.

        `uses_libraries`: unittest or doctest; `folder` is the program's scratch ("": a rehearsal, which leaves files
        and processes alone).
        """
        self._may_patch = may_patch
        self._folder = folder
        self._modules = dict(sys.modules) if may_patch else {}
        self._count = len(sys.modules)
        self._environ, self._environ_data = dict(os.environ), dict(os.environ._data)  # type: ignore[attr-defined]
        self._sys = {name: getattr(sys, name) for name in _OF_SYS}
        self._lists = {name: getattr(sys, name)[:] for name in _LISTS_OF_SYS}
        self._recursion = sys.getrecursionlimit()
        self._classes = [(owner, dict(vars(owner))) for owner in _CLASSES if uses_libraries or may_patch]
        self._main = unittest.main
        self._filters, self._show = warnings.filters[:], warnings.showwarning
        self._handlers = {number: _get_handler(number) for number in _SIGNALS}
        self._threads = set(threading.enumerate())
        self._logging = _Logging()
        named = _words(codes) | {"builtins"} if may_patch else set()
        self._namespaces = [
            (vars(module), dict(vars(module)))
            for name, module in self._modules.items()
            if name.rpartition(".")[2] in named and hasattr(module, "__dict__")
        ]
        self._clean = [_make_folder_cleaner(folder), _make_reaper()] if folder else []

    def restore(self, end_threads: Callable[[], None]) -> None:
        """Restore all of it. `end_threads` is called if threads of the program are alive."""
        self._restore_namespaces()
        self._restore_modules()
        for name, value in self._sys.items():
            setattr(sys, name, value)
        for name, values in self._lists.items():
            getattr(sys, name)[:] = values
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        for owner, saved in self._classes:
            _restore_class(owner, saved)
        unittest.main = self._main  # type: ignore[assignment]
        if warnings.filters != self._filters:
            warnings.filters[:] = self._filters  # type: ignore[index]
            getattr(warnings, "_filters_mutated", lambda: None)()
        warnings.showwarning = self._show
        if os.environ._data != self._environ_data:  # type: ignore[attr-defined]
            os.environ.clear()
            os.environ.update(self._environ)
        self._restore_signals()
        self._logging.restore()
        decimal.setcontext(decimal.Context())
        if set(threading.enumerate()) - self._threads:
            end_threads()
        if self._folder:
            os.chdir(self._folder)
        for clean in self._clean:
            clean()
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(0)
        _forget_event_loop()

    def _restore_namespaces(self) -> None:
        for namespace, saved in self._namespaces:
            for name, value in list(namespace.items()):
                before = saved.get(name, _absent)
                if before is _absent:
                    del namespace[name]
                elif before is not value:
                    namespace[name] = before
            for name in saved.keys() - namespace.keys():
                namespace[name] = saved[name]

    def _restore_modules(self) -> None:
        """Keep libraries that the program imported; forget modules that it made, or imported from its folder."""
        for name in [
            name for name, _ in zip(reversed(sys.modules), range(len(sys.modules) - self._count), strict=False)
        ]:
            if not _is_library(sys.modules[name], self._folder):
                del sys.modules[name]
        if self._may_patch:
            for name, module in self._modules.items():
                if sys.modules.get(name) is not module:
                    sys.modules[name] = module
        self._count = len(sys.modules)

    def _restore_signals(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers.items():
            if _get_handler(number) is not handler:
                signal.signal(number, handler)


class _Logging:
    """The root logger, and which loggers there are."""

    def __init__(self) -> None:
        root = logging.getLogger()
        self._handlers, self._level = root.handlers[:], root.level
        self._names = set(logging.Logger.manager.loggerDict)

    def restore(self) -> None:
        root, manager = logging.getLogger(), logging.Logger.manager
        root.handlers[:] = self._handlers
        if root.level != self._level or manager.disable:
            manager.disable = 0
            root.setLevel(self._level)
        for name in set(manager.loggerDict) - self._names:
            del manager.loggerDict[name]


def _words(codes: Iterable[CodeType]) -> set[str]:
    """Return every name in compiled code, and the parts of dotted texts ("time.sleep")."""
    words: set[str] = set()
    for code in _all_codes(codes):
        for name in (*code.co_names, *(part for part in code.co_consts if type(part) is str)):
            words.update(name.split("."))
    return words


def _all_codes(codes: Iterable[CodeType]) -> Iterator[CodeType]:
    for code in codes:
        yield code
        yield from _all_codes(part for part in code.co_consts if isinstance(part, CodeType))


def _is_library(module: Any, folder: str) -> bool:
    """Whether an import found the module outside the program's folder."""
    origin = getattr(getattr(module, "__spec__", None), "origin", None)
    return isinstance(origin, str) and not origin.startswith((folder + "/", "/tmp/", "/dev/shm/"))


def _restore_class(owner: type, saved: dict[str, Any]) -> None:
    for name, value in list(vars(owner).items()):
        if name not in saved:
            delattr(owner, name)
        elif saved[name] is not value:
            setattr(owner, name, saved[name])
    for name in saved.keys() - vars(owner).keys():
        setattr(owner, name, saved[name])


def _make_folder_cleaner(folder: str) -> Callable[[], None]:
    """Make a function that empties the scratch folder, whatever permissions a run left there."""
    scan, remove, remove_all, change_mode = os.scandir, os.unlink, shutil.rmtree, os.chmod

    def clean() -> None:
        for entry in list(scan(folder)):
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    change_mode(entry.path, 0o700)
                    remove_all(entry.path, ignore_errors=True)
                else:
                    remove(entry.path)

    return clean


def _make_reaper() -> Callable[[], None]:
    """Make a function that ends and reaps the children of a run."""
    wait, kill = os.waitpid, os.kill
    alone = os.getpid() == 1  # the first process of a pid namespace: all other processes in it are the program's

    def reap() -> None:
        with suppress(ChildProcessError):
            while wait(-1, os.WNOHANG)[0]:
                pass
            if alone:
                kill(-1, signal.SIGKILL)
            else:
                _terminate_known_children()
            for _ in range(100):
                if not wait(-1, 0 if alone else os.WNOHANG)[0]:
                    break

    return reap


def _terminate_known_children() -> None:
    multiprocessing = sys.modules.get("multiprocessing.process")
    for process in list(getattr(multiprocessing, "_children", ())):
        with suppress(Exception):
            process.kill()
            process.join(1)


def _forget_event_loop() -> None:
    """Let `asyncio.get_event_loop` make a loop once more: after `asyncio.run` it refuses."""
    events = sys.modules.get("asyncio.events")
    if getattr(events, "_event_loop_policy", None) is not None:
        events._event_loop_policy = None  # type: ignore[union-attr]
