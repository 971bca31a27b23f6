"""Whether an assertion holds only because the response changed what its expected value is computed from.

`assert dedupe(xs) == list(set(xs))` is true of a response that empties the list it was given. A response that changes
arguments or files of the tests is therefore run once more, where these stay as the tests left them, and where the
tests go on after an assertion that is false. Functions that are meant to work in place fail there, too: their tests
compare what was changed with a value that comes from neither side of the call. An assertion proves nothing where what
was changed stands on one side, and what the response returned on the other.
"""

from __future__ import annotations

import ast
import os
import sys
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from selfcodealign.sandbox.python.names import FUNCTIONS, called_name, nodes_of, reached_names, words_in

_MOST_SEEN = 500
_MOST_FILES = 50
_MOST_BYTES = 1 << 20
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

#: One outcome of an assertion: site, its how manieth run, and forms of both operands (0 where one is no data).
Seen = list[int]


class Compared(NamedTuple):
    """What is known before the run in which nothing stays changed: the run before, and `derived_sides`."""

    seen: list[Seen]
    sides: dict[int, list[bool]]


def derived_sides(tests: ast.Module, own_names: set[str]) -> dict[int, list[bool]]:
    """Return by line whether the left and the right operand of an assertion derive from what the response returns.

    An assertion that is no single comparison has one side.
    """
    nodes = nodes_of(tests)
    derived = _derived(nodes, own_names)
    sides: dict[int, list[bool]] = {}
    for node in nodes:
        if isinstance(node, ast.Assert):
            test = node.test
            single = isinstance(test, ast.Compare) and len(test.ops) == 1
            operands = [test.left, test.comparators[0]] if single else [test]  # type: ignore[attr-defined]
        elif isinstance(node, ast.Call) and called_name(node).startswith("assert"):
            operands = list(node.args[:2])
        else:
            continue
        sides[node.lineno] = [not derived.isdisjoint(words_in(operand)) for operand in operands]
    return sides


def _derived(nodes: list[ast.AST], own_names: set[str]) -> set[str]:
    """As `reached_names`, also through the tests' own functions and fixtures: what they return, what they are given."""
    functions = {node.name: node for node in nodes if isinstance(node, FUNCTIONS)}
    calls = [node for node in nodes if isinstance(node, ast.Call) and called_name(node) in functions]
    derived, size = own_names, -1
    while size != len(derived):
        size = len(derived)
        derived = reached_names(nodes, derived)
        for name, function in functions.items():
            if not name.startswith("test") and any(not derived.isdisjoint(words_in(line)) for line in function.body):
                derived.add(name)
        for call in calls:
            parameters = functions[called_name(call)].args.args
            for parameter, argument in zip(parameters, call.args, strict=False):
                if not derived.isdisjoint(words_in(argument)):
                    derived.add(parameter.arg)
    return derived


class Outcomes:
    """Keeps the operands of assertions for comparison with those of another run."""

    def __init__(self, write: Callable[[Any], Any], goes_on: bool) -> None:
        """`goes_on`: failures are kept, and the tests go on; else all outcomes after the first change are."""
        self._write, self._goes_on = write, goes_on
        self._count: dict[int, int] = {}
        self.touched = False
        self.seen: list[Seen] = []

    def observe(self, site: int, held: bool, left: Any, right: Any) -> bool:
        """Keep one outcome; return whether the tests shall go on after a failure."""
        number = self._count[site] = self._count.get(site, 0) + 1
        wanted = not held if self._goes_on else self.touched
        if wanted and len(self.seen) < _MOST_SEEN:
            self.seen.append([site, number, self._form(left), self._form(right)])
        return self._goes_on

    def _form(self, value: Any) -> int:
        written = self._write(value)
        return 0 if written is None else zlib.crc32(repr(written).encode("utf-8", "replace"))


class Files:
    """The files that the tests wrote, as they left them."""

    def __init__(self) -> None:
        self._known: dict[str, bytes | None] = {}

    def watch(self) -> None:
        """From now on take note of what this process opens to write."""
        known, most, writes = self._known, _MOST_FILES, _WRITES
        absolute = os.path.abspath

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and type(arguments[0]) is str and arguments[2] & writes and len(known) < most:
                known.setdefault(absolute(arguments[0]), None)

        sys.addaudithook(hook)

    def note(self) -> None:
        """Before the response runs: remember the contents."""
        for path in self._known:
            self._known[path] = _read(path)

    def changed(self, restore: bool) -> bool:
        """After the response has run: whether it changed a file. With `restore`, write what was in it before."""
        found = False
        for path, before in list(self._known.items()):
            if before is not None and _read(path) != before:
                found = True
                if restore:
                    _write(path, before)
        return found


def _read(path: str) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        data = os.read(descriptor, _MOST_BYTES + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data if len(data) <= _MOST_BYTES else None


def _write(path: str, data: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK)
        os.write(descriptor, data)
        os.close(descriptor)
    except OSError:
        return


def find_circular(compared: Compared, failed: list[Seen], lines: list[int]) -> tuple[list[int], bool]:
    """Compare the failures of the run in which nothing stays changed with the run before.

    Returns the sites whose expected value rests on a change, and whether another assertion tests the change itself.
    """
    before = {(site, number): forms for site, number, *forms in compared.seen}
    circular, tested = set(), False
    for site, number, *forms in failed:
        derived = compared.sides.get(lines[site], [])
        known = before.get((site, number))
        if known is None or len(derived) < 2:
            is_circular = any(derived)
        else:
            changed = [old != new for old, new in zip(known, forms, strict=True)]
            is_circular = (changed[0] and derived[1]) or (changed[1] and derived[0])
        if is_circular:
            circular.add(site)
        else:
            tested = True
    return sorted(circular), tested
