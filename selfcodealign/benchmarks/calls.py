"""The calls in a benchmark's tests whose arguments and results are written out: `assert f(1, [2]) == 3`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from selfcodealign.benchmarks.problem_files import Row

_TEST_FIELDS = ("test_list", "challenge_test_list", "assertion", "test")
#: Calls of one task that are kept.
MOST_CALLS = 20


def find_calls(row: Row) -> list[tuple[str, str]]:
    """The calls of a row's assertions: the arguments as a tuple in source text, and the result."""
    texts = [row.get(field) for field in _TEST_FIELDS]
    lines = [text for one in texts for text in (one if isinstance(one, list) else [one]) if isinstance(text, str)]
    return list(dict.fromkeys(call for text in lines for call in _read(text)))[:MOST_CALLS]


def _read(text: str) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and (found := _split(node.test)):
            call, expected = found
            try:
                arguments = tuple(ast.literal_eval(one) for one in call.args)
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                continue
            if not call.keywords and arguments:
                yield repr(arguments), repr(expected)


def _split(test: ast.expr) -> tuple[ast.Call, Any] | None:
    """The call and the result that an assertion expects of it."""
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Call) and isinstance(test.left.func, ast.Name):
        if len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
            return None
        # `sorted(f(x)) == ...` is no call of the function that is asked for.
        if any(isinstance(inner, ast.Call) for one in test.left.args for inner in ast.walk(one)):
            return None
        try:
            return test.left, ast.literal_eval(test.comparators[0])
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return None
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and isinstance(test.operand, ast.Call):
        return test.operand, False
    return None
