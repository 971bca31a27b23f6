"""Runs tests written for pytest: parameters, fixtures, set-up and teardown, one test at a time."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import unittest.mock
from collections.abc import Callable, Iterator
from typing import Any

from selfcodealign.sandbox.python.pytest_fixtures import BUILTIN_FIXTURES, Request
from selfcodealign.sandbox.python.pytest_style import Failed, Fixture, Mark, Parameters, Skipped


class Fixtures:
    """Runs test functions with the fixtures and parameters they ask for."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._shared: dict[str, Any] = {}
        self._finish: list[Callable[[], None]] = []
        self._classes_ready: set[type] = set()

    def run(self, function: Callable[..., Any], group: type | None) -> None:
        """Run one test for all its parameters. Raises what the test raises; a skipped test returns."""
        own = [getattr(owner, "pytestmark", []) for owner in (group, function) if owner is not None]
        given = [self._namespace.get("pytestmark", []), *own]
        marks = [mark for some in given for mark in (some if isinstance(some, list) else [some])]
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
        """Finish the fixtures that several tests share."""
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
                result = asyncio.run(result)
            if result is False:
                raise Failed("the test returned False")
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
        """Return the names of all fixtures a test uses, directly or through other fixtures."""
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


def _value(value: Any) -> Any:
    return value.values[0] if isinstance(value, Parameters) else value


def _combinations(marks: list[Mark]) -> Iterator[dict[str, Any]]:
    """Return every combination of the parametrize marks, as arguments by name."""
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
