"""A built program that is ready to run in its process: its namespace, its evidence, its phases."""

from __future__ import annotations

import _sitebuiltins
import itertools
import sys
import threading
import types
import unittest
from collections.abc import Callable
from typing import Any

from selfcodealign.sandbox.python import pytest_style, tamper, unseen
from selfcodealign.sandbox.python.build import Built
from selfcodealign.sandbox.python.evidence import Evidence
from selfcodealign.sandbox.python.instrument import RAN, TESTED
from selfcodealign.sandbox.python.own_module import OwnLoader, register_module, show_source, use_network_for_managers
from selfcodealign.sandbox.python.units import EndOfModule, TestFailed, Units

_QUITTER = _sitebuiltins.Quitter.__call__.__code__

Step = Callable[[], object]


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
        self._is_apart = module is not None
        self._holds_response = job["kind"] == "tests" and not job["tests_inside"] and not self._is_apart
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
        """Make the search for replaced libraries after a phase: before any test has run, a response has done it.

        Where the response runs in another process, its tests alone may have done it, as in their run before.
        """
        if self._is_apart:
            return lambda phase: None
        evidence, built, watch, judges = self.evidence, self._built, self._watch, tamper.judges
        find_patched, holds_response = self._libraries.find_patched, self._holds_response

        def look(phase: str) -> None:
            if watch.first:
                evidence.tampering = evidence.tampering or watch.first
            if evidence.patched or not built.may_patch or phase not in ("response", "end"):
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
        if (self._built.uses_unittest or self._built.uses_threads or has_doctests) and not self._is_apart:
            self._libraries.accept()
        self._watch.first, self._watch.is_on = [], self._holds_response


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
                evidence.raised = error
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
