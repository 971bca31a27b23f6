"""Runs one Python program inside its walls and reports what it proved.

This code shares a process with code that may want to fool it. So everything needed after foreign code has run is
captured in closures before, the report carries a secret that no name leads to, and the judging is done elsewhere.
"""

from __future__ import annotations

import _thread
import ast
import gc
import importlib
import importlib.util
import marshal
import os
import random
import struct
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

from selfcodealign.sandbox import pytest_style, tamper
from selfcodealign.sandbox.damage import apply_damage, list_damages
from selfcodealign.sandbox.evidence import Evidence
from selfcodealign.sandbox.instrument import (
    EXPLAIN,
    FAILED,
    HELD,
    RAN,
    TESTED,
    defined_names,
    mark_assertions,
    mark_functions,
    mark_tests,
)
from selfcodealign.sandbox.units import EndOfModule, TestFailed, Units

RESPONSE_FILE, TESTS_FILE = "<response>", "<tests>"
_HERE = os.path.dirname(os.path.abspath(__file__)) + "/"

Send = Callable[[dict[str, Any]], None]


def prepare(warm: list[str]) -> Callable[[dict[str, Any], int, bytes], None]:
    """Once per server: make what programs import, and remember what assertions rest on."""
    for name in (
        "unittest",
        "unittest.mock",
        "doctest",
        "typing",
        "collections",
        "dataclasses",
        "functools",
        "itertools",
    ):
        importlib.import_module(name)
    for name in ("math", "re", "heapq", "bisect", "json", "datetime", "decimal", "fractions", "string", "copy", "time"):
        importlib.import_module(name)
    for name in (
        "contextlib",
        "io",
        "enum",
        "abc",
        "operator",
        "statistics",
        "random",
        "tempfile",
        "logging",
        "asyncio",
    ):
        importlib.import_module(name)
    sys.modules["pytest"] = pytest_style.as_module()
    machinery = tamper.Machinery()

    def run(job: dict[str, Any], report: int, nonce: bytes) -> None:
        _run(job, _make_sender(report, nonce), machinery)

    return run


def _make_sender(report: int, nonce: bytes) -> Send:
    write, dumps, pack, length = os.write, marshal.dumps, struct.Struct("!I").pack, len

    def send(message: dict[str, Any]) -> None:
        body = dumps(message)
        data = nonce + pack(length(body)) + body
        while data:
            data = data[write(report, data) :]

    return send


def _run(job: dict[str, Any], send: Send, machinery: tamper.Machinery) -> None:
    leave, get_pid = os._exit, os.getpid
    own_pid = get_pid()
    evidence = Evidence(send, own_pid)
    try:
        response, tests = _parse(job, evidence)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        evidence.note_error(error, "parse")
        send(evidence.summary())
        leave(0)
        return
    steps = _Steps(job, evidence, response, tests)
    _seed_dice()
    _forget_the_sandbox()
    tamper.forbid_introspection(_HERE)
    gc.enable()
    find_patched, summary = machinery.find_patched, evidence.summary
    steps.run_all()
    evidence.patched = evidence.patched or find_patched()
    if get_pid() == own_pid:  # a fork of the program comes by here, too
        send(summary())
    leave(0)


def _parse(job: dict[str, Any], evidence: Evidence) -> tuple[ast.Module, ast.Module]:
    """Both parts as marked trees, damaged where the job says so."""
    evidence.phase = "parse response"
    response = ast.parse(job["response"], RESPONSE_FILE)
    evidence.phase = "parse tests"
    tests = _parse_tests(job["tests"], evidence)
    own_names = defined_names(response)
    if job["damages_wanted"]:
        evidence.list_damages = lambda: list_damages(ast.parse(job["response"]), evidence.ran)
    if job["damage"] is not None:
        apply_damage(response, job["damage"])
    if job["tests_inside"]:
        evidence.sites = mark_assertions(response, own_names)
        evidence.slots = mark_tests(response)
    evidence.ran = bytearray(mark_functions(response))
    if not job["tests_inside"]:
        evidence.sites = mark_assertions(tests, own_names - defined_names(tests))
        evidence.slots = mark_tests(tests)
    evidence.tested = bytearray(len(evidence.slots))
    evidence.aliases = _missing_modules([response, tests], own_names)
    return response, tests


