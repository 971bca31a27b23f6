"""Judges predictions of a function's value or input: the assertion with the answer in it has to hold."""

from __future__ import annotations

import ast
import symtable
import types
from collections.abc import Sequence

from selfcodealign.benchmarks.inside.forked import run_forked
from selfcodealign.benchmarks.inside.time_limit import by_clock

#: The function that all tasks define.
FUNCTION = "f"
#: Names that an answer may use: constructors of plain values. Nothing made of these equals everything.
_CONSTRUCTORS = frozenset(
    {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "range", "set", "str"}
)
_CONSTRUCTORS |= {"tuple"}


def judge(
    code: str, expected: str, answers: Sequence[str], calls: bool, seconds: float
) -> list[tuple[str, str, float]]:
    """Return (status, message, CPU seconds) of each answer to one task.

    An answer is an expression that has to equal `expected`, another expression, in a program that defines `code`:
    a call of the function where `calls`, else a value.
    """
    waits = by_clock(seconds)
    return [tuple(run_forked(lambda one=one: _compare(code, expected, one, calls), seconds, waits)) for one in answers]


def _compare(code: str, expected: str, answer: str, calls: bool) -> tuple[str, str]:
    # As one statement, and not as two expressions: the published scores read `5 # five` and refuse `1, 2`.
    tree = ast.parse(f"assert {expected} == {answer}")
    fault = find_fault(tree, calls)
    if fault:
        return "wrong", fault
    module = types.ModuleType("answer")
    exec(compile(code, "<task>", "exec", dont_inherit=True), module.__dict__)
    try:
        exec(compile(tree, "<assertion>", "exec", dont_inherit=True), module.__dict__)
    except AssertionError:
        return "wrong", f"{expected[:120]} is not {answer.strip()[:120]}"
    return "pass", ""


def find_fault(tree: ast.Module, calls: bool) -> str:
    """Say why an assertion with an answer in it proves nothing; "" when it does."""
    first = tree.body[0]
    if len(tree.body) != 1 or not isinstance(first, ast.Assert):
        return "more than one expression"
    test = first.test
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return "more than one expression"
    (given,) = test.comparators
    values: list[ast.expr] = [given]
    if calls:
        if not (isinstance(given, ast.Call) and isinstance(given.func, ast.Name) and given.func.id == FUNCTION):
            return f"no call of {FUNCTION}"
        values = [*given.args, *(keyword.value for keyword in given.keywords)]
    for part in (part for value in values for part in ast.walk(value)):
        if isinstance(part, ast.Lambda):
            return "a function is no value"
        if isinstance(part, ast.NamedExpr):
            return "an assignment is no value"
        # A generator's frame leads to all names.
        if isinstance(part, ast.Attribute) and part.attr.startswith(("_", "gi_")):
            return f"uses the attribute {part.attr}"
    used = {name for value in values for name in _names_from_outside(value)} - _CONSTRUCTORS
    return f"uses the name {min(used)}" if used else ""


def _names_from_outside(value: ast.expr) -> set[str]:
    """Return the names that an expression takes from its module or the builtins; a comprehension has its own."""
    # In a tuple, because a starred argument is no expression of its own; in a function, because a module's names are
    # global, those of its comprehensions as well from Python 3.12 on.
    tables = [symtable.symtable(f"lambda: {ast.unparse(ast.Tuple([value], ast.Load()))}", "<answer>", "eval")]
    found = set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        found |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return found
