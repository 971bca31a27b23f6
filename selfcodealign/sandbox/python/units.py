"""Runs the tests not yet called: pytest-style functions and classes, unittest cases, doctest examples, `check`."""

from __future__ import annotations

import doctest
import inspect
import types
import unittest
from typing import Any

from selfcodealign.sandbox.python.build import TESTS_FILE, Built
from selfcodealign.sandbox.python.evidence import Evidence
from selfcodealign.sandbox.python.pytest_runner import Fixtures


class EndOfModule(BaseException):
    """Raised by `unittest.main()`: execution of the module's text ends here, without an error."""


class TestFailed(Exception):
    """A unit failed; the evidence has the details."""

    __test__ = False


class Units:
    """The tests of one program, each run once: tests that the program's own text has run are skipped."""

    def __init__(self, built: Built, evidence: Evidence, namespace: dict[str, Any], entry_point: str | None) -> None:
        self._names = built.units
        self._doctests = built.doctests
        self._evidence = evidence
        self._namespace = namespace
        self._entry_point = entry_point
        self.result: unittest.TestResult | None = None  # of the unittest tests run so far

    def run_remaining(self) -> None:
        """Run every unit not run yet; stop at the first failure."""
        if self._entry_point is not None and callable(check := self._namespace.get("check")):
            check(self._namespace[self._entry_point])
        if self._doctests:
            self.run_doctests()
        if not self._names:
            return
        fixtures = Fixtures(self._namespace)
        for name in self._names:
            value = self._namespace.get(name)
            if isinstance(value, type) and issubclass(value, unittest.TestCase):
                self._run_case(value, fixtures)
            elif isinstance(value, type) and name.startswith("Test"):
                self._run_class(name, value, fixtures)
            elif inspect.isfunction(value) and name in self._evidence.slots and not self._was_run(name):
                fixtures.run(value, None)
        fixtures.close()

    def _was_run(self, name: str) -> bool:
        slot = self._evidence.slots.get(name)
        return slot is not None and self._evidence.tested[slot] == 1

    def _run_class(self, name: str, group: type, fixtures: Fixtures) -> None:
        if "__init__" in vars(group):
            return
        inherited = [method for owner in reversed(group.__mro__) for method in vars(owner)]
        for method in dict.fromkeys(method for method in inherited if method.startswith("test")):
            if callable(getattr(group, method)) and not self._was_run(f"{name}.{method}"):
                fixtures.run(getattr(group, method), group)
        for inner, value in list(vars(group).items()):
            if isinstance(value, type) and inner.startswith("Test"):
                self._run_class(f"{name}.{inner}", value, fixtures)

    def _run_case(self, case: type[unittest.TestCase], fixtures: Fixtures) -> None:
        names = unittest.defaultTestLoader.getTestCaseNames(case)
        wanted = [name for name in names if not self._was_run(f"{case.__name__}.{name}")]
        if not wanted:
            return
        if fixtures.uses_pytest(case, wanted):
            for name in wanted:
                fixtures.run_case(case, name, lambda test: self.run_suite(unittest.TestSuite([test])))
        else:
            self.run_suite(unittest.TestSuite(case(name) for name in wanted))

    def run_suite(self, suite: unittest.TestSuite) -> None:
        """Run unittest tests; `connect_unittest` makes failures reach the evidence."""
        result = self.result = self.result or unittest.TestResult()
        result.failfast = True
        suite.run(result)
        if not result.wasSuccessful():
            raise TestFailed

    def run_doctests(self) -> None:
        """Run the `>>>` examples of a tests section in the program's namespace."""
        examples = doctest.DocTestParser().get_doctest(self._doctests, self._namespace, "tests", TESTS_FILE, 0)
        examples.globs = self._namespace
        if doctest.DocTestRunner(verbose=False).run(examples, clear_globs=False).failed:
            raise TestFailed

    def connect_doctest(self) -> None:
        """Make every run of doctest report to the evidence."""
        evidence, runner = self._evidence, doctest.DocTestRunner
        show_failure, show_exception = runner.report_failure, runner.report_unexpected_exception
        run_examples = runner.run

        def note_success(self: Any, out: Any, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
            if example.want:
                evidence.library_held()

        def note_failure(self: Any, out: Any, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
            line = (test.lineno or 0) + example.lineno + 1
            evidence.note_failure(line, f"{example.source.strip()}: expected {example.want!r}, got {got!r}")
            show_failure(self, out, test, example, got)

        def note_exception(self: Any, out: Any, test: doctest.DocTest, example: doctest.Example, exc_info: Any) -> None:
            evidence.note_error(exc_info[1])
            show_exception(self, out, test, example, exc_info)

        def run(self: doctest.DocTestRunner, test: doctest.DocTest, *arguments: Any, **options: Any) -> Any:
            for example in test.examples:
                if example.want and example.options.get(doctest.SKIP):
                    evidence.unproven = f"an example is skipped: {example.source.strip()}"
            return run_examples(self, test, *arguments, **options)

        runner.run = run  # type: ignore[method-assign]
        runner.report_success = note_success  # type: ignore[method-assign]
        runner.report_failure = note_failure  # type: ignore[method-assign]
        runner.report_unexpected_exception = note_exception  # type: ignore[method-assign]

    def connect_unittest(self) -> None:
        """Make unittest report to the evidence, and make `unittest.main` return instead of exiting."""
        evidence, run_remaining = self._evidence, self.run_remaining
        add_error, add_failure = unittest.TestResult.addError, unittest.TestResult.addFailure

        def note_error(result: unittest.TestResult, test: Any, error: Any) -> None:
            evidence.note_error(error[1])
            add_error(result, test, error)

        def note_failure(result: unittest.TestResult, test: Any, error: Any) -> None:
            evidence.note_failure(0, error[1])
            add_failure(result, test, error)

        def main(*arguments: Any, exit: bool = True, **options: Any) -> Any:
            run_remaining()
            if exit:
                raise EndOfModule
            return types.SimpleNamespace(result=self.result or unittest.TestResult())

        unittest.TestResult.addError = note_error  # type: ignore[method-assign]
        unittest.TestResult.addFailure = note_failure  # type: ignore[method-assign]
        unittest.main = main  # type: ignore[assignment]
