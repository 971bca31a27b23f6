"""Runs one Python program behind its walls and reports what it proved.

This code shares a process with code that may try to deceive it. Therefore everything needed after foreign code has run
is captured in closures before, the report carries a secret that no name refers to, and another process judges it.
"""

from __future__ import annotations

import _json
import _sitebuiltins
import gc
import importlib
import itertools
import os
import random
import struct
import sys
import threading
import types
import unittest
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from selfcodealign.sandbox.language import BuildError, Refused
from selfcodealign.sandbox.python import pytest_style, tamper, unseen
from selfcodealign.sandbox.python.build import Built, TooCostly, build_program, is_safe_to_parse, names_for_judge
from selfcodealign.sandbox.python.evidence import Evidence, describe_build_error, describe_tampering
from selfcodealign.sandbox.python.instrument import RAN, TESTED
from selfcodealign.sandbox.python.own_module import OwnLoader, register_module, show_source, use_network_for_managers
from selfcodealign.sandbox.python.split.judge import LOST, Judge, SolutionModule
from selfcodealign.sandbox.python.split.response import Response
from selfcodealign.sandbox.python.split.values import allowed_classes
from selfcodealign.sandbox.python.split.wire import Unsplittable
from selfcodealign.sandbox.python.together import Together, build_together
from selfcodealign.sandbox.python.units import EndOfModule, TestFailed, Units
from selfcodealign.sandbox.server.reports import MOST_REPORT_BYTES

# The folder of the whole sandbox package: the frames of the forker and the kernel module are trusted as well.
_SANDBOX = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/"
# The modules that programs import most: loaded once for all programs.
_EVERYDAY = (
    *("abc", "asyncio", "bisect", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "doctest"),
    *("enum", "fractions", "functools", "heapq", "io", "itertools", "json", "logging", "math", "operator", "random"),
    *("re", "statistics", "string", "tempfile", "threading", "time", "typing", "unittest", "unittest.mock"),
)

_UNTIL_ADAPTED = 20  # specialised bytecode is then written before the fork, not after each one
_DEEPEST_BUILD = 6000  # frames; the compiler's stack then needs less than the usual 8 MiB
_REHEARSAL: dict[str, Any] = {
    "kind": "tests",
    "entry_point": None,
    "tests_inside": False,
    "response": "def twice(word):\n    return [letter for letter in word] * 2\n",
    "tests": "assert twice('a') == ['a', 'a']\n",
    "versions": [None],
    "together": False,
    "mutants_wanted": False,
}
_TOGETHER: dict[str, Any] = {"versions": [None, "all:none", "value:all"], "together": {"seconds": 1.0}}

_QUITTER = _sitebuiltins.Quitter.__call__.__code__

Send = Callable[[dict[str, Any]], None]
Step = Callable[[], object]