def _parse_tests(text: str, evidence: Evidence) -> ast.Module:
    """The tests as code; a text that is none but has `>>>` examples is kept for doctest."""
    try:
        return ast.parse(text, TESTS_FILE)
    except SyntaxError:
        if not any(line.lstrip().startswith(">>>") for line in text.splitlines()):
            raise
        evidence.doctests = text
        return ast.Module([], [])


class _Steps:
    """The program's life: its response, its tests, the tests nobody called, its threads."""

    def __init__(self, job: dict[str, Any], evidence: Evidence, response: ast.Module, tests: ast.Module) -> None:
        self._job = job
        self._evidence = evidence
        self._response = compile(response, RESPONSE_FILE, "exec", dont_inherit=True)
        self._tests = compile(tests, TESTS_FILE, "exec", dont_inherit=True)
        module = types.ModuleType("solution")
        vars(module).update(vars(module) | {RAN: evidence.ran, TESTED: evidence.tested, "__file__": "solution.py"})
        vars(module).update({HELD: evidence.held, FAILED: evidence.failed, EXPLAIN: evidence.explain})
        if job["kind"] != "script":
            vars(module)["__record__"] = evidence.record
        self._namespace = vars(module)
        self._units = Units(evidence, self._namespace, job["entry_point"] if job["kind"] == "check" else None)
        sys.modules["solution"] = sys.modules["__main__"] = module
        for alias in evidence.aliases:
            sys.modules[alias] = module
        self._main_first = job["tests_inside"] or job["kind"] == "script"

    def run_all(self) -> None:
        evidence, namespace, job = self._evidence, self._namespace, self._job
        steps: list[tuple[str, Callable[[], object]]] = [("response", lambda: exec(self._response, namespace))]
        if job["kind"] != "script":
            steps += [("tests", lambda: exec(self._tests, namespace)), ("units", self._units.run_remaining)]
        steps.append(("threads", _join_threads()))
        pytest_style.connect(self._units.run_remaining)
        self._units.connect_unittest()
        namespace["__name__"] = "__main__" if self._main_first else "solution"
        for phase, step in steps:
            evidence.phase = phase
            try:
                step()
            except EndOfModule:
                pass
            except TestFailed:
                return
            except BaseException as error:  # whatever a program raises is evidence
                if not _is_ordinary_end(error, job["kind"]):
                    evidence.note_error(error, phase)
                    return
            namespace["__name__"] = "__main__"
            evidence.restore(namespace)
        evidence.phase = "end"


def _is_ordinary_end(error: BaseException, kind: str) -> bool:
    """Leaving with what `pytest.main` returned; for scripts, leaving with status 0."""
    if not isinstance(error, SystemExit):
        return False
    return type(error.code) is pytest_style.ExitCode or (kind == "script" and error.code in (None, 0))


def _join_threads() -> Callable[[], None]:
    """Wait for the program's threads as the interpreter would; captured before the program can patch threading."""
    enumerate_threads, current = threading.enumerate, threading.current_thread

    def join() -> None:
        for thread in enumerate_threads():
            if thread is not current() and not thread.daemon:
                thread.join()

    return join


def _seed_dice() -> None:
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)


def _forget_the_sandbox() -> None:
    """No name leads to this code any more; what runs keeps what it captured."""
    for name in [name for name in sys.modules if name.startswith("selfcodealign")]:
        del sys.modules[name]
    threading._main_thread._ident = _thread.get_ident()  # type: ignore[attr-defined]


def _missing_modules(trees: list[ast.Module], own_names: set[str]) -> list[str]:
    """Modules that the program imports but nobody has: the names under which tests expect their own response.

    `from calculator import add` means the response when `add` is defined there and no module `calculator` exists.
    """
    aliases = []
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            wanted, names = node.module, {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            wanted, names = node.names[0].name, set()
        else:
            continue
        if wanted in sys.modules or (names - {"*"}) - own_names or _exists(wanted):
            continue
        aliases.append(wanted)
    return aliases


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False
