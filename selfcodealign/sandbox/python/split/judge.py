"""The side of the tests: what they find under the response's names, and what counts as proof.

Nothing here believes the response. An assertion proves something only where its operands are data on this side; where
an object of the response decides (`==` of its own, `in`, truth), it is asked in a way that a lie shows.
"""

from __future__ import annotations

import ast
import builtins
import collections
import datetime
import decimal
import fractions
import logging
import random
import sys
import time
import types
import unittest.mock
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from selfcodealign.sandbox.python import pytest_fixtures
from selfcodealign.sandbox.python.evidence import Evidence
from selfcodealign.sandbox.python.split import classes
from selfcodealign.sandbox.python.split.classes import number_of
from selfcodealign.sandbox.python.split.containers import can_change, update_in_place
from selfcodealign.sandbox.python.split.peer import RETAINED, Peer, shuffled
from selfcodealign.sandbox.python.split.untouched import Compared, Files, Outcomes, find_circular
from selfcodealign.sandbox.python.split.values import MUTABLE, STEERING, Decoder, Encoder, Named, WriteOnly
from selfcodealign.sandbox.python.split.wire import Forged, Unsplittable

_PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None), list, tuple, dict, set, frozenset, bytearray})
_PLAIN |= {
    decimal.Decimal,
    fractions.Fraction,
    datetime.date,
    datetime.datetime,
    range,
    collections.deque,
    collections.Counter,
    collections.OrderedDict,
    collections.defaultdict,
}
_BUILTINS = frozenset(dir(builtins))
#: What the response may ask of the tests' objects, by the place of the object among the parts of a request.
_SERVED = dict.fromkeys(("call", "attribute", "get", "set", "del", "copy", "item", "run", "next"), 0) | {"method": 2}
_NEVER_READ = frozenset({"__dict__", "__self__", "__func__", "__wrapped__", "__globals__", "__code__", "__closure__"})
_FRAMES = ("f_", "tb_", "gi_", "cr_", "ag_", "co_")
_OWN_MODULES = ("solution", "__main__")
_SEEDED = ("random", "numpy.random")


_MOST_RETURNED = 200
_STEERING_OF_MOCKS = frozenset({"configure_mock", "attach_mock", "reset_mock"})
#: What tests assign without a patcher; looked at before every request.
_WATCHED: dict[Any, tuple[str, ...]] = {builtins: ("input", "print", "open"), time: ("sleep", "time", "perf_counter")}


#: The summary of a run that says nothing.
LOST: dict[str, Any] = {
    "lost": "",
    "inexact": [],
    "objects": False,
    "forged": "",
    "ended": False,
    "doubtful": "",
    "unclear": "",
    "liar": "",
    "raised": False,
    "touched": False,
    "seen": [],
    "circular": "",
    "alone": False,
}