class Runner:
    """Runs Python programs in one server."""

    def __init__(self) -> None:
        # asyncio imports TLS where it can: useless without a network, and a tenth of the cost of a fork.
        sys.modules["ssl"] = None  # type: ignore[assignment]
        for name in _EVERYDAY:
            importlib.import_module(name)
        del sys.modules["ssl"]
        self._last: tuple[Any, Any] = (), None  # the last program built: mutants follow their original
        sys.modules.update(pytest_style.as_modules())

    def settle(self) -> None:
        """Last step before the first program, after the warm libraries are loaded."""
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(0)
        self._watch = tamper.Watch()
        self._libraries = tamper.LibrarySnapshot(self._watch)
        # No name refers to this code any more; running code keeps its references.
        self._forgotten = [sys.modules.pop(name) for name in list(sys.modules) if name.startswith("selfcodealign")]
        self._allowed = allowed_classes()
        tamper.forbid_introspection(_SANDBOX, self._watch)
        self._rehearse()

    def _rehearse(self) -> None:
        """Run a small program a few times, until the interpreter has specialised this code."""
        main = sys.modules["__main__"]
        for _ in range(_UNTIL_ADAPTED):
            self._execute(self.build(_REHEARSAL), lambda message: None)
            self._run_together(self.build(_REHEARSAL | _TOGETHER), lambda message: None, "")
        sys.modules["__main__"] = main
        del sys.modules["solution"]

    def build(self, job: dict[str, Any]) -> Any:
        """In the server: build an ordinary program; other programs are built in their own process."""
        told = {name: job[name] for name in ("kind", "entry_point", "tests_inside", "together", "versions")}
        try:
            whole = self._build_whole(job)
            if whole.tampering is not None:
                return Refused(describe_tampering(whole.tampering))
            return told, whole.pack(), build_together(job) if job["together"] else None
        except TooCostly:
            return told | {name: job[name] for name in ("response", "tests", "mutants_wanted")}, None, None
        except BuildError as error:
            return Refused(describe_build_error(error))

    def _build_whole(self, job: dict[str, Any]) -> Built:
        """Build the program, unless it is the last one that was built. Raises `TooCostly`, `BuildError`."""
        texts = job["response"], job["tests"], job["kind"]
        if texts != self._last[0] or not (job["together"] or job.get("split")):
            if not is_safe_to_parse(job):
                raise TooCostly
            try:
                self._last = texts, build_program(job, only_cheap=True)
            except BuildError as error:
                if isinstance(error.cause, RecursionError):  # a tree that is too deep here
                    raise TooCostly from None
                raise
        return self._last[1]

    def run(self, work: tuple[dict[str, Any], Any, Any], report: int, nonce: bytes) -> None:
        """In the program's own process, behind its walls. Never returns."""
        leave, get_pid, send = os._exit, os.getpid, _make_sender(report, nonce)
        own_pid = get_pid()
        try:
            if work[0]["together"]:
                self._run_together(work, send, os.getcwd())
                leave(0)
            summary = self._execute(work, send)
        except BuildError as error:
            summary = describe_build_error(error)
        if get_pid() == own_pid:  # a fork of the program also gets here
            send(summary)
        leave(0)

    def _run_together(self, work: tuple[dict[str, Any], Any, Any], send: Send, folder: str) -> None:
        job, packed, parts = work
        built = _deeply(build_program, job) if packed is None else Built.unpack(packed)
        parts = _deeply(build_together, job) if parts is None else parts

        def make_ready(version: Built) -> Ready:
            return Ready(job, version, self._watch, self._libraries)

        Together(make_ready, built, parts, folder).run(job["together"].get("turns"), send)

    def _execute(self, work: tuple[dict[str, Any], Any, Any], send: Send) -> dict[str, Any]:
        job, packed, _ = work
        built = _deeply(build_program, job) if packed is None else Built.unpack(packed)
        if built.tampering is not None:
            return describe_tampering(built.tampering)
        ready = Ready(job, built, self._watch, self._libraries)
        evidence, run_phases = ready.evidence, ready.make_phases()
        evidence.connect(send, os.getpid())
        ready.enter()
        random.seed(0)
        gc.enable()
        run_phases()
        return evidence.summary()

    def build_pair(self, job: dict[str, Any]) -> Any:
        """In the server: build a program for two processes: what the judge gets, and what the response gets.

        The part of the response holds nothing of the tests. A program that has to be built in its process, or whose
        response and tests are one text, is refused: it is judged in one process only.
        """
        refused = Refused({"split": LOST | {"lost": "its response and tests are one text, or it is costly to build"}})
        if job["tests_inside"]:
            return refused
        try:
            built = self._build_whole(job)
        except (TooCostly, BuildError):
            return refused
        told = {name: job[name] for name in ("kind", "entry_point", "tests_inside")} | names_for_judge(job)
        return (told, built.pack()), (built.response, built.functions, built.aliases, built.uses_processes)

    def run_judge(self, work: tuple[dict[str, Any], Any], report: int, nonce: bytes, link: int) -> None:
        """In the judge's process: run the tests against the response in the other process. Never returns."""
        leave, send = os._exit, _make_sender(report, nonce)
        told, packed = work
        built = Built.unpack(packed)
        module = SolutionModule("solution")
        ready = Ready(told, built, self._watch, self._libraries, module)
        judge = Judge(link, self._allowed, vars(module), ready.evidence)
        ready.evidence.believes = judge.believes
        ready.evidence.connect(send, os.getpid())
        ready.enter()
        judge.connect(module)
        self._libraries.accept()
        random.seed(0)
        gc.enable()
        run_phases = ready.make_phases(lambda: judge.open(built.aliases, told))
        run_phases()
        send({"split": judge.summary()})
        send(ready.evidence.summary())
        leave(0)

    def run_response(self, work: tuple[Any, int, list[str], bool], link: int) -> None:
        """In the process of the response: run its code and serve the judge. Never returns."""
        random.seed(0)
        gc.enable()
        with suppress(Unsplittable):  # raised when the judge has ended
            Response(link, self._allowed, *work).serve()
        os._exit(0)


