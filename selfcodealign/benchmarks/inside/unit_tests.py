"""Judges answers by a `unittest` class that runs in the answer's own module, as in BigCodeBench's runner.

Answer and tests share a process, so an answer that patches the libraries of its tests is only recognised where it
leaves parts of `unittest` replaced, or skipped its tests.
"""

from __future__ import annotations

import builtins
import importlib
import io
import os
import sys
import types
import unittest
import unittest.util
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from selfcodealign.benchmarks.inside.forked import Report, run_forked
from selfcodealign.benchmarks.inside.reference import BrokenReference

# The functions below keep these builtins when an answer replaces some.
__builtins__ = dict(vars(builtins))  # type: ignore[assignment]

#: The module that holds an answer and its tests, and the class with the tests: tests name both.
MODULE, CASES = "__test__", "TestCases"
#: The modules of `unittest` in which tests are loaded, run and reported, and the settings of `TestCase`.
_UNITTEST = (unittest.case, unittest.loader, unittest.result, unittest.suite, unittest.util)
_FREE = frozenset({"maxDiff", "longMessage"})
#: These start threads when they are imported, which do not survive a fork.
_NOT_BEFORE_A_FORK = ("tensorflow", "keras")


def judge(
    tests: str, reference: str, modules: Sequence[str], answers: Sequence[str], seconds: float, waits: float
) -> list[tuple[str, str, float]]:
    """Return (status, message, CPU seconds) of each answer (whole programs); `seconds` and `waits` limit one answer, as
    in `run_forked`.

    `modules` are imported once, before the processes of the answers are forked. Raises `BrokenReference` when the
    reference does not pass on this machine.
    """
    silence()
    for name in modules:
        _import_module(name)
    found = judge_one(reference, tests, seconds, waits)
    if found.status != "pass":
        raise BrokenReference(f"{found.status}: {found.message}")
    return [tuple(judge_one(answer, tests, seconds, waits)) for answer in answers]


def judge_one(source: str, tests: str, seconds: float, waits: float) -> Report:
    """Run the tests on one answer in a process of its own."""
    return run_forked(lambda: _run_tests(source, tests), seconds, waits)


def _import_module(name: str) -> None:
    if name.partition(".")[0] in _NOT_BEFORE_A_FORK:
        return
    # What fails here fails in every answer's process, too, and is reported from there.
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(name)


class _NoInput(io.StringIO):
    """Standard input that cannot be read."""

    def read(self, *arguments: Any) -> str:
        raise OSError("there is no standard input")

    readline = readlines = read  # type: ignore[assignment]


def silence() -> None:
    """Replace the standard streams by texts in memory, which some tests read."""
    sys.stdout, sys.stderr, sys.stdin = io.StringIO(), io.StringIO(), _NoInput()


def _run_tests(source: str, tests: str) -> tuple[str, str]:
    module = types.ModuleType(MODULE)
    # Answers and tests may use these without an import: BigCodeBench's runner defines them.
    names = {"__builtins__": builtins, "__file__": f"{MODULE}.py", "sys": sys, "os": os, "environ": os.environ}
    module.__dict__.update(names)
    sys.modules[MODULE] = module
    parts, namespaces = list(_parts_of_unittest()), _namespaces_of_classes()
    loader, result = unittest.TestLoader(), unittest.TestResult()
    silence()
    exec(compile(f"{source}\n{tests}", f"{MODULE}.py", "exec", dont_inherit=True), module.__dict__)
    loader.loadTestsFromTestCase(getattr(module, CASES)).run(result)
    replaced = _find_replaced(parts, namespaces)
    if replaced:
        return "wrong", f"{replaced} was replaced"
    return _judge_result(result)


def _classes_of_unittest() -> Iterator[type]:
    for module in _UNITTEST:
        for part in vars(module).values():
            if isinstance(part, type) and part.__module__ == module.__name__:
                yield part


def _namespaces_of_classes() -> list[tuple[str, Mapping[str, Any], frozenset[str]]]:
    """Return the namespace of each class of `unittest` and the names in it now."""
    return [(owner.__name__, vars(owner), _FREE.union(vars(owner))) for owner in _classes_of_unittest()]


def _parts_of_unittest() -> Iterator[tuple[str, Mapping[str, Any], str, Any, Any]]:
    """Yield what tests use: a name to show, the namespace, the key in it, the part, and the code of a function."""
    owners: list[tuple[str, Mapping[str, Any]]] = [(owner.__name__, vars(owner)) for owner in _classes_of_unittest()]
    owners += [(module.__name__, vars(module)) for module in (unittest, *_UNITTEST)]
    for owner, namespace in owners:
        for key, part in namespace.items():
            if key not in _FREE:
                yield f"{owner}.{key}", namespace, key, part, getattr(part, "__code__", None)
    for module in (unittest, *_UNITTEST):
        yield f"the module {module.__name__}", sys.modules, module.__name__, module, None
    yield "__import__", vars(builtins), "__import__", builtins.__import__, None


def _find_replaced(parts: list, namespaces: list) -> str:
    """Return the first part that is another one now, or an attribute that a class did not have; "" without any."""
    for name, namespace, key, part, code in parts:
        if key not in namespace or namespace[key] is not part or (code and part.__code__ is not code):
            return name
    for owner, namespace, known in namespaces:
        for key in namespace:
            if key not in known:
                return f"{owner}.{key}"
    return ""


def _judge_result(result: unittest.TestResult) -> tuple[str, str]:
    wrong = result.failures + result.errors
    if wrong:
        test, text = wrong[0]
        status = "wrong" if result.failures else "error"
        others = f" (and {len(wrong) - 1} more of {result.testsRun} tests)" if len(wrong) > 1 else ""
        return status, f"{_name(test)}: {_last_line(text)}{others}"
    # A test that its author marks to be skipped is no evidence against the answer.
    for test, reason in result.skipped:
        if not getattr(getattr(test, _name(test), None), "__unittest_skip__", False):
            return "wrong", f"{_name(test)} was skipped: {reason}"
    if result.testsRun <= len(result.skipped):
        return "wrong", "no test ran"
    return "pass", ""


def _name(test: Any) -> str:
    return getattr(test, "_testMethodName", str(test))


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if line[:1].isalpha()), "")
    return (said or (lines[-1] if lines else ""))[:300]
