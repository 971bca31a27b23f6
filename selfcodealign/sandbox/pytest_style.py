"""What tests written for pytest need, without pytest: a module of that name for programs, and a runner.

Covers raises, warns, approx, fixture (scopes, yield, params, autouse), mark.parametrize / skip / skipif / xfail, skip,
fail, importorskip, the fixtures tmp_path, capsys, monkeypatch and request, set-up methods and classes. Tests marked
xfail are not run. Semantics follow the pytest documentation; plugins and conftest files do not exist here.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import itertools
import re
import types
import warnings as warnings_module
from collections.abc import Callable, Iterator
from typing import Any

from selfcodealign.sandbox.pytest_approx import Approx
from selfcodealign.sandbox.pytest_fixtures import BUILTIN_FIXTURES, MonkeyPatch, Request


class Failed(AssertionError):
    """`pytest.fail`, or a block that did not raise what it should."""


class Skipped(Exception):
    """`pytest.skip`."""


class XFailed(Exception):
    """`pytest.xfail`."""


class ExitCode(int):
    """What `pytest.main` returns; leaving the process with it is the ordinary end of a test file."""


class ExceptionInfo:
    """What `raises` caught; empty until its block has ended."""

    value: BaseException

    @property
    def type(self) -> type[BaseException]:
        return type(self.value)

    @property
    def typename(self) -> str:
        return type(self.value).__name__

    @property
    def tb(self) -> types.TracebackType | None:
        return self.value.__traceback__

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


def raises(expected: Any = BaseException, *arguments: Any, match: Any = None, check: Any = None, **options: Any) -> Any:
    if not arguments:
        return Raises(expected, match, check)
    with Raises(expected, match, check) as info:
        arguments[0](*arguments[1:], **options)
    return info


class Warns(warnings_module.catch_warnings):
    """The context manager behind `warns`."""

    def __init__(self, expected: Any, match: str | None) -> None:
        super().__init__(record=True)
        self._expected = expected
        self._match = match

    def __enter__(self) -> Any:
        self._log = super().__enter__()
        warnings_module.simplefilter("always")
        return self._log

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        super().__exit__(exc_type, exc_val, exc_tb)
        if exc_type is None:
            seen = [entry for entry in self._log or [] if issubclass(entry.category, self._expected)]
            if not any(self._match is None or re.search(self._match, str(entry.message)) for entry in seen):
                raise Failed(f"DID NOT WARN {self._expected!r}")


def warns(expected: Any = Warning, *arguments: Any, match: str | None = None, **options: Any) -> Any:
    if not arguments:
        return Warns(expected, match)
    with Warns(expected, match):
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
    """A mark with its arguments; applied to a function or class it is kept in `pytestmark`."""

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
    """A function made a fixture; called only by the runner."""

    def __init__(self, function: Callable[..., Any], scope: Any, params: Any, autouse: bool, name: str | None) -> None:
        self.function = function
        self.scope = scope
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
) -> Any:
    if function is not None:
        return Fixture(function, scope, params, autouse, name)
    return lambda target: Fixture(target, scope, params, autouse, name)


_main: list[Callable[[], None]] = []


def connect(run_tests: Callable[[], None]) -> None:
    """Say what `pytest.main` shall run."""
    _main[:] = [run_tests]


def main(*_: Any, **__: Any) -> ExitCode:
    for run_tests in _main:
        run_tests()
    return ExitCode(0)


def as_module() -> types.ModuleType:
    """The module that programs import as `pytest`."""
    module = types.ModuleType("pytest", "The part of pytest's interface that the sandbox offers.")
    skip.Exception, fail.Exception, xfail.Exception = Skipped, Failed, XFailed  # type: ignore[attr-defined]
    names = {
        "approx": Approx,
        "mark": Marks(),
        "param": Parameters,
        "MonkeyPatch": MonkeyPatch,
        "FixtureRequest": Request,
    }
    names |= {"raises": raises, "warns": warns, "deprecated_call": deprecated_call, "fail": fail, "skip": skip}
    names |= {"xfail": xfail, "importorskip": importorskip, "fixture": fixture, "main": main, "ExitCode": ExitCode}
    vars(module).update(names | {"__version__": "8.0", "ExceptionInfo": ExceptionInfo})
    return module


class Fixtures:
    """Runs test functions with the fixtures and parameters they ask for."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._shared: dict[str, Any] = {}
        self._finish: list[Callable[[], None]] = []
        self._classes_ready: set[type] = set()

    def run(self, function: Callable[..., Any], group: type | None) -> None:
        """Run one test for all its parameters. Raises what it raises; a skipped test just returns."""
        marks = (
            [*getattr(group, "pytestmark", []), *getattr(function, "pytestmark", [])]
            if group
            else getattr(function, "pytestmark", [])
        )
        marks = marks if isinstance(marks, list) else [marks]
        if any(
            mark.name in ("skip", "xfail") or (mark.name == "skipif" and mark.args and mark.args[0]) for mark in marks
        ):
            return
        for parameters in _combinations([mark for mark in marks if mark.name == "parametrize"]):
            names = self._needed(function, group, marks) - set(parameters)
            chosen = [
                (name, found.params)
                for name in names
                if (found := self._find(name, group)) and found.params is not None
            ]
            for values in itertools.product(*(params for _, params in chosen)):
                params = {name: _value(value) for (name, _), value in zip(chosen, values, strict=True)}
                try:
                    self._run_once(function, group, marks, parameters, params)
                except Skipped:
                    continue

    def close(self) -> None:
        """Finish the fixtures that several tests shared."""
        while self._finish:
            self._finish.pop()()
        teardown = self._namespace.get("teardown_module")
        if callable(teardown) and "setup_module" in self._shared:
            _call(teardown, [None])

    def _run_once(
        self, function: Any, group: Any, marks: Any, parameters: dict[str, Any], params: dict[str, Any]
    ) -> None:
        finish: list[Callable[[], None]] = []
        instance = group() if group else None
        self._set_up(group)
        made: dict[str, Any] = dict(parameters)
        try:
            for hook in ("setup_method", "setup") if group else ("setup_function",):
                found = getattr(instance, hook, None) if group else self._namespace.get(hook)
                if callable(found):
                    _call(found, [function])
            for name in [*self._autouse(group), *_named_by(marks)]:
                self._make(name, instance, group, params, made, finish)
            wanted = _arguments(function, bound=group is not None)
            arguments = {name: self._make(name, instance, group, params, made, finish) for name in wanted}
            result = function(instance, **arguments) if _takes_instance(function, group) else function(**arguments)
            if inspect.iscoroutine(result):
                asyncio.run(result)
        finally:
            for hook in ("teardown_method", "teardown") if group else ("teardown_function",):
                found = getattr(instance, hook, None) if group else self._namespace.get(hook)
                if callable(found):
                    _call(found, [function])
            while finish:
                finish.pop()()

    def _set_up(self, group: type | None) -> None:
        if "setup_module" not in self._shared and callable(hook := self._namespace.get("setup_module")):
            self._shared["setup_module"] = None
            _call(hook, [None])
        if group is not None and group not in self._classes_ready:
            self._classes_ready.add(group)
            if callable(hook := getattr(group, "setup_class", None)):
                hook()
            if callable(hook := getattr(group, "teardown_class", None)):
                self._finish.append(hook)

    def _find(self, name: str, group: type | None) -> Fixture | None:
        for where in (*(vars(owner) for owner in getattr(group, "__mro__", ())), self._namespace):
            for key, found in where.items():
                if isinstance(found, Fixture) and (found.name == name or key == name):
                    return found
        return None

    def _autouse(self, group: type | None) -> list[str]:
        places = [self._namespace, *(vars(owner) for owner in getattr(group, "__mro__", ()))]
        return [
            found.name for where in places for found in where.values() if isinstance(found, Fixture) and found.autouse
        ]

    def _needed(self, function: Any, group: type | None, marks: list[Mark]) -> set[str]:
        """Names of all fixtures a test rests on, through other fixtures, too."""
        needed: set[str] = set()
        waiting = [*_arguments(function, bound=group is not None), *self._autouse(group), *_named_by(marks)]
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed.add(name)
                found = self._find(name, group)
                waiting += _arguments(found.function, bound=False) if found else []
        return needed

    def _make(
        self, name: str, instance: Any, group: Any, params: dict[str, Any], made: dict[str, Any], finish: Any
    ) -> Any:
        if name in made:
            return made[name]
        if name in self._shared and name not in params:
            return self._shared[name]
        found = self._find(name, group)
        if found is None:
            if name not in BUILTIN_FIXTURES:
                raise LookupError(f"fixture '{name}' not found")
            made[name], end = BUILTIN_FIXTURES[name]()
            finish.append(end)
            return made[name]
        shared = found.scope != "function" and name not in params
        enders = self._finish if shared else finish
        request = Request(
            params.get(name), instance, enders, lambda other: self._make(other, instance, group, params, made, finish)
        )
        arguments = {}
        for wanted in _arguments(found.function, bound=False):
            if wanted == "self":
                arguments["self"] = instance
            else:
                arguments[wanted] = (
                    request if wanted == "request" else self._make(wanted, instance, group, params, made, finish)
                )
        value = found.function(**arguments)
        if inspect.isgenerator(value):
            value, generator = next(value), value
            enders.append(lambda: _exhaust(generator))
        (self._shared if shared else made)[name] = value
        return value