def _deeply(build: Callable[[dict[str, Any]], Any], job: dict[str, Any]) -> Any:
    """Build in the program's own process, where a tree may be so deep that its stack overflows."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(_DEEPEST_BUILD)
    try:
        return build(job)
    finally:
        sys.setrecursionlimit(usual)


class Ready:
    """A built program with its namespace and evidence, ready to run in its own process."""

    def __init__(
        self,
        job: dict[str, Any],
        built: Built,
        watch: tamper.Watch,
        libraries: tamper.LibrarySnapshot,
        module: types.ModuleType | None = None,
    ) -> None:
        """`module`: what the tests know as their response, where that runs in another process."""
        self._built = built
        self._watch = watch
        self._libraries = libraries
        self._holds_response = job["kind"] != "script" and not job["tests_inside"] and module is None
        self.evidence = Evidence(built)
        self._module = module or types.ModuleType("solution")
        self.namespace = namespace = vars(self._module)
        namespace.update({RAN: self.evidence.ran, TESTED: self.evidence.tested, "__file__": "solution.py"})
        namespace.update(self.evidence.marks)
        if job["kind"] == "check":
            namespace["__record__"] = self.evidence.record
        self._units = Units(built, self.evidence, namespace, job["entry_point"] if job["kind"] == "check" else None)
        self._job = job

    def make_phases(self, run_response: Step | None = None) -> Callable[[], None]:
        """Make what runs all phases; `run_response` takes the place of running the response's code here."""
        namespace, code, run_code = self.namespace, self._built.response, exec
        begin = run_response or (lambda: run_code(code, namespace))
        look_for_patches = self._make_patch_search()
        return _make_phases(self._job, self._built, self.evidence, namespace, self._units, begin, look_for_patches)

    def _make_patch_search(self) -> Callable[[str], None]:
        """Make the search for replaced libraries after a phase: before any test has run, a response has done it."""
        evidence, built, watch, judges = self.evidence, self._built, self._watch, tamper.judges
        find_patched, holds_response = self._libraries.find_patched, self._holds_response

        def look(phase: str) -> None:
            if watch.first:
                evidence.tampering = evidence.tampering or watch.first
            if evidence.patched or not (phase == "end" or (phase == "response" and built.may_patch)):
                return
            patched = find_patched()
            if not patched:
                return
            if holds_response and (phase == "response" or not built.tests_patch):
                evidence.tampering = evidence.tampering or [0, f"{patched} was replaced"]
            elif judges(patched):
                evidence.patched = patched

        return look

    def enter(self) -> None:
        """In the program's process: register its module under every name that the program uses for it."""
        register_module(self._module, ("solution", "__main__", *self._built.aliases))
        if self._built.sources:
            show_source(self._built)
        if self._built.reloads:
            code, namespace = self._built.response, vars(self._module)
            sys.meta_path.insert(0, OwnLoader(lambda: exec(code, namespace)))  # type: ignore[arg-type]
        if self._built.uses_processes:
            use_network_for_managers()
        pytest_style.connect(self._units.run_remaining)
        if self._built.uses_unittest:
            self._units.connect_unittest()
        has_doctests = self._built.uses_doctest or bool(self._built.doctests)
        if self._built.uses_threads:
            unseen.watch(self.evidence)
        if has_doctests:
            self._units.connect_doctest()
        if self._built.uses_unittest or self._built.uses_threads or has_doctests:
            self._libraries.accept()
        self._watch.first, self._watch.is_on = [], self._holds_response


