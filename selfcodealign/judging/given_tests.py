"""Tests as data sets of others hold them, as one text that the sandbox runs."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from selfcodealign.fences import read_tests
from selfcodealign.judging.rows import join_tests

_BROKEN = (SyntaxError, ValueError, RecursionError, MemoryError)


def read_given_tests(values: Sequence[Any], entry_point: str = "") -> str | None:
    """Return the tests in these cells of a row as one text: code, a list of assertions, or the text of such a list.

    "" where there are none, None for a shape that nobody knows: objects, numbers, texts without code. A function
    `check(candidate)` that nothing calls is called with the `entry_point`.

    >>> read_given_tests([["assert f(1) == 2", "assert f(2) == 3"]])
    'assert f(1) == 2\\nassert f(2) == 3'
    >>> read_given_tests(['{"inputs": [1], "outputs": [2]}'])
    """
    parts = [_join(value) for value in values]
    if any(part is None for part in parts):
        return None
    text = "\n".join(part for part in parts if part and part.strip())
    if not text:
        return ""
    code = read_tests(text).code
    if not code.strip() or _is_data(code):
        return None
    return f"{code}\ncheck({entry_point})\n" if entry_point.isidentifier() and _waits_for_call(code) else text


def _join(value: Any) -> str | None:
    """One cell as text; None for another value."""
    joined = join_tests(value)
    if isinstance(joined, str) and joined.lstrip().startswith("["):
        try:  # the list as Python prints it
            joined = join_tests(ast.literal_eval(joined.strip()))
        except _BROKEN:
            return joined
    return joined if isinstance(joined, str) else None


def _is_data(code: str) -> bool:
    """Whether a text that parses says something and does nothing: numbers, lists, objects."""
    try:
        statements = ast.parse(code).body
    except _BROKEN:
        return False
    doing = ast.Call | ast.Compare | ast.Await
    return all(
        isinstance(one, ast.Expr) and not any(isinstance(node, doing) for node in ast.walk(one)) for one in statements
    )


def _waits_for_call(code: str) -> bool:
    """Whether the tests are a function `check` of one argument that the code itself never calls."""
    try:
        tree = ast.parse(code)
    except _BROKEN:
        return False
    defined = any(isinstance(one, ast.FunctionDef) and one.name == "check" and one.args.args for one in tree.body)
    return defined and not any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check"
        for node in ast.walk(tree)
    )
