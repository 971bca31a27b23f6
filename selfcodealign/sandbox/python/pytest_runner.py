"""Runs tests written for pytest: parameters, fixtures, set-up and teardown, one test at a time."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import platform
import sys
import unittest.mock
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from selfcodealign.sandbox.python.pytest_fixtures import BUILTIN_FIXTURES, Config, Node, Request
from selfcodealign.sandbox.python.pytest_style import Failed, Fixture, Mark, Parameters, Skipped

_WIDEST_FIRST = ("session", "package", "module", "class", "function")


class _Scope:
    """The fixtures of a test, a class or a module: their values, and what finishes them."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.finish: list[Callable[[], object]] = []
        self.runner: asyncio.Runner | None = None

    def wait(self, work: Any) -> Any:
        """Run a coroutine in the event loop of this scope."""
        if self.runner is None:
            self.runner = asyncio.Runner()
        return self.runner.run(work)

    def close(self) -> None:
        try:
            while self.finish:
                self.finish.pop()()
        finally:
            if self.runner is not None:
                self.runner.close()


class _Case(NamedTuple):
    """One combination of a test's parameters: its arguments, and the parameters of its fixtures."""

    arguments: dict[str, Any]
    params: dict[str, Any]


class Fixtures:
    """Runs test functions with the fixtures and parameters they ask for."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.module = _Scope()
        self.group = _Scope()
        self._group: type | None = None
        self._begun = False

    def run(self, function: Callable[..., Any], group: type | None) -> None:
        """Run one test for all its parameters. Raises what the test raises; a skipped test returns."""
        marks = self._marks(function, group)
        if self._is_skipped(marks, function, group):
            return
        self._enter(group)
        marks += self._generated(function, group)
        for case in self._cases(function, group, marks):
            try:
                test = _Test(self, function, group, marks, case)
                with test.set_up():
                    test.call()
            except Skipped:
                continue

    def uses_pytest(self, case: type[unittest.TestCase], names: list[str]) -> bool:
        """Whether a `TestCase` has marks of pytest, or fixtures that its tests use without asking."""
        return bool(self.used(case, [])) or any(self._marks(getattr(case, name), case) for name in names)

    def run_case(self, case: type[unittest.TestCase], name: str, run: Callable[[unittest.TestCase], None]) -> None:
        """Run one test of a `TestCase` with the fixtures that it uses without asking."""
        function = getattr(case, name)
        marks = self._marks(function, case)
        if self._is_skipped(marks, function, None):
            return
        self._enter(case)
        test = _Test(self, function, case, marks, _Case({}, {}), case(name))
        with test.use_fixtures():
            run(test.instance)

    def close(self) -> None:
        """Finish the fixtures that several tests share."""
        self.group.close()
        self.module.close()

    def _marks(self, function: Any, group: type | None) -> list[Mark]:
        """Return the marks of module, class and function, the outermost first."""
        given = [getattr(owner, "pytestmark", []) for owner in (group, function) if owner is not None]
        every = [self.namespace.get("pytestmark", []), *given]
        return [mark for some in every for mark in (some if isinstance(some, list | tuple) else [some])]

    def _is_skipped(self, marks: list[Mark], function: Any, group: type | None) -> bool:
        skipped = any(getattr(owner, "__unittest_skip__", False) for owner in (function, group) if owner is not None)
        return skipped or any(_skips(mark, self.namespace) for mark in marks)

    def _enter(self, group: type | None) -> None:
        """Finish the class before this one, and set up module and class."""
        if not self._begun:
            self._begun = True
            self._hooks(self.module, self.namespace, "module", None)
        if group is not self._group:
            self.group.close()
            self.group, self._group = _Scope(), group
            if group is not None and not issubclass(group, unittest.TestCase):
                found = {name: getattr(group, name, None) for name in ("setup_class", "teardown_class")}
                plain = {name: getattr(hook, "__func__", hook) for name, hook in found.items()}
                self._hooks(self.group, plain, "class", group)

    def _hooks(self, scope: _Scope, found: Mapping[str, Any], kind: str, argument: Any) -> None:
        setup, teardown = found.get(f"setup_{kind}"), found.get(f"teardown_{kind}")
        if callable(setup):
            _call(setup, [argument])
        if callable(teardown):
            scope.finish.append(lambda: _call(teardown, [argument]))

    def _generated(self, function: Any, group: type | None) -> list[Mark]:
        """Return the parameters that the hook `pytest_generate_tests` of the tests gives to a test."""
        hook = self.namespace.get("pytest_generate_tests")
        if not callable(hook):
            return []
        generated = _Generator(function, group, _arguments(function, bound=group is not None))
        hook(generated)
        return generated.marks

    def _cases(self, function: Any, group: type | None, marks: list[Mark]) -> Iterator[_Case]:
        for case in _combinations([mark for mark in marks if mark.name == "parametrize"], self.namespace):
            names = [name for name in self._needed(function, group, marks) if name not in case.arguments]
            chosen = {
                name: [_value(value) for value in found.params if not _row_skips(value, self.namespace)]
                for name in names
                if name not in case.params and (found := self.find(name, group)) and found.params is not None
            }
            for values in itertools.product(*chosen.values()):
                yield _Case(case.arguments, case.params | dict(zip(chosen, values, strict=True)))

    def find(self, name: str, group: type | None) -> Fixture | None:
        """Return the tests' own fixture of that name; those of the class come first."""
        for where in (*(vars(owner) for owner in getattr(group, "__mro__", ())), self.namespace):
            for key, found in where.items():
                if isinstance(found, Fixture) and name in (found.name, key):
                    return found
        return None

    def used(self, group: type | None, marks: list[Mark]) -> list[str]:
        """Return the fixtures that a test uses without asking, those shared most widely first."""
        places = [self.namespace, *(vars(owner) for owner in getattr(group, "__mro__", ()))]
        every = [found for where in places for found in where.values() if isinstance(found, Fixture) and found.autouse]
        every.sort(key=lambda found: _WIDEST_FIRST.index(found.scope))
        return [found.name for found in every] + _named_by(marks)

    def _needed(self, function: Any, group: type | None, marks: list[Mark]) -> list[str]:
        """Return the names of all fixtures a test uses, directly or through other fixtures."""
        needed: dict[str, None] = {}
        waiting = [*_arguments(function, bound=group is not None), *self.used(group, marks)]
        while waiting:
            name = waiting.pop(0)
            if name not in needed:
                needed[name] = None
                found = self.find(name, group)
                waiting += _arguments(found.function, bound=False) if found else []
        return list(needed)


