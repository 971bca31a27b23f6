"""The parts of pytest that tests use, without pytest: programs import this module by that name.

Covers raises, warns, approx, fixture (scopes, yield, params, autouse, async), mark.parametrize / skip / skipif / xfail,
skip, fail, importorskip, set-up functions, methods and classes, the fixtures of `pytest_fixtures` and the types to
annotate them with. Tests marked xfail are not run. Semantics follow the pytest documentation; of the plugins,
pytest_asyncio and pytest_mock are known, and conftest files do not exist here.
"""

from __future__ import annotations

import builtins
import enum
import importlib
import inspect
import re
import traceback
import types
from collections.abc import Callable
from typing import Any

from selfcodealign.sandbox.python.pytest_approx import Approx
from selfcodealign.sandbox.python.pytest_capture import CaptureFixture, LogCaptureFixture, WarningsRecorder
from selfcodealign.sandbox.python.pytest_fixtures import Config, MonkeyPatch, Node, Request, TempPathFactory
from selfcodealign.sandbox.python.pytest_mocker import MockerFixture


class Failed(AssertionError):
    """`pytest.fail`, or a block that did not raise the expected exception."""


class Skipped(Exception):
    """`pytest.skip`."""


class XFailed(Exception):
    """`pytest.xfail`."""


class ExitCode(enum.IntEnum):
    """The result of `pytest.main`; exiting with it is the ordinary end of a test file."""

    OK, TESTS_FAILED, INTERRUPTED, INTERNAL_ERROR, USAGE_ERROR, NO_TESTS_COLLECTED = range(6)


class ExceptionInfo:
    """The exception that `raises` caught; empty until its block has ended."""

    value: BaseException

    @property
    def type(self) -> builtins.type[BaseException]:
        return type(self.value)

    @property
    def typename(self) -> str:
        return type(self.value).__name__

    @property
    def tb(self) -> types.TracebackType | None:
        return self.value.__traceback__

    def exconly(self, tryshort: bool = False) -> str:
        return "".join(traceback.format_exception_only(self.value)).rstrip()

    def errisinstance(self, kinds: Any) -> bool:
        return isinstance(self.value, kinds)

    def match(self, pattern: str) -> bool:
        if not re.search(pattern, str(self.value)):
            raise Failed(f"Regex pattern did not match: {pattern!r} in {str(self.value)!r}")
        return True


class Raises:
    """The context manager behind `raises`."""

    def __init__(self, expected: Any, match: str | None, check: Callable[[BaseException], bool] | None) -> None:
        self._expected = expected
        self._match = match
        self._check = check
        self._info = ExceptionInfo()

    def __enter__(self) -> ExceptionInfo:
        return self._info

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if error is None:
            raise Failed(f"DID NOT RAISE {self._expected!r}")
        if not isinstance(error, self._expected):
            return False
        self._info.value = error
        if self._match is not None:
            self._info.match(self._match)
        if self._check is not None and not self._check(error):
            raise Failed(f"check refused {error!r}")
        return True


def raises(
    expected_exception: Any = BaseException, *arguments: Any, match: Any = None, check: Any = None, **options: Any
) -> Any:
    if not arguments:
        return Raises(expected_exception, match, check)
    with Raises(expected_exception, match, check) as info:
        arguments[0](*arguments[1:], **options)
    return info


class Warns(WarningsRecorder):
    """The context manager behind `warns`."""

    def __init__(self, expected: Any, match: str | None) -> None:
        super().__init__()
        self._expected = expected
        self._match = match

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        super().__exit__(exc_type, exc_val, exc_tb)
        if exc_type is None:
            seen = [entry for entry in self if issubclass(entry.category, self._expected)]
            if not any(self._match is None or re.search(self._match, str(entry.message)) for entry in seen):
                raise Failed(f"DID NOT WARN {self._expected!r}")


def warns(expected_warning: Any = Warning, *arguments: Any, match: str | None = None, **options: Any) -> Any:
    if not arguments:
        return Warns(expected_warning, match)
    with Warns(expected_warning, match):
        return arguments[0](*arguments[1:], **options)


def deprecated_call(**options: Any) -> Warns:
    return Warns((DeprecationWarning, PendingDeprecationWarning, FutureWarning), options.get("match"))


def fail(reason: str = "", pytrace: bool = True, msg: str = "") -> None:
    raise Failed(reason or msg)


def skip(reason: str = "", **options: Any) -> None:
    raise Skipped(reason)


def xfail(reason: str = "") -> None:
    raise XFailed(reason)


def importorskip(name: str, *_: Any, **__: Any) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Skipped(f"could not import {name}") from None