def _exhaust(generator: Iterator[Any]) -> None:
    for _ in generator:
        raise Failed("fixture function has more than one 'yield'")


def _call(function: Callable[..., Any], arguments: list[Any]) -> None:
    function(*arguments[: len(inspect.signature(function).parameters)])


def _arguments(function: Callable[..., Any], bound: bool) -> list[str]:
    """Names of the arguments to be filled: those without a default."""
    wanted = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    return [name for name in wanted if name != "self"] if bound else wanted


def _takes_instance(function: Callable[..., Any], group: type | None) -> bool:
    return group is not None and not isinstance(
        inspect.getattr_static(group, function.__name__, None), (staticmethod, classmethod)
    )


def _named_by(marks: list[Mark]) -> list[str]:
    return [name for mark in marks if mark.name == "usefixtures" for name in mark.args]


def _value(value: Any) -> Any:
    return value.values[0] if isinstance(value, Parameters) else value


def _combinations(marks: list[Mark]) -> Iterator[dict[str, Any]]:
    """Every combination of the parametrize marks, as arguments by name."""
    choices = []
    for mark in marks:
        names, rows = (*mark.args, *(mark.kwargs[key] for key in ("argnames", "argvalues") if key in mark.kwargs))[:2]
        names = [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else list(names)
        choices.append([dict(zip(names, _row(row, len(names)), strict=True)) for row in rows if not _is_skipped(row)])
    for combination in itertools.product(*choices):
        yield {name: value for part in combination for name, value in part.items()}


def _row(row: Any, width: int) -> Any:
    if isinstance(row, Parameters):
        return row.values
    return [row] if width == 1 else list(row)


def _is_skipped(row: Any) -> bool:
    return isinstance(row, Parameters) and any(mark.name in ("skip", "xfail") for mark in row.marks)