def _make_sender(report: int, nonce: bytes) -> Send:
    # Written in C, so that no patched function of `json` writes the report.
    make_encoder: Any = _json.make_encoder
    encode = make_encoder(None, None, _json.encode_basestring_ascii, None, ": ", ", ", False, False, True)
    write, join, pack, length, most = os.write, "".join, struct.Struct("!I").pack, len, MOST_REPORT_BYTES

    def send(message: dict[str, Any]) -> None:
        body = join(encode(message, 0)).encode()
        if length(body) > most:
            raise ValueError("too much to report")
        data = nonce + pack(length(body)) + body
        while data:
            data = data[write(report, data) :]

    return send


def _make_phases(
    job: dict[str, Any],
    built: Built,
    evidence: Evidence,
    namespace: dict[str, Any],
    units: Units,
    begin: Step,
    look_for_patches: Callable[[str], None],
) -> Callable[[], None]:
    """Make the phases of a run: response, tests, tests not called yet, threads."""
    kind, run_code = job["kind"], exec
    steps: list[tuple[str, Step]] = [("response", begin)]
    if kind != "script":
        steps += [("tests", lambda: run_code(built.tests, namespace)), ("units", units.run_remaining)]
    steps.append(("threads", _thread_joiner()))
    judged = built.response if job["tests_inside"] else built.tests
    skips = (pytest_style.Skipped, unittest.SkipTest)
    namespace["__name__"] = "__main__" if job["tests_inside"] or kind == "script" else "solution"

    def run_phases() -> None:
        run_steps()
        look_for_patches("end")

    def run_steps() -> None:
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
                if not _is_ordinary_end(error, kind, judged, built.exits, evidence):
                    evidence.note_error(error)
                    return
            namespace["__name__"] = "__main__"
            evidence.restore(namespace)
            look_for_patches(phase)
        evidence.phase = "end"

    return run_phases


def _is_ordinary_end(
    error: BaseException, kind: str, judged: types.CodeType, exits: list[tuple[int, ...]], evidence: Evidence
) -> bool:
    """Whether an exit is ordinary: of a script with status 0; of tests where their text exits, with the result of
    `pytest.main`, or with status 0 after an assertion has held.
    """
    if not isinstance(error, SystemExit):
        return False
    if kind == "script":
        return error.code in (None, 0)
    if evidence.phase == "units" or not _is_written_in(error, judged, exits):
        return False
    if type(error.code) is pytest_style.ExitCode:
        return True
    return (error.code is None or (isinstance(error.code, int) and not error.code)) and evidence.has_proof()


def _is_written_in(error: BaseException, judged: types.CodeType, exits: list[tuple[int, ...]]) -> bool:
    """Whether one of the calls at the places `exits` raised `error`, and only code of the judged text led there.

    A response may hand out `sys.exit` under another name: that a call of it stands in the tests is not enough.
    """
    own, waiting = [_QUITTER], [judged]
    while waiting:
        own.append(waiting.pop())
        waiting += [constant for constant in own[-1].co_consts if isinstance(constant, types.CodeType)]
    steps = []
    traceback = error.__traceback__
    while traceback is not None:
        if steps or traceback.tb_frame.f_code is judged:
            steps.append((traceback.tb_frame.f_code, traceback.tb_lasti))
        traceback = traceback.tb_next
    if any(all(code is not part for part in own) for code, _ in steps):
        return False
    written = [step for step in steps if step[0] is not _QUITTER]
    if not written:
        return False
    code, instruction = written[-1]
    return next(itertools.islice(code.co_positions(), instruction // 2, None)) in exits


def _thread_joiner() -> Callable[[], None]:
    """Make a function that joins the program's threads; made before the program can patch `threading`.

    As at the end of an interpreter, executors that were not shut down are first told to end.
    """
    enumerate_threads, current = threading.enumerate, threading.current_thread
    at_exit: list[Callable[[], None]] = getattr(threading, "_threading_atexits", [])
    modules = sys.modules

    def join() -> None:
        for callback in reversed(at_exit):
            callback()
        for thread in enumerate_threads():
            if thread is not current() and not thread.daemon:
                thread.join()
        futures: Any = modules.get("concurrent.futures.thread")
        if futures is not None:
            futures._shutdown = False  # this process goes on: with the next mutant, or with the next program's parent

    return join