class _Test:
    """One run of a test: with one combination of its parameters, in its own instance of its class."""

    def __init__(
        self, owner: Fixtures, function: Any, group: Any, marks: list[Mark], case: _Case, instance: Any = None
    ) -> None:
        self._owner = owner
        self._function, self._group, self._marks, self._case = function, group, marks, case
        self._scope = _Scope()
        self._scope.values.update(case.arguments)
        self._node = Node(function, group, marks, case.arguments | case.params)
        self.instance = instance if instance is not None or group is None else group()

    @contextmanager
    def set_up(self) -> Iterator[None]:
        """Run the set-up of functions or methods around the test."""
        hooks = ("method", "") if self._group else ("function",)
        try:
            for kind in hooks:
                names = [f"{verb}_{kind}".rstrip("_") for verb in ("setup", "teardown")]
                found = [
                    getattr(self.instance, name, None) if self._group else self._owner.namespace.get(name)
                    for name in names
                ]
                setup, teardown = [hook if callable(hook) and not isinstance(hook, Fixture) else None for hook in found]
                if setup is not None:
                    _call(setup, [self._function])
                if teardown is not None:
                    self._scope.finish.append(lambda hook=teardown: _call(hook, [self._function]))  # type: ignore[misc]
            with self.use_fixtures():
                yield
        finally:
            self._scope.close()

    @contextmanager
    def use_fixtures(self) -> Iterator[None]:
        """Make the fixtures that are used without asking."""
        try:
            for name in self._owner.used(self._group, self._marks):
                self._make(name)
            yield
        finally:
            self._scope.close()

    def call(self) -> None:
        """Call the test function with what it asks for."""
        wanted = _arguments(self._function, bound=self._group is not None)
        arguments = {name: self._make(name) for name in wanted}
        own = [self.instance] if _takes_instance(self._function, self._group) else []
        result = self._function(*own, **arguments)
        if inspect.iscoroutine(result):
            result = self._loop_owner().wait(result)
        if result is False:
            raise Failed("the test returned False")

    def _loop_owner(self) -> _Scope:
        """Return the scope whose event loop this test runs in: that of the fixtures it shares, else its own."""
        shared = [scope for scope in (self._owner.module, self._owner.group) if scope.runner is not None]
        return shared[0] if shared else self._scope

    def _make(self, name: str) -> Any:
        """Return the value of a fixture; make it where its scope does not have it."""
        if name in self._scope.values:
            return self._scope.values[name]
        if name == "request":
            return self._request(name, self._scope)
        found = self._owner.find(name, self._group)
        if found is None:
            return self._make_builtin(name)
        shared = found.scope != "function" and name not in self._case.params
        scope = (self._owner.group if found.scope == "class" else self._owner.module) if shared else self._scope
        if name not in scope.values:
            scope.values[name] = self._begin(name, found, scope)
        return scope.values[name]

    def _make_builtin(self, name: str) -> Any:
        widest = {"class_mocker": self._owner.group, "module_mocker": self._owner.module}
        widest |= dict.fromkeys(("package_mocker", "session_mocker"), self._owner.module)
        where = widest.get(name, self._scope)
        if name in where.values:
            return where.values[name]
        if name == "event_loop":
            scope = self._loop_owner()
            scope.wait(asyncio.sleep(0))
            assert scope.runner is not None
            self._scope.values[name] = scope.runner.get_loop()
        elif name in BUILTIN_FIXTURES:
            where.values[name], end = BUILTIN_FIXTURES[name]()
            where.finish.append(end)
        else:
            raise LookupError(f"fixture '{name}' not found")
        return where.values[name]

    def _request(self, name: str, scope: _Scope) -> Request:
        module = sys.modules.get("__main__")
        request = Request(self._node, self.instance, scope.finish, self._make, module)
        request.fixturename = name
        if name in self._case.params:
            request.param = self._case.params[name]
        return request

    def _begin(self, name: str, found: Fixture, scope: _Scope) -> Any:
        """Call a fixture function up to its result or its `yield`."""
        arguments = {}
        for wanted in _arguments(found.function, bound=False):
            if wanted == "self":
                arguments[wanted] = self.instance
            elif wanted == "cls":
                arguments[wanted] = self._group
            else:
                arguments[wanted] = self._request(name, scope) if wanted == "request" else self._make(wanted)
        value = found.function(**arguments)
        if inspect.isgenerator(value):
            scope.finish.append(lambda: _exhaust(value))
            return next(value)
        loop = scope if scope is not self._scope else self._loop_owner()
        if inspect.isasyncgen(value):
            scope.finish.append(lambda: loop.wait(_exhaust_async(value)))
            return loop.wait(_next(value))
        return loop.wait(value) if inspect.iscoroutine(value) else value