class Judge(Peer):
    """The judge's side of the conversation."""

    def __init__(
        self,
        fd: int,
        named: Named,
        namespace: dict[str, Any],
        evidence: Evidence,
        compared: Compared | None = None,
    ) -> None:
        """`compared`: the run before, where arguments and files stay as the tests left them in this one."""
        super().__init__(fd, named)
        self._compared = compared
        self._files = Files()
        self._outcomes = Outcomes(_write_data, goes_on=compared is not None)
        evidence.observe = self._outcomes.observe
        self._namespace = namespace
        self._evidence = evidence
        self._ran = evidence.ran
        self._own_modules: set[str] = set(_OWN_MODULES)
        self._data: dict[str, Any] = {}  # names of the response that hold data → what was last known of them
        self._tests_async = True
        self._library_path = [path for path in sys.path if path]
        self._tested: set[int] = set()  # numbers of objects whose class is what the tests test
        self._named_classes: set[int] = set()  # ids of classes that the tests know by name
        self._returned: list[tuple[Any, Any]] = []  # containers that the tests may change, as they came
        self.vouched = self._known_vouched = 0
        self.liar = self.doubtful = self.unclear = ""
        self._watched: dict[tuple[Any, str], Any] = {(m, n): vars(m)[n] for m, names in _WATCHED.items() for n in names}

    # ------------------------------------------------------------------------------------------------- beginning

    def open(self, aliases: list[str], told: dict[str, Any]) -> None:
        """Let the response run, and put what it defines into the namespace of the tests."""
        self._own_modules |= set(aliases)
        self._tests_async = told["tests_async"]
        for name, module, member in told["imports"]:
            bound = _import_all(module) if member == "*" else {name: _import(module, member)}
            # The tests' own `sorted` or `range` is the true one.
            self._namespace.update({key: value for key, value in bound.items() if key not in _BUILTINS and value})
        defined = set(told["defined"])
        only_builtins = not defined - _BUILTINS
        table = self.ask("begin", told["wanted"])
        if type(table) is not dict:
            raise Unsplittable("the response told no names")
        for name, value in table.items():
            if name not in defined or (name in _BUILTINS and not only_builtins):
                continue
            self._namespace[name] = value
            if isinstance(value, type):
                self._named_classes.add(id(value))
            if name not in told["rebound"] and _is_data(value):
                self._data[name] = _write_data(value)

    def connect(self, module: SolutionModule) -> None:
        """Make what tests do to libraries and to their response's module reach the response: patches and seeds."""
        module.connect(self)
        self._files.watch()
        patcher: Any = unittest.mock._patch  # type: ignore[attr-defined]
        enter, leave = patcher.__enter__, patcher.__exit__

        def enter_both(patch: Any) -> Any:
            entered = enter(patch)
            self._mirror(patch.target, patch.attribute)
            return entered

        def leave_both(patch: Any, *exception: Any) -> Any:
            target, name = patch.target, patch.attribute
            left = leave(patch, *exception)
            self._restore_there(target, name)
            return left

        patcher.__enter__, patcher.__exit__ = enter_both, leave_both
        monkey: Any = pytest_fixtures.MonkeyPatch
        set_here, undo = monkey.setattr, monkey.undo
        mirrored: list[tuple[Any, str]] = []

        def set_both(patch: Any, target: Any, name: Any, *rest: Any, **options: Any) -> None:
            set_here(patch, target, name, *rest, **options)
            if not rest and "value" not in options:
                path, _, name = target.rpartition(".")
                target = pytest_fixtures._resolve(path)
            self._mirror(target, name)
            mirrored.append((target, name))

        def undo_both(patch: Any) -> None:
            undo(patch)
            while mirrored:
                self._restore_there(*mirrored.pop())

        monkey.setattr, monkey.undo = set_both, undo_both
        for name in _SEEDED:
            library: Any = sys.modules.get(name)
            for method in ("seed", "setstate", "set_state") if library is not None else ():
                if hasattr(library, method):
                    setattr(library, method, self._both(name, method, getattr(library, method)))
            for method in ("getstate", "get_state") if library is not None else ():
                if hasattr(library, method):
                    setattr(library, method, self._here_only(getattr(library, method)))

    def _both(self, module: str, name: str, here: Callable[..., Any]) -> Callable[..., Any]:
        """A function of random numbers that takes effect in both processes."""

        def both(*arguments: Any, **options: Any) -> None:
            here(*arguments, **options)
            self.ask("seed", module, name, list(arguments), options)

        return both

    def _here_only(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose result is that of this process and may differ from the response's."""

        def here(*arguments: Any, **options: Any) -> Any:
            self.inexact.add("the state of random numbers")
            return function(*arguments, **options)

        return here

    def _mirror(self, target: Any, name: str) -> None:
        named = self.name_of(target)
        if named is not None and (target, name) not in self._watched:
            self.inexact.add("patches")
            self.ask("patch", *named, name, getattr(target, name))

    def _restore_there(self, target: Any, name: str) -> None:
        named = self.name_of(target)
        if named is not None and (target, name) not in self._watched:
            self.ask("unpatch", *named, name)

    def summary(self) -> dict[str, Any]:
        """Return what the verdict needs beside the evidence, as plain values."""
        if self._evidence.phase != "end" and not self.lost:
            with suppress(Unsplittable):
                super().ask("end")  # it tells what it has changed since
        if any(_write_data(value) != came for value, came in self._returned):
            self.inexact.add("what the response returned was changed by the tests")
        if not self._tests_async:
            self.inexact.discard("coroutines")
        return {
            "lost": self.lost,
            "inexact": sorted(self.inexact),
            "objects": self.has_objects,
            "forged": self.forged,
            "ended": self.ended,
            "doubtful": self.doubtful,
            "unclear": self.unclear,
            "liar": self.liar,
            "raised": "__split_text__" in vars(self._evidence.ended_by) if self._evidence.ended_by else False,
            "touched": self._outcomes.touched,
            "seen": self._outcomes.seen if self._compared is None else [],
            "circular": "",
            "alone": False,
            **self._find_circular(),
        }

    def _find_circular(self) -> dict[str, Any]:
        """Say which assertion rests on what the response changed, and whether it stands alone."""
        if self._compared is None:
            return {}
        lines = [site.line for site in self._evidence.sites]
        circular, tested = find_circular(self._compared, self._outcomes.seen, lines)
        if tested or not circular:
            return {}
        text = f"the assertion in line {lines[circular[0]]} compares with what the response itself has changed"
        return {"circular": text, "alone": not self._evidence.proves_beside(circular)}

    def believes(self) -> bool:
        """Whether no object of the response has decided anything since this was last asked."""
        before, self._known_vouched = self._known_vouched, self.vouched
        return before == self.vouched

    # ------------------------------------------------------------------------------------------------- asking

    def ask(self, kind: str, *parts: Any) -> Any:
        if kind == "begin":
            return super().ask(kind, *parts)
        self._ran[:] = b"\1" * len(self._ran)
        self._files.note()
        for place, known in self._watched.items():
            if vars(place[0])[place[1]] is not known:
                self.inexact.add("patches")
                self._watched[place] = now = vars(place[0])[place[1]]
                super().ask("patch", place[0].__name__, "", place[1], now)
        try:
            value = super().ask(kind, *parts)
        except (StopIteration, StopAsyncIteration) as error:
            if kind in ("call", "method"):  # from a function it would end a loop of the tests early
                raise RuntimeError("the response raised StopIteration") from error
            raise
        finally:
            self._outcomes.touched |= self._files.changed(restore=self._compared is not None)
        self._note_origin(kind, parts, value)
        if can_change([value]) and len(self._returned) < _MOST_RETURNED:
            self._returned.append((value, _write_data(value)))
        return value

    def _take_changes(self, parts: tuple[Any, ...], decoder: Decoder, changes: Any) -> None:
        self._outcomes.touched |= changes is not None
        if self._compared is None:
            super()._take_changes(parts, decoder, changes)

    def _note_origin(self, kind: str, parts: tuple[Any, ...], value: Any) -> None:
        """Note whether the tests test the class of what was returned, or only got an object instead of data.

        They test a class whose objects they make by calling it, and which operators and methods of these return.
        """
        owner = {"call": 0, "attribute": 0, "method": 2}.get(kind, -1)
        mine = parts[1][0] if kind == "special" else parts[owner] if owner >= 0 else None
        number = number_of(value)
        if number is not None and not isinstance(value, type):
            by_function = (kind == "call" and not isinstance(mine, type)) or _is_called_object(kind, parts)
            made = id(type(value)) in self._named_classes and not by_function
            if made or (type(value) is type(mine) and number_of(mine) in self._tested):
                self._tested.add(number)
        elif kind in ("attribute", "method") and not self._is_tested(mine):
            asked = any(number_of(argument) is None for argument in parts[-2])
            if asked and (value is None or type(value) is bool):
                self.unclear = self.unclear or f"a {type(mine).__name__} that was returned says yes or no itself"

    def _is_tested(self, value: Any) -> bool:
        number = number_of(value)
        return number is None or number in self._tested or id(value) in self._named_classes

    def decide(self, name: str, mine: Any, other: Any) -> Any:
        """Ask for the result of an operator; where the response sees plain data, ask for other data, too.

        A response that knows the answer only from being asked cannot tell the true question from the others.
        """
        parts = [mine] if name == "__bool__" else [mine, other]
        library = type(other).__module__.partition(".")[0]
        is_own = library in self._own_modules | {"selfcodealign"} and number_of(other) is None
        if is_own and name != "__bool__" and type(other) is not object:
            return NotImplemented  # the tests' own object decides
        if name == "__bool__" and self._is_tested(mine):
            return self.ask("special", name, parts)
        if name == "__bool__" or number_of(other) is not None or type(other) is object:  # a stranger: `evidence` probes
            self.vouched += type(other) is not object
            return self.ask("special", name, parts)
        if not self._is_tested(mine):
            self.vouched += 1
            self.doubtful = self.doubtful or f"a {type(mine).__name__} that was returned compares itself with data"
            return self.ask("special", name, parts)
        if type(other) not in _PLAIN:
            self.vouched += 1
            return self.ask("special", name, parts)
        return self._decide_among_others(name, mine, other)

    def _decide_among_others(self, name: str, mine: Any, other: Any) -> Any:
        others = _alternatives(other)
        asked = shuffled([(True, other), *((False, each) for each in others)])
        answers = [(true, self.ask("special", name, [mine, value])) for true, value in asked]
        found = {bool(answer) for true, answer in answers if not true and answer is not NotImplemented}
        lie = {"__eq__": "equals everything", "__ne__": "differs from nothing", "__contains__": "contains everything"}
        if name in lie and found == {name != "__ne__"}:
            self.liar = f"{type(mine).__name__} {lie[name]}"
        elif name in classes.ORDER and len(found) == 1 and type(other) in (int, float):
            self.liar = f"{type(mine).__name__} is on one side of everything"
        return next(answer for true, answer in answers if true)

    def vouch(self, name: str, mine: Any, value: Any) -> None:
        """Watch what an object of the response says of itself where a test may take it for data."""
        if isinstance(mine, type) and name == "__contains__" and not self._is_tested(mine):
            self.doubtful = self.doubtful or f"the class {mine.__name__} that was returned says what it contains"
        if self._is_tested(mine):
            return
        if name in ("__repr__", "__str__"):
            if _is_literal(value):
                self.doubtful = self.doubtful or f"a {type(mine).__name__} prints as if it were data"
                self.vouched += 1
        elif name == "__len__":
            self.unclear = self.unclear or f"a {type(mine).__name__} that was returned tells its length itself"
        elif name in classes.ARITHMETIC:
            self.doubtful = self.doubtful or f"a {type(mine).__name__} that was returned computes with data"
            self.vouched += 1

    def has_own(self, mine: Any) -> bool:
        """Whether a method that a subclass of a plain type redefines is asked for: where the tests test that class."""
        return self._is_tested(mine)

    def _pass_warnings(self) -> None:
        warned, self._warnings = self._warnings, []
        for kind, text, line in warned:
            if kind == "log":
                name, level = text
                logger = logging.getLogger(str(name) or None)
                if logger.isEnabledFor(int(level)):
                    logger.handle(logger.makeRecord(logger.name, int(level), "solution.py", 0, str(line), (), None))
                continue
            if not (isinstance(kind, type) and issubclass(kind, Warning)):
                raise Unsplittable("a warning of no known kind")
            warnings.warn_explicit(str(text), kind, "solution.py", int(line))

    def name_of(self, value: Any) -> list[str] | None:
        """Return module and name of anything in a library: the response's side may be told all of them."""
        if isinstance(value, types.ModuleType):
            module = value.__name__
            return [module, ""] if module not in self._own_modules and sys.modules.get(module) is value else None
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(name, str) or module in self._own_modules:
            return None
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        return [module, name] if found is value else None

    def set_global(self, name: str, value: Any) -> None:
        """Set a name of the response's module."""
        self.inexact.add("patches")
        self.ask("set_global", name, value)

    # ------------------------------------------------------------------------------------------------- serving

    def _check_request(self, kind: str, parts: list[Any]) -> None:
        if kind == "stdin":
            return
        if kind == "special":
            if parts[0] not in classes.FORWARDED:
                raise Forged(f"{parts[0]} is not passed on")
            target = parts[1][1][0]
        else:
            target = parts[_SERVED[kind]]
        if type(target) is not list or target[0] != "o":
            raise Forged(f"asked to {kind} what was never given")
        if kind in ("get", "attribute", "set", "del"):
            name = parts[1]
            readable = kind == "get" and name in classes.READABLE
            readable |= kind == "attribute" and name in classes.FORWARDED
            hidden = type(name) is not str or name in _NEVER_READ or name.startswith(_FRAMES)
            if hidden or (name[:2] == "__" and not readable):
                raise Unsplittable(f"{name} of a test's object is not passed on")
            if isinstance(self.own(target[1]), unittest.mock.NonCallableMock) and _steers_mock(kind, name):
                self.liar = f"the response changed {name} of a mock"
            if kind in ("set", "del") and isinstance(self.own(target[1]), type | types.FunctionType | types.ModuleType):
                raise Forged(f"{kind} on what the tests define")

    def find_named(self, module: str, name: str) -> Any:
        """Return a class that may be named: of a plain type, or an exception of any library that steers no test."""
        if self._named.find(module, name) is None and module.partition(".")[0] not in (*self._own_modules, *STEERING):
            found = self._import_library(module, name)
            if isinstance(found, type) and issubclass(found, BaseException) and found.__module__ == module:
                self._named.add(module, name, found)
        return super().find_named(module, name)

    def _import_library(self, module: str, name: str) -> Any:
        """Import from where libraries are installed only: the response may have written modules to the scratch."""
        before, sys.path = sys.path, self._library_path
        try:
            return _import(module, name)
        finally:
            sys.path = before

    def _do(self, kind: str, given: list[Any]) -> Any:
        if kind == "stdin":
            return getattr(sys.stdin, "readline" if given[0] == "readline" else "read")(*given[1:])
        return super()._do(kind, given)

    # ------------------------------------------------------------------------------------------------- data

    def _list_updates(self, encoder: Encoder) -> list[Any]:
        updates = super()._list_updates(encoder)
        for name, known in self._data.items():
            value = self._namespace.get(name)
            if known is not None and _is_data(value) and (now := _write_data(value)) != known:
                self._data[name] = now
                updates.append([name, encoder.encode(value)])
        return updates

    def _renew(self, number: Any, data: Any) -> None:
        if number == RETAINED:
            self.inexact.add("the response changed an argument after its call")
        elif type(number) is not str:
            super()._renew(number, data)
        elif number in self._data:
            self._namespace[number] = update_in_place(self._namespace.get(number), data)
            self._data[number] = _write_data(data)


class SolutionModule(types.ModuleType):
    """The module under whose name the tests know their response: what they set in it reaches the response."""

    def connect(self, judge: Judge) -> None:
        vars(type(self))["_judges"].append(judge)

    _judges: list[Judge] = []  # noqa: RUF012

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        for judge in type(self)._judges:
            judge.set_global(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        for judge in type(self)._judges:
            judge.ask("del_global", name)


class _DataOnly(WriteOnly):
    """Handles for what must be data."""

    def export(self, value: Any) -> list[Any]:
        raise Unsplittable("no data")

    def foreign(self, value: Any) -> int | None:
        return number_of(value)

    def name_of(self, value: Any) -> list[str] | None:
        return ["", getattr(value, "__name__", "")] if isinstance(value, type) else None


def _is_called_object(kind: str, parts: tuple[Any, ...]) -> bool:
    """Whether an object of the response was called like a function; a generic class with its parameters is none."""
    return kind == "special" and parts[0] == "__call__" and type(parts[1][0]).__name__ != "_GenericAlias"


def _steers_mock(kind: str, name: str) -> bool:
    """Whether this would change what a mock of the tests has recorded, or what asserts about it."""
    recorded = name.startswith(("assert", "call", "mock", "method_calls", "_mock", "await"))
    return (recorded and kind in ("set", "del")) or (recorded and kind == "attribute") or name in _STEERING_OF_MOCKS


def _is_literal(text: Any) -> bool:
    """Whether a text is that of a number, a text or a container."""
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return True


def _write_data(value: Any) -> Any:
    """Return the form of plain data; None for everything else."""
    encoder = Encoder(_DataOnly())
    try:
        return encoder.encode(value), encoder.blobs
    except Unsplittable:
        return None


def _is_data(value: Any) -> bool:
    return type(value) in MUTABLE or type(value) in (int, float, str, bool, type(None), tuple)


def _import(module: str, member: str) -> Any:
    """Return what an import statement of the response binds, from this process's own libraries."""
    try:
        found: Any = __import__(module, fromlist=["_"] if member or "." in module else [])
        return getattr(found, member) if member else found
    except (ImportError, AttributeError):
        return None


def _import_all(module: str) -> dict[str, Any]:
    """Return what `from module import *` binds."""
    found = _import(module, "")
    names = getattr(found, "__all__", None) or [name for name in dir(found) if not name.startswith("_")]
    return {name: getattr(found, name, None) for name in names}


def _alternatives(value: Any) -> list[Any]:
    """Return values of the same type that are plainly not `value`."""
    number = random.SystemRandom().randrange(3, 1000)
    kind = type(value)
    if value is None or kind is bool:
        return [number, f"{number}", not value]
    if kind in (datetime.date, datetime.datetime):
        return [value + datetime.timedelta(days=number), value - datetime.timedelta(days=number)]
    if kind in (decimal.Decimal, fractions.Fraction):
        return [value + number, value - number, value * 2 + number]
    if kind in (int, float, complex):
        spread = number * (1 + abs(value)) if value == value and abs(value) < 1e300 else number
        return [value + spread, value - spread, value + 2 * spread + 1, -(value + spread) - 2]
    if kind in (str, bytes):
        extra = f"{number}" if kind is str else b"%d" % number
        return [value + extra, extra + value, extra, value[:1] + extra + value[1:]]
    if kind in (list, tuple):
        return [value + kind([number]), kind([number]) + value, kind([number] * max(1, len(value)))]
    if isinstance(value, dict):
        return [dict(value) | {number: number}, {number: f"{number}"}, dict.fromkeys(value, number) | {-number: 1}]
    if kind in (set, frozenset):
        return [value | {number}, kind({number}), kind({number, -number})]
    return [number, f"{number}", [number]]
