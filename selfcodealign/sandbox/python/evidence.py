"""The evidence of a run: which assertions held about the response's own code, which failed, how the run ended."""

from __future__ import annotations

import builtins
import mmap
import os
import types
import unittest.mock
from collections.abc import Callable
from types import TracebackType
from typing import Any

from selfcodealign.sandbox.python.build import RESPONSE_FILE, TESTS_FILE, BuildError, Built
from selfcodealign.sandbox.python.instrument import (
    COMPARE,
    COMPARISONS,
    EXPLAIN,
    FAILED,
    HELD,
    REPORTED,
    SWALLOWED,
    TRUE_BUILTINS,
)

_PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None), object, type, range, slice, bytearray})
_CONTAINERS = (list, tuple, set, frozenset, dict)
_TRUE_TYPES = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.GeneratorType)
_TRUE_TYPES += (types.CoroutineType, types.AsyncGeneratorType, type)
_PROBED_PER_SITE = 50
_LONGEST = 500
_MOST_FAILURES = 5
_MOST_RECORDS = 8 << 20
_absent: Any = object()
_BUILTINS = dict(vars(builtins))
# The summary of a program that did not run.
_EMPTY: dict[str, Any] = {
    "end": False,
    "sites": 0,
    "held": 0,
    "proved": 0,
    "failures": [],
    "always_equal": "",
    "patched": "",
    "unproven": "",
    "tampering": [],
    "mutants": [],
}