class Mark:
    """A mark with its arguments; applied to a function or class, it is stored in `pytestmark`."""

    def __init__(self, name: str, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None) -> None:
        self.name = name
        self.args = arguments
        self.kwargs = options or {}

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if len(arguments) == 1 and not options and (inspect.isfunction(arguments[0]) or inspect.isclass(arguments[0])):
            target: Any = arguments[0]
            if self.name != "parametrize":
                target.pytestmark = [*getattr(target, "pytestmark", []), self]
                return target
        return _Decorator(self.name, arguments, options)


class _Decorator(Mark):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        target = arguments[0]
        target.pytestmark = [*vars(target).get("pytestmark", []), Mark(self.name, self.args, self.kwargs)]
        return target


class Marks:
    """`pytest.mark`: every attribute is a mark."""

    def __getattr__(self, name: str) -> Mark:
        return Mark(name)


class Parameters:
    """`pytest.param`."""

    def __init__(self, *values: Any, marks: Any = (), id: str | None = None) -> None:
        self.values = values
        self.marks = marks if isinstance(marks, (list, tuple)) else [marks]


class Fixture:
    """A fixture function; only the runner calls it."""

    def __init__(self, function: Callable[..., Any], scope: Any, params: Any, autouse: bool, name: str | None) -> None:
        self.function = function
        self.scope = scope if isinstance(scope, str) else "function"
        self.params = list(params) if params is not None else None
        self.autouse = autouse
        self.name = name or function.__name__

    def __get__(self, instance: Any, owner: Any) -> Fixture:
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise Failed(f'Fixture "{self.name}" called directly')


def fixture(
    function: Any = None,
    *,
    scope: Any = "function",
    params: Any = None,
    autouse: bool = False,
    ids: Any = None,
    name: Any = None,
    loop_scope: Any = None,
) -> Any:
    if function is not None:
        return Fixture(function, scope, params, autouse, name)
    return lambda target: Fixture(target, scope, params, autouse, name)


_main: list[Callable[[], None]] = []


def connect(run_tests: Callable[[], None]) -> None:
    """Set the function that `pytest.main` runs."""
    _main[:] = [run_tests]


def main(*_: Any, **__: Any) -> ExitCode:
    for run_tests in _main:
        run_tests()
    return ExitCode(0)


def _nothing(*arguments: Any, **options: Any) -> Any:
    """A hook or a registration that has no meaning here; as a decorator it changes nothing."""
    return arguments[0] if arguments and callable(arguments[0]) else lambda target: target


#: The fixtures' types, by the name that tests annotate with.
_TYPES = {"CaptureFixture": CaptureFixture, "LogCaptureFixture": LogCaptureFixture, "MonkeyPatch": MonkeyPatch}
_TYPES |= {"FixtureRequest": Request, "TempPathFactory": TempPathFactory, "TempdirFactory": TempPathFactory}
_TYPES |= {"WarningsRecorder": WarningsRecorder, "Config": Config, "Item": Node, "Function": Node, "Node": Node}
_TYPES |= {name: type(name, (), {}) for name in ("Metafunc", "Session", "Parser", "Module", "Class", "CallInfo")}
_TYPES |= {name: type(name, (UserWarning,), {}) for name in ("PytestWarning", "PytestUnraisableExceptionWarning")}
#: Where older tests import these types from.
_INSIDE = ("capture", "config", "fixtures", "logging", "monkeypatch", "nodes", "python", "recwarn", "tmpdir", "mark")


def as_modules() -> dict[str, types.ModuleType]:
    """The modules that programs import as `pytest`, and the plugins that tests use most."""
    skip.Exception, fail.Exception, xfail.Exception = Skipped, Failed, XFailed  # type: ignore[attr-defined]
    names = {"approx": Approx, "mark": Marks(), "param": Parameters, "ExceptionInfo": ExceptionInfo}
    names |= {"raises": raises, "warns": warns, "deprecated_call": deprecated_call, "fail": fail, "skip": skip}
    names |= {"xfail": xfail, "importorskip": importorskip, "fixture": fixture, "main": main, "ExitCode": ExitCode}
    names |= {"hookimpl": _nothing, "hookspec": _nothing, "register_assert_rewrite": _nothing}
    names |= {"yield_fixture": fixture, "__version__": "8.0"}
    modules = {"pytest": _module("pytest", names | _TYPES)}
    modules["pytest_asyncio"] = _module("pytest_asyncio", {"fixture": fixture})
    modules["pytest_mock"] = _module("pytest_mock", {"MockerFixture": MockerFixture, "MockFixture": MockerFixture})
    # Not `_pytest` itself, by which libraries tell whether pytest runs them.
    modules |= {f"_pytest.{name}": _module(f"_pytest.{name}", _TYPES) for name in _INSIDE}
    return modules


def _module(name: str, values: dict[str, Any]) -> types.ModuleType:
    module = types.ModuleType(name, "The part of pytest's interface that the sandbox offers.")
    vars(module).update(values)
    return module
