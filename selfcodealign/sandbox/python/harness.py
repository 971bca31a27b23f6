"""Runs one Python program behind its walls and reports what it proved.

This code shares a process with code that may try to deceive it. Therefore everything needed after foreign code has run
is captured in closures before, the report carries a secret that no name refers to, and another process judges it.
"""

from __future__ import annotations

import gc
import importlib
import marshal
import os
import random
import struct
import sys
import threading
import types
import unittest
from collections.abc import Callable, Iterator
from typing import Any

from selfcodealign.sandbox.language import BuildError, Refused
from selfcodealign.sandbox.python import pytest_style, tamper, unseen
from selfcodealign.sandbox.python.build import Built, build_mutant, build_program, is_safe_to_parse
from selfcodealign.sandbox.python.evidence import Evidence, describe_build_error
from selfcodealign.sandbox.python.instrument import RAN, TESTED
from selfcodealign.sandbox.python.units import EndOfModule, TestFailed, Units

# The folder of the whole sandbox package: the frames of the forker and the kernel module are trusted as well.
_SANDBOX = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/"
# The modules that programs import most: loaded once for all programs.
_EVERYDAY = (
    *("abc", "asyncio", "bisect", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "doctest"),
    *("enum", "fractions", "functools", "heapq", "io", "itertools", "json", "logging", "math", "operator", "random"),
    *("re", "statistics", "string", "tempfile", "threading", "time", "typing", "unittest", "unittest.mock"),
)

_UNTIL_ADAPTED = 20  # specialised bytecode is then written before the fork, not after each one
_REHEARSAL: dict[str, Any] = {
    "kind": "tests",
    "entry_point": None,
    "tests_inside": False,
    "response": "def twice(word):\n    return [letter for letter in word] * 2\n",
    "tests": "assert twice('a') == ['a', 'a']\n",
    "versions": [None],
    "mutants_wanted": False,
}

Send = Callable[[dict[str, Any]], None]


class Runner:
    """Runs Python programs in one server."""

    def __init__(self) -> None:
        # asyncio imports TLS where it can: useless without a network, and a tenth of the cost of a fork.
        sys.modules["ssl"] = None  # type: ignore[assignment]
        for name in _EVERYDAY:
            importlib.import_module(name)
        del sys.modules["ssl"]
        sys.modules["pytest"] = pytest_style.as_module()

    def settle(self) -> None:
        """Last step before the first program, after the warm libraries are loaded."""
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(0)
        self._libraries = tamper.LibrarySnapshot()
        # No name refers to this code any more; running code keeps its references.
        self._forgotten = [sys.modules.pop(name) for name in list(sys.modules) if name.startswith("selfcodealign")]
        tamper.forbid_introspection(_SANDBOX)
        self._rehearse()

    def _rehearse(self) -> None:
        """Run a small program a few times, until the interpreter has specialised this code."""
        main = sys.modules["__main__"]
        for _ in range(_UNTIL_ADAPTED):
            self._execute(next(self.build(_REHEARSAL)), lambda message: None)
        sys.modules["__main__"] = main
        del sys.modules["solution"]

    def build(self, job: dict[str, Any]) -> Iterator[Any]:
        """In the server: build the versions of an ordinary program; other programs are built in their own process."""
        told = {name: job[name] for name in ("kind", "entry_point", "tests_inside")}
        if not is_safe_to_parse(job):
            texts = {name: job[name] for name in ("response", "tests", "mutants_wanted")}
            yield from ((told | texts, version) for version in job["versions"])
            return
        try:
            whole = build_program(job)
        except BuildError as error:
            yield from [Refused(describe_build_error(error))] * len(job["versions"])
            return
        for version in job["versions"]:
            try:
                built = whole if version is None else build_mutant(job, whole, version)
                yield told, built.pack()
            except BuildError as error:
                yield Refused(describe_build_error(error))

    def run(self, work: tuple[dict[str, Any], Any], report: int, nonce: bytes) -> None:
        """In the program's own process, behind its walls. Never returns."""
        leave, get_pid, send = os._exit, os.getpid, _make_sender(report, nonce)
        own_pid = get_pid()
        try:
            summary = self._execute(work, send)
        except BuildError as error:
            summary = describe_build_error(error)
        if get_pid() == own_pid:  # a fork of the program also gets here
            send(summary)
        leave(0)

    def _execute(self, work: tuple[dict[str, Any], Any], send: Send) -> dict[str, Any]:
        job, packed = work
        built = Built.unpack(packed) if isinstance(packed, tuple) else build_program(job, packed)
        ready = Ready(job, built)
        evidence, run_phases = ready.evidence, ready.run_phases
        find_patched = self._libraries.find_patched if built.may_patch else str
        evidence.connect(send, os.getpid())
        ready.enter()
        random.seed(0)
        gc.enable()
        run_phases()
        evidence.patched = evidence.patched or find_patched()
        return evidence.summary()


