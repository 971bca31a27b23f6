"""What an instrumented program leaves: marks of its functions, and the parts that `assertions` builds marks from.

Syntax trees are rewritten before anything runs. A function of the response first stores into `__ran__`. An assertion
of the tests calls `__held__(site, left, right)` when it holds; when it fails it calls `__explain__(site, left, right)`,
which raises, or `__failed__(site, message)`, so that a failure counts even where the program swallows the exception.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from selfcodealign.sandbox.python.names import (
    FUNCTIONS,
)

SWALLOWED, REPORTED = "__swallowed__", "__reported__"
RAN, TESTED, HELD, FAILED, EXPLAIN = "__ran__", "__tested__", "__held__", "__failed__", "__explain__"
COMPARE, TRUE_BUILTINS = "__compare__", "__true_builtins__"
LEFT, RIGHT = "__left__", "__right__"
LOAD, STORE = ast.Load(), ast.Store()
Function = ast.FunctionDef | ast.AsyncFunctionDef
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "In": lambda left, right: left in right,
    "NotIn": lambda left, right: left not in right,
}


@dataclass(slots=True)
class Site:
    """One assertion in the tests.

    `vacuous`: it cannot fail, whatever the response does (constants, a non-empty tuple, both sides the same text), or
    asks for no more than the type of a value, or the expected value is given as the message (`assert f(1), 3`).
    `mentions`: it refers to values or plain classes of the response, whose use leaves no mark.
    `optional`: that it never runs says nothing (its test is skipped, it stands where an exception is expected).
    `subjects`: the functions and classes of the response that it names; `skipped`: its test is marked or skips itself.
    """

    line: int
    last_line: int
    text: str
    vacuous: bool
    mentions: bool
    optional: bool = False
    skipped: bool = False
    subjects: tuple[str, ...] = ()


def mark_functions(tree: ast.Module, source: str) -> int:
    """Make every function and lambda of the response store into `__ran__`; return their number."""
    marker = _Marker(has_lambdas="lambda" in source)
    marker.visit(tree)
    return marker.count


def mark_tests(tree: ast.Module) -> dict[str, int]:
    """Make test functions and methods store into `__tested__`; return their slots by name or Class.name."""
    slots: dict[str, int] = {}
    for prefix, body in [("", tree.body)] + [(f"{n.name}.", n.body) for n in tree.body if isinstance(n, ast.ClassDef)]:
        for node in body:
            if isinstance(node, FUNCTIONS) and (prefix or node.name.startswith("test")):
                slots[prefix + node.name] = len(slots)
                node.body.insert(0, _mark(TESTED, len(slots) - 1, node))
    return slots


class Statements(ast.NodeTransformer):
    """Visits statements only: most nodes of a tree are expressions, which contain no statements."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in ("body", "handlers", "orelse", "finalbody", "cases"):
            part = getattr(node, field, None)
            if isinstance(part, list):
                visited = [self.visit(statement) for statement in part]
                part[:] = [new for seen in visited for new in (seen if isinstance(seen, list) else [seen])]
        return node


class _Marker(Statements):
    """Numbers functions and lambdas in the order of a full walk; without lambdas it visits statements only."""

    def __init__(self, has_lambdas: bool) -> None:
        self.count = 0
        self._walk = super(Statements, self).generic_visit if has_lambdas else super().generic_visit

    def generic_visit(self, node: ast.AST) -> ast.AST:
        return self._walk(node)

    def _function(self, node: Function) -> Function:
        mark = _mark(RAN, self.count, node)
        self.count += 1
        self.generic_visit(node)
        after_docstring = 1 if ast.get_docstring(node, clean=False) is not None else 0
        node.body.insert(after_docstring, mark)
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function  # type: ignore[assignment]

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        at = place_of(node)
        store = ast.Attribute(load_name(RAN, at), "__setitem__", LOAD, **at)
        mark = ast.Call(store, [ast.Constant(self.count, **at), ast.Constant(1, **at)], [], **at)
        self.count += 1
        self.generic_visit(node)
        node.body = ast.BoolOp(ast.Or(), [mark, node.body], **at)
        return node


def place_of(node: ast.stmt | ast.expr) -> dict[str, Any]:
    """Return the source position of a node, for the new nodes that replace it."""
    return {
        "lineno": node.lineno,
        "col_offset": node.col_offset,
        "end_lineno": node.end_lineno,
        "end_col_offset": node.end_col_offset,
    }


def catching(body: list[ast.stmt], at: dict[str, Any]) -> ast.ExceptHandler:
    return ast.ExceptHandler(load_name("BaseException", at), "__error__", body, **at)


def load_name(name: str, at: dict[str, Any]) -> ast.Name:
    return ast.Name(name, LOAD, **at)


def call_mark(name: str, at: dict[str, Any], *arguments: ast.expr) -> ast.Call:
    return ast.Call(load_name(name, at), list(arguments), [], **at)


def store_name(name: str, value: ast.expr, at: dict[str, Any]) -> ast.Assign:
    return ast.Assign([ast.Name(name, STORE, **at)], value, **at)


def _mark(name: str, slot: int, node: Function) -> ast.Assign:
    """`name[slot] = 1`."""
    at = place_of(node)
    return ast.Assign(
        [ast.Subscript(load_name(name, at), ast.Constant(slot, **at), STORE, **at)], ast.Constant(1, **at), **at
    )