class Evidence:
    """Collects evidence while foreign code runs, in objects that no module names; `summary` goes into the report."""

    def __init__(self, built: Built) -> None:
        self.phase = "start"
        self.sites = built.sites
        self.slots = built.slots
        # Shared with the processes that the program forks: a pool may call the response only there.
        self.ran = memoryview(mmap.mmap(-1, max(1, built.functions)))
        self.tested = bytearray(len(built.slots))
        self.patched = ""
        self.tampering: list[int | str] = []
        self.unproven = ""
        self.unread: dict[Any, BaseException] = {}  # futures whose exception nobody has asked for
        self._own_names: frozenset[str] = frozenset()
        self._mutants = built.mutants
        self._failures: list[tuple[int, str]] = []
        self._error: dict[str, Any] = {}
        self._proved: set[int] = set()
        self._library_held = 0
        self._held_count = 0
        self._reached = mmap.mmap(-1, max(1, len(built.sites)))  # shared with processes that the program forks
        self._always_equal = ""
        self.believes: Callable[[], bool] = lambda: True  # whether an assertion that holds proves something
        #: Told of an assertion's outcome: site, whether it held, operands. True: the tests go on after a failure.
        self.observe: Callable[[int, bool, Any, Any], bool] | None = None
        self.ended_by: BaseException | None = None
        self.raised: BaseException | None = None  # what left the response or the tests, an exit included
        self._make_marks()

    def _make_marks(self) -> None:
        """Make the functions that instrumented assertions call, by name."""
        get_pid, most = os.getpid, _PROBED_PER_SITE
        probed: dict[int, int] = {}
        send: Callable[[dict[str, Any]], None]
        own_pid = 0

        def connect(sender: Callable[[dict[str, Any]], None], pid: int) -> None:
            nonlocal send, own_pid
            send, own_pid = sender, pid

        reached = self._reached
        budget = [_MOST_RECORDS]
        describe, find_always_equal, absent, comparisons = _describe, _find_always_equal, _absent, COMPARISONS
        is_always_true = _is_always_true

        def held(site: int, left: Any = absent, right: Any = absent) -> None:
            self._held_count += 1
            reached[site] = 1
            if (
                site not in self._proved
                and not self.sites[site].vacuous
                and (self.sites[site].mentions or 1 in self.ran)
                and self.believes()
                and (left is absent or right is not absent or not is_always_true(left))
            ):
                self._proved.add(site)
            if self.observe is not None:
                self.observe(site, True, left, right)
            if right is absent or self._always_equal:
                return
            seen = probed[site] = probed.get(site, 0) + 1
            if seen <= most:
                self._always_equal = find_always_equal(left, right)

        def failed(site: int, message: Any, left: Any = absent, right: Any = absent) -> None:
            if self.observe is None or not self.observe(site, False, left, right):
                count_failure(site, message)

        def count_failure(site: int, message: Any) -> None:
            failure = (self.sites[site].line, describe(message))
            if get_pid() != own_pid:
                send({"failure": failure})  # a forked process reports only this way
            self._failures.append(failure)

        def explain(site: int, left: Any = absent, right: Any = absent, message: Any = absent) -> None:
            if self.observe is not None and self.observe(site, False, left, right):
                return
            if message is absent:
                text = self.sites[site].text
                if left is not absent:
                    text = f"{text}: left {_brief(left)}, right {_brief(right)}"
                message = f"assert {text}"
            count_failure(site, message)
            raise AssertionError(message)

        def record(value: Any) -> None:
            message = {"record": value}
            budget[0] -= len(repr(value))
            if budget[0] < 0:
                raise ValueError("too many records")
            send(message)

        def compare(comparison: str, left: Any, right: Any) -> Any:
            if not self._always_equal:
                seen = probed[-1] = probed.get(-1, 0) + 1
                if seen <= most:
                    self._always_equal = find_always_equal(left, right)
            return comparisons[comparison](left, right)

        def reported(line: int, text: Any) -> Any:
            failure = (line, describe(text))
            if get_pid() != own_pid:
                send({"failure": failure})
            self._failures.append(failure)
            return text

        def swallowed(dropped: Any) -> None:
            for error in dropped if type(dropped) is list else [dropped]:
                if isinstance(error, BaseException):
                    self.note_error(error)

        self.record, self.connect = record, connect
        self.marks: dict[str, Any] = {HELD: held, FAILED: failed, EXPLAIN: explain, COMPARE: compare}
        self.marks[TRUE_BUILTINS] = _BUILTINS
        self.marks |= {REPORTED: reported, SWALLOWED: swallowed}

    def restore(self, namespace: dict[str, Any]) -> None:
        """After a phase: put the marks back; record as patched a mark that the response replaced."""
        if self.phase == "response":
            self._own_names = frozenset(namespace) - self.marks.keys()
        for name, mark in self.marks.items():
            if namespace.get(name) is not mark:
                self.patched = self.patched or name
                namespace[name] = mark

    def library_held(self) -> None:
        """Record that a check outside the tests' own text held: a doctest example."""
        self._held_count += 1
        if 1 in self.ran and self.believes():
            self._library_held += 1

    def note_failure(self, line: int, message: Any) -> None:
        """Record a failed test in which no assertion of the tests' own text failed."""
        self._failures.append((line, _describe(message)))

    def note_error(self, error: BaseException) -> None:
        """Record the exception that ended the program or one of its tests."""
        if self._error:
            return
        if isinstance(error, AssertionError) and self._failures:
            return
        self.ended_by = error
        self._error = _describe_error(error, self.phase)
        self._error["at_site"] = any(site.line <= self._error["line"] <= site.last_line for site in self.sites)

    def note_unseen(self, error: BaseException) -> None:
        """Record an exception that nobody will see, if it comes from a part of the tests that uses the response.

        What tests raise on purpose, for the response to handle, does not use the response.
        """
        traceback, in_tests = error.__traceback__, False
        while traceback is not None:
            code = traceback.tb_frame.f_code
            if code.co_filename == TESTS_FILE:
                in_tests = True
            if in_tests and (code.co_filename == RESPONSE_FILE or not self._own_names.isdisjoint(code.co_names)):
                self.note_error(error)
                return
            traceback = traceback.tb_next

    def has_proof(self) -> bool:
        """Whether an assertion about the response's own code has held."""
        return bool(self._proved or self._library_held)

    def proves_beside(self, sites: list[int]) -> bool:
        """Whether another assertion than these has held about the response's own code."""
        return bool(self._proved.difference(sites) or self._library_held)

    def _find_unproven(self) -> str:
        """Say what the tests leave out: an assertion that could have failed and never ran, or one that is skipped."""
        for number, site in enumerate(self.sites):
            if not (self._reached[number] or site.vacuous or site.optional):
                return f"the assertion in line {site.line} never ran: {site.text}"
        asked = {name for number in self._proved for name in self.sites[number].subjects}
        for number, site in enumerate(self.sites):
            if site.skipped and not self._reached[number] and not asked.issuperset(site.subjects):
                return f"only a skipped test asserts anything about {', '.join(sorted(set(site.subjects) - asked))}"
        return self.unproven

    def summary(self) -> dict[str, Any]:
        """Return the evidence as plain values that marshal can write."""
        for error in self.unread.values():
            self.note_unseen(error)
        return {
            "end": self.phase == "end",
            "sites": len(self.sites),
            "held": self._held_count,
            "proved": len(self._proved) + self._library_held,
            "failures": self._failures[:_MOST_FAILURES],
            "error": self._error,
            "phase": self.phase,
            "always_equal": self._always_equal,
            "patched": self.patched,
            "tampering": self.tampering,
            "unproven": self._find_unproven(),
            "mutants": [name for owner, name in self._mutants if owner < 0 or self.ran[owner]],
        }


