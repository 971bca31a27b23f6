"""Protects the harness from the program in its process, and notes where its response reaches for machinery.

An audit hook (PEP 578), which Python code cannot remove, denies foreign code access to frames, other objects' memory
and native calls. Modules that assertions and runners use tell who assigns to them. `LibrarySnapshot` records what
assertions, runners and comparisons use, and names what a program replaced. Tests may patch what they like: only what a
response does is noted, by the first foreign frame below the access. `machinery.py` has looked at its text before.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import sysconfig
import unittest
from collections.abc import Callable
from operator import is_
from types import FrameType, ModuleType
from typing import Any

from selfcodealign.sandbox.python.build import RESPONSE_FILE, TESTS_FILE

_FRAME_ATTRIBUTES = frozenset({"tb_frame", "gi_frame", "cr_frame", "ag_frame"})
_CODE_ATTRIBUTES = frozenset({"__code__", "gi_code", "cr_code", "ag_code"})
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
# What tests may do, and a response may not.
_FOR_TESTS = frozenset({"object.__getattr__", "object.__setattr__", "code.__new__"})
# Modules that give frames to any caller: their accesses count as accesses by the caller.
_DEPUTIES = ("inspect.py", "string.py", "pdb.py", "bdb.py", "trace.py", "ctypes/__init__.py", "ctypes/util.py")
_DEPUTIES += ("threading.py", "concurrent/futures/thread.py")
_PLAIN_BUILTINS_TO_PATCH = frozenset(
    {"print", "input", "open", "exit", "quit", "help", "copyright", "credits", "license", "_"}
)
# Modules whose functions and classes give tests their expected values, or run tests.
_ORACLES = (
    *("math", "cmath", "operator", "statistics", "decimal", "fractions", "heapq", "bisect", "itertools", "functools"),
    *("collections", "copy", "json", "re", "random", "string", "datetime", "time", "calendar", "hashlib", "textwrap"),
    *("asyncio", "inspect", "threading", "warnings", "doctest", "timeit", "traceback", "types", "typing", "enum"),
    *("dataclasses", "contextlib", "io", "os", "os.path", "tempfile", "concurrent.futures", "queue", "difflib"),
    *("unittest", "unittest.case", "unittest.suite", "unittest.loader", "unittest.result", "unittest.mock", "pytest"),
    *("numpy", "numpy.testing", "pandas", "pandas.testing", "_thread", "abc", "secrets", "struct", "base64", "zlib"),
)
_JUDGING_CLASSES = (
    *("unittest.TestCase", "unittest.TestResult", "unittest.TestSuite", "unittest.TestLoader"),
    *(
        "unittest.TextTestRunner",
        "json.JSONEncoder",
        "unittest.case._Outcome",
        "unittest.mock.NonCallableMock",
        "unittest.mock.CallableMixin",
        "unittest.mock.Mock",
    ),
    *("doctest.OutputChecker", "doctest.DocTestRunner", "doctest.DocTestParser", "doctest.DocTestFinder"),
    *("threading.Thread", "fractions.Fraction", "decimal.Decimal", "random.Random", "asyncio.Runner"),
    *("json.JSONDecoder", "warnings.catch_warnings", "inspect.Signature", "contextlib.redirect_stdout", "timeit.Timer"),
    *("concurrent.futures.Executor", "concurrent.futures.Future", "concurrent.futures.ThreadPoolExecutor"),
)
# What programs are meant to set, and what the libraries set themselves.
_FREE = frozenset(
    {"threading.excepthook", "warnings.showwarning", "warnings.formatwarning", "warnings.filters"}
    | {"warnings._showwarnmsg_impl", "os.environ", "os.environb", "unittest.mock.DEFAULT", "threading.Thread.__doc__"}
)


class Watch:
    """Notes the first thing that a program's response reaches for, while `is_on`."""

    def __init__(self) -> None:
        self.is_on = False
        self.first: list[int | str] = []
        self.set_by_libraries: set[str] = set()

    def note(self, frame: FrameType | None, what: str) -> None:
        """Note an access from `frame`, if a response made it."""
        if self.is_on and not self.first and (line := _line_of_response(frame)):
            self.first = [line, what]