class _Generator:
    """The argument of `pytest_generate_tests`."""

    def __init__(self, function: Any, group: type | None, names: list[str]) -> None:
        self.function, self.cls, self.fixturenames, self.config = function, group, names, Config()
        self.marks: list[Mark] = []

    def parametrize(self, *arguments: Any, **options: Any) -> None:
        self.marks.append(Mark("parametrize", arguments, options))


def _exhaust(generator: Iterator[Any]) -> None:
    for _ in generator:
        raise Failed("fixture function has more than one 'yield'")


async def _next(generator: Any) -> Any:
    return await anext(generator)


async def _exhaust_async(generator: Any) -> None:
    async for _ in generator:
        raise Failed("fixture function has more than one 'yield'")


def _call(function: Callable[..., Any], arguments: list[Any]) -> None:
    function(*arguments[: len(inspect.signature(function).parameters)])


def _arguments(function: Callable[..., Any], bound: bool) -> list[str]:
    """Return the names of the arguments without a default."""
    wanted = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    wanted = [name for name in wanted if name != "self"] if bound else wanted
    # `mock.patch` puts its mocks first, by position.
    patched = [patch for patch in getattr(function, "patchings", ()) if not patch.attribute_name]
    return wanted[sum(patch.new is unittest.mock.DEFAULT for patch in patched) :]


def _takes_instance(function: Callable[..., Any], group: type | None) -> bool:
    return group is not None and not isinstance(
        inspect.getattr_static(group, function.__name__, None), (staticmethod, classmethod)
    )


def _named_by(marks: list[Mark]) -> list[str]:
    return [name for mark in marks if mark.name == "usefixtures" for name in mark.args]


def _skips(mark: Mark, namespace: dict[str, Any]) -> bool:
    """Whether a mark leaves its test out; a condition may be a text, which is evaluated."""
    if mark.name != "skipif":
        return mark.name in ("skip", "xfail")
    conditions = [*mark.args, *(mark.kwargs[key] for key in ("condition",) if key in mark.kwargs)]
    known = {"os": os, "sys": sys, "platform": platform} | namespace
    return any(eval(condition, dict(known)) if isinstance(condition, str) else condition for condition in conditions)


def _row_skips(row: Any, namespace: dict[str, Any]) -> bool:
    return isinstance(row, Parameters) and any(_skips(mark, namespace) for mark in row.marks)


def _value(value: Any) -> Any:
    return value.values[0] if isinstance(value, Parameters) else value


def _combinations(marks: list[Mark], namespace: dict[str, Any]) -> Iterator[_Case]:
    """Yield every combination of the parametrize marks; values of `indirect` names go to the fixtures."""
    choices = []
    indirect: set[str] = set()
    for mark in marks:
        names, rows = (*mark.args, *(mark.kwargs[key] for key in ("argnames", "argvalues") if key in mark.kwargs))[:2]
        names = [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else list(names)
        told = mark.args[2] if len(mark.args) > 2 else mark.kwargs.get("indirect", False)
        indirect.update(names if told is True else told or ())
        rows = [_row(row, len(names)) for row in rows if not _row_skips(row, namespace)]
        choices.append([dict(zip(names, row, strict=True)) for row in rows])
    for combination in itertools.product(*choices):
        values = {name: value for part in combination for name, value in part.items()}
        yield _Case(
            {name: value for name, value in values.items() if name not in indirect},
            {name: value for name, value in values.items() if name in indirect},
        )


def _row(row: Any, width: int) -> Any:
    if isinstance(row, Parameters):
        return row.values
    return [row] if width == 1 else list(row)