def describe_build_error(error: BuildError) -> dict[str, Any]:
    """Return the summary of a program that could not be built."""
    described = _describe_error(error.cause, error.phase)
    if isinstance(error.cause, SyntaxError):
        described["line"] = error.cause.lineno or 0
    return _EMPTY | {"error": described, "phase": error.phase}


def describe_tampering(found: tuple[int, str]) -> dict[str, Any]:
    """Return the summary of a program that was not run, because its response reaches for machinery."""
    return _EMPTY | {"error": {}, "phase": "build", "tampering": list(found)}


def _describe_error(error: BaseException, phase: str) -> dict[str, Any]:
    lines = _lines(error.__traceback__)
    return {
        "type": type(error).__name__[:_LONGEST],
        "message": _describe(error),
        "line": lines.get(TESTS_FILE) or lines.get(RESPONSE_FILE) or 0,
        "in_tests": TESTS_FILE in lines,
        "phase": phase,
        "errno": error.errno if isinstance(error, OSError) and type(error.errno) is int else 0,
        "is_assertion": isinstance(error, AssertionError),
        "at_site": False,
    }


def _lines(traceback: TracebackType | None) -> dict[str, int]:
    """Return the innermost line of each file in a traceback."""
    lines: dict[str, int] = {}
    while traceback is not None:
        lines[traceback.tb_frame.f_code.co_filename] = traceback.tb_lineno
        traceback = traceback.tb_next
    return lines


def _describe(value: object) -> str:
    """Return a foreign object as a plain, bounded string, whatever its methods do."""
    try:
        text = str(value)
    except BaseException as error:
        text = f"<{type(error).__name__} while printing a {type(value).__name__}>"
    return "".join(["", text[:_LONGEST]]).encode("utf-8", "replace").decode()


def _brief(value: object) -> str:
    try:
        text = repr(value)
    except BaseException as error:
        text = f"<{type(error).__name__}>"
    return text if len(text) <= 120 else text[:117] + "..."


def _find_always_equal(left: Any, right: Any) -> str:
    """Name a type that equals an unrelated object, or whose comparisons contradict each other; empty when none does."""
    for mine, other in ((left, right), (right, left)):
        if type(mine) in _PLAIN:
            continue
        found = _find_always_equal_inside(mine, 0) if type(mine) in _CONTAINERS else _describe_always_equal(mine, other)
        if found:
            return found
    return ""


def _find_always_equal_inside(container: Any, depth: int) -> str:
    for count, element in enumerate(container.values() if type(container) is dict else container):
        if count >= 20 or depth >= 3:
            break
        if type(element) in _CONTAINERS:
            found = _find_always_equal_inside(element, depth + 1)
        elif type(element) in _PLAIN or element is unittest.mock.ANY:
            continue
        else:
            found = _describe_always_equal(element, _absent)
        if found:
            return found
    return ""


def _is_always_true(value: Any) -> bool:
    """Whether the truth of a value says nothing: a function that was not called, or the response decides it."""
    if isinstance(value, _TRUE_TYPES):
        return True
    code = getattr(getattr(type(value), "__bool__", None), "__code__", None)
    return code is not None and code.co_filename == RESPONSE_FILE


def _describe_always_equal(mine: Any, other: Any) -> str:
    stranger = object()
    others = [stranger]
    if type(other) in (int, float):
        others.append(other * 2 + 1)  # type: ignore[arg-type]
    elif type(other) is str:
        others.append(other + "\0")  # type: ignore[arg-type]
    elif type(other) in (list, tuple):
        others.append(other + type(other)([stranger]))
    for unlike in others:
        try:
            if type(mine == unlike) is bool and mine == unlike:
                return f"{type(mine).__name__} equals everything"
        except BaseException:
            continue
    tells = {
        "contains everything": lambda: hasattr(type(mine), "__contains__") and stranger in mine,
        "differs from nothing": lambda: (mine != stranger) is False,
        "is both less and greater": lambda: mine is not other and (mine < other) is True and (mine > other) is True,
    }
    for tell, asked in tells.items():
        try:
            if asked():
                return f"{type(mine).__name__} {tell}"
        except BaseException:
            continue
    return ""