def _line_of_response(frame: FrameType | None) -> int:
    """The line of the response that runs in `frame` or called it; 0 when the nearest foreign text is another."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file == RESPONSE_FILE:
            return frame.f_lineno or 1
        if file == TESTS_FILE:
            return 0
        frame = frame.f_back
    return 0


def forbid_introspection(extra_trusted: str, watch: Watch) -> None:
    """Install the audit hook; code in the standard library, site-packages and `extra_trusted` is trusted."""
    paths = sysconfig.get_paths()
    roots = tuple({paths[name] + "/" for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {extra_trusted})
    sys.addaudithook(_make_hook(roots, watch))
    _watch_modules(watch)


def _make_hook(roots: tuple[str, ...], watch: Watch) -> Callable[[str, tuple[Any, ...]], None]:
    get_frame = sys._getframe
    get_thread: Callable[[], int] = importlib.import_module("_thread").get_ident
    busy: set[int] = set()
    trusted = (*roots, "<frozen ")
    watched, frame_attributes, deputies, refusal = _WATCHED, _FRAME_ATTRIBUTES, _DEPUTIES, PermissionError
    for_tests, code_attributes, note, own_file = _FOR_TESTS, _CODE_ATTRIBUTES, watch.note, TESTS_FILE

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "compile":
            if arguments[1] == own_file:  # a text that would pass for the tests'
                refuse_foreign(event, False)
        elif event in watched and (event != "object.__getattr__" or arguments[1] in frame_attributes):
            refuse_foreign(event, True)
        elif event in for_tests and (event == "code.__new__" or arguments[1] in code_attributes):
            thread = get_thread()
            if thread not in busy:
                busy.add(thread)
                try:
                    frame = get_frame(1)
                    if not frame.f_code.co_filename.startswith(trusted):
                        note(frame, event if event == "code.__new__" else arguments[1])
                finally:
                    busy.discard(thread)

    def refuse_foreign(event: str, has_deputies: bool) -> None:
        thread = get_thread()
        if thread in busy:
            return
        busy.add(thread)
        try:
            frame: FrameType | None = get_frame(2)
            while has_deputies and frame is not None and frame.f_code.co_filename.endswith(deputies):
                frame = frame.f_back
            foreign = frame is not None and not frame.f_code.co_filename.startswith(trusted)
            if foreign and not event.startswith("ctypes"):  # which is denied, and no way to the tests
                note(frame, event)
        finally:
            busy.discard(thread)
        if foreign:
            raise refusal(f"{event} is not available in the sandbox")

    return hook


def _watch_modules(watch: Watch) -> None:
    """Make assignments to the modules that tests rely on tell who makes them."""
    get_frame, note, free, set_by_libraries = sys._getframe, watch.note, _FREE, watch.set_by_libraries
    set_attribute, delete_attribute = ModuleType.__setattr__, ModuleType.__delattr__
    stdlib, libraries = sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"]
    trusted = (stdlib + "/", libraries + "/", "<frozen ")

    def look(module: ModuleType, name: str) -> None:
        frame, what = get_frame(2), f"{vars(module).get('__name__')}.{name}"
        code = frame.f_code
        if code.co_filename.startswith(trusted) and (code.co_name == "<module>" or code.co_filename[0] == "<"):
            set_by_libraries.add(what)  # a library that is being imported
        elif what not in free:
            note(frame, f"an assignment to {what}")

    class Module(ModuleType):
        def __setattr__(self, name: str, value: Any) -> None:
            look(self, name)
            set_attribute(self, name, value)

        def __delattr__(self, name: str) -> None:
            look(self, name)
            delete_attribute(self, name)

    Module.__name__ = Module.__qualname__ = "module"
    Module.__module__ = "builtins"
    for name in ("builtins", *_ORACLES):
        module = sys.modules.get(name)
        if type(module) is ModuleType:
            module.__class__ = Module


class LibrarySnapshot:
    """The library objects that tests rely on, as they were before the program ran."""

    def __init__(self, watch: Watch) -> None:
        self._set_by_libraries = watch.set_by_libraries
        self._owners: list[tuple[str, dict[str, Any]]] = []
        self._known: list[tuple[list[str], list[Any]]] = []
        names = [name for name in vars(builtins) if name not in _PLAIN_BUILTINS_TO_PATCH]
        self._remember("builtins", vars(builtins), names)
        for name in _ORACLES:
            if module := sys.modules.get(name):
                self._remember(name, vars(module), _callables(name, vars(module)))
        for path in _JUDGING_CLASSES:
            module, _, name = path.rpartition(".")
            found = getattr(sys.modules.get(module), name, None)
            if isinstance(found, type):
                self._remember(path, vars(found), _callables(path, vars(found)))  # type: ignore[arg-type]
        modules = [name for name in ("builtins", *_ORACLES, "sys") if name in sys.modules]
        self._remember("sys.modules", sys.modules, modules)

    def _remember(self, owner: str, where: dict[str, Any], names: list[str]) -> None:
        self._owners.append((owner, where))
        self._known.append((names, [where[name] for name in names]))

    def accept(self) -> None:
        """Take what is there now as known: the harness itself connects to some of these."""
        for (_, where), (names, values) in zip(self._owners, self._known, strict=True):
            values[:] = map(where.get, names)

    def find_patched(self) -> str:
        """Name the first object that was replaced; empty when none was."""
        for (owner, where), (names, values) in zip(self._owners, self._known, strict=True):
            if not all(map(is_, values, map(where.get, names))):
                for name, value in zip(names, values, strict=True):
                    if where.get(name) is not value and f"{owner}.{name}" not in self._set_by_libraries:
                        return f"{owner}.{name}"
        return ""


def _callables(owner: str, where: Any) -> list[str]:
    return [
        name
        for name, value in where.items()
        if (callable(value) or isinstance(value, (staticmethod, classmethod, property)))
        and f"{owner}.{name}" not in _FREE
    ]


def judges(patched: str) -> bool:
    """Whether assertions themselves use a library object, so that a run in which it was replaced is no proof."""
    owner = patched.rpartition(".")[0]
    return owner in ("builtins", "math", "cmath", "operator", "numpy.testing", "pandas.testing", "pytest", "numpy") or (
        owner == "unittest.TestCase" or owner == unittest.TestCase.__name__
    )