class Ready:
    """A built program with its namespace and evidence, ready to run in its own process."""

    def __init__(self, job: dict[str, Any], built: Built) -> None:
        self._built = built
        self.evidence = Evidence(built)
        self._module = types.ModuleType("solution")
        namespace = vars(self._module)
        namespace.update({RAN: self.evidence.ran, TESTED: self.evidence.tested, "__file__": "solution.py"})
        namespace.update(self.evidence.marks)
        if job["kind"] == "check":
            namespace["__record__"] = self.evidence.record
        self._units = Units(built, self.evidence, namespace, job["entry_point"] if job["kind"] == "check" else None)
        self.run_phases = _make_phases(job, built, self.evidence, namespace, self._units)

    def enter(self) -> None:
        """In the program's process: register its module under every name that the program uses for it."""
        for name in ("solution", "__main__", *self._built.aliases):
            sys.modules[name] = self._module
        pytest_style.connect(self._units.run_remaining)
        if self._built.uses_unittest:
            self._units.connect_unittest()
        if self._built.uses_threads:
            unseen.watch(self.evidence)
        if self._built.uses_doctest:
            self._units.connect_doctest()


def _make_sender(report: int, nonce: bytes) -> Send:
    write, dumps, pack, length = os.write, marshal.dumps, struct.Struct("!I").pack, len

    def send(message: dict[str, Any]) -> None:
        body = dumps(message)
        data = nonce + pack(length(body)) + body
        while data:
            data = data[write(report, data) :]

    return send


def _make_phases(
    job: dict[str, Any], built: Built, evidence: Evidence, namespace: dict[str, Any], units: Units
) -> Callable[[], None]:
    """Make the phases of a run: response, tests, tests not called yet, threads."""
    kind, run_code = job["kind"], exec
    steps: list[tuple[str, Callable[[], object]]] = [("response", lambda: run_code(built.response, namespace))]
    if kind != "script":
        steps += [("tests", lambda: run_code(built.tests, namespace)), ("units", units.run_remaining)]
    steps.append(("threads", _thread_joiner()))
    skips = (pytest_style.Skipped, unittest.SkipTest)
    namespace["__name__"] = "__main__" if job["tests_inside"] or kind == "script" else "solution"

    def run_phases() -> None:
        for phase, step in steps:
            evidence.phase = phase
            try:
                step()
            except EndOfModule:
                pass
            except TestFailed:
                return
            except BaseException as error:  # anything a program raises is evidence
                # A skipped module has no tests; after an assertion held, a skip ends the program like any exception.
                if evidence.phase == "tests" and isinstance(error, skips) and not evidence.has_proof():
                    break
                if not _is_ordinary_end(error, kind):
                    evidence.note_error(error)
                    return
            namespace["__name__"] = "__main__"
            evidence.restore(namespace)
        evidence.phase = "end"

    return run_phases


def _is_ordinary_end(error: BaseException, kind: str) -> bool:
    """Whether an exit is ordinary: with the result of `pytest.main`, or with status 0 for scripts."""
    if not isinstance(error, SystemExit):
        return False
    return type(error.code) is pytest_style.ExitCode or (kind == "script" and error.code in (None, 0))


def _thread_joiner() -> Callable[[], None]:
    """Make a function that joins the program's threads; made before the program can patch `threading`."""
    enumerate_threads, current = threading.enumerate, threading.current_thread

    def join() -> None:
        for thread in enumerate_threads():
            if thread is not current() and not thread.daemon:
                thread.join()

    return join
