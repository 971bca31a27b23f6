"""Judges predictions of a function's value or input: the assertion with the answer in it has to hold."""

from __future__ import annotations

import ast
import types
from collections.abc import Sequence

from selfcodealign.benchmarks.inside.forked import run_forked

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
    return [
        tuple(run_forked(lambda one=one: _compare(code, expected, one, calls), seconds, seconds)) for one in answers
    ]


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
    values: list[ast.AST] = [given]
    if calls:
        if not (isinstance(given, ast.Call) and isinstance(given.func, ast.Name) and given.func.id == FUNCTION):
            return f"no call of {FUNCTION}"
        values = [*given.args, *given.keywords]
    parts = [part for value in values for part in ast.walk(value)]
    for part in parts:
        if isinstance(part, ast.Lambda):
            return "a function is no value"
        if isinstance(part, ast.Attribute) and part.attr.startswith("_"):
            return f"uses the attribute {part.attr}"
    bound = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    used = {part.id for part in parts if isinstance(part, ast.Name)} - bound - _CONSTRUCTORS
    return f"uses the name {min(used)}" if used else ""
