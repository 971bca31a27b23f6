"""Makes a program tell what it proves: every function of the response and every assertion of the tests leaves a mark.

Syntax trees are rewritten before anything runs. A function of the response first stores into `__ran__`; an assertion
of the tests calls `__held__(site, left, right)` when it holds and `__failed__(site, left, right)` when it does not, so
that a failure counts even where the program swallows the exception.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from selfcodealign.sandbox.names import (
    BUILTIN_NAMES,
    FUNCTIONS,
    WORLDLY,
    called_name,
    cannot_fail,
    defined_names,
    inert_names,
    nodes_of,
    reached_names,
    words_in,
)

RAN, TESTED, HELD, FAILED, EXPLAIN = "__ran__", "__tested__", "__held__", "__failed__", "__explain__"
COMPARE, TRUE_BUILTINS = "__compare__", "__true_builtins__"
_LEFT, _RIGHT = "__left__", "__right__"
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_EXPECTING = (
    "raises",
    "warns",
    "deprecated_call",
    "assertRaises",
    "assertRaisesRegex",
    "assertWarns",
    "assertWarnsRegex",
)
_EXPECTING += ("assertLogs", "assertNoLogs")
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
    """One place in the tests where something is asserted.

    `vacuous`: it cannot fail, whatever the response does (constants, a non-empty tuple, both sides the same text).
    `mentions`: it refers to values or plain classes of the response, which no running function of it can vouch for.
    """

    line: int
    last_line: int
    text: str
    vacuous: bool
    mentions: bool


def mark_functions(tree: ast.Module, source: str) -> int:
    """Make every function and lambda of the response store into `__ran__`; returns how many there are."""
    marker = _Marker(has_lambdas="lambda" in source)
    marker.visit(tree)
    return marker.count


def mark_tests(tree: ast.Module) -> dict[str, int]:
    """Make test functions and methods store into `__tested__`; returns their slots by name or Class.name."""
    slots: dict[str, int] = {}
    for prefix, body in [("", tree.body)] + [(f"{n.name}.", n.body) for n in tree.body if isinstance(n, ast.ClassDef)]:
        for node in body:
            if isinstance(node, FUNCTIONS) and (prefix or node.name.startswith("test")):
                slots[prefix + node.name] = len(slots)
                target = ast.Subscript(ast.Name(TESTED, ast.Load()), ast.Constant(len(slots) - 1), ast.Store())
                node.body.insert(0, _placed(ast.Assign([target], ast.Constant(1)), node))
    return slots


class _Statements(ast.NodeTransformer):
    """Goes through statements only: most nodes of a tree are expressions, and those hold no statements."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in ("body", "handlers", "orelse", "finalbody", "cases"):
            part = getattr(node, field, None)
            if isinstance(part, list):
                visited = [self.visit(statement) for statement in part]
                part[:] = [new for seen in visited for new in (seen if isinstance(seen, list) else [seen])]
        return node


class _Marker(_Statements):
    """Numbers functions and lambdas in the order of a full walk, which is only taken where there are lambdas."""

    def __init__(self, has_lambdas: bool) -> None:
        self.count = 0
        self._walk = super(_Statements, self).generic_visit if has_lambdas else super().generic_visit

    def generic_visit(self, node: ast.AST) -> ast.AST:
        return self._walk(node)

    def _function(self, node: _Function) -> _Function:
        target = ast.Subscript(ast.Name(RAN, ast.Load()), ast.Constant(self.count), ast.Store())
        mark = _placed(ast.Assign([target], ast.Constant(1)), node)
        self.count += 1
        self.generic_visit(node)
        after_docstring = 1 if ast.get_docstring(node, clean=False) is not None else 0
        node.body.insert(after_docstring, mark)
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function  # type: ignore[assignment]

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        store = ast.Attribute(ast.Name(RAN, ast.Load()), "__setitem__", ast.Load())
        mark = ast.Call(store, [ast.Constant(self.count), ast.Constant(1)], [])
        self.count += 1
        self.generic_visit(node)
        node.body = _placed(ast.BoolOp(ast.Or(), [mark, node.body]), node)
        return node


def mark_assertions(
    tree: ast.Module, nodes: list[ast.AST], source: str, own_names: set[str], own_values: set[str]
) -> list[Site]:
    """Rewrite every assertion in the tests; returns the sites, numbered as the marks are."""
    shadowed = {name for name in defined_names(tree) if name.startswith("assert")}
    rewriter = _Assertions(source, own_names, reached_names(nodes, own_values), inert_names(nodes), shadowed)
    rewriter.visit(tree)
    return rewriter.sites


class _Assertions(_Statements):
    def __init__(
        self, source: str, own_names: set[str], reached: set[str], inert: set[str], shadowed: set[str]
    ) -> None:
        self._lines = source.splitlines()
        self._own_names = own_names
        self._reached = reached
        self._fixed = (BUILTIN_NAMES - WORLDLY | inert) - own_names
        self._shadowed = shadowed
        self._expecting_failure = 0
        self.sites: list[Site] = []

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        site = self._add(node, node.test)
        before, test, operands = _take_apart(self._guard(node.test))
        message = ast.Name("__message__", ast.Load())
        explained = node.msg or _call(EXPLAIN, ast.Constant(site), *operands)
        failed: list[ast.stmt] = [
            ast.Assign([ast.Name("__message__", ast.Store())], explained),
            ast.Expr(_call(FAILED, ast.Constant(site), message)),
            ast.Raise(ast.Call(ast.Name("AssertionError", ast.Load()), [message], [])),
        ]
        decide = ast.If(test, [ast.Expr(_call(HELD, ast.Constant(site), *operands))], failed)
        return [_placed(statement, node) for statement in (*before, decide)]

    def _guard(self, test: ast.expr) -> ast.expr:
        """Watch the comparisons inside, and keep the response's namesakes of builtins from judging the rest of it."""
        words = words_in(test)
        namesakes = words & self._own_names & BUILTIN_NAMES
        if not (words & self._own_names) - namesakes:
            namesakes = set()
        guarded = _Guard(namesakes)
        if isinstance(test, ast.Compare) and len(test.ops) == 1:  # taken apart, its own operands are watched anyhow
            test.left, test.comparators[0] = guarded.visit(test.left), guarded.visit(test.comparators[0])
            return test
        guarded_test: ast.expr = guarded.visit(test)
        return guarded_test

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | list[ast.stmt]:
        self.generic_visit(node)
        name = called_name(node.value)
        if not name.startswith("assert") or name in self._shadowed or not isinstance(node.value, ast.Call):
            return node
        site = self._add(node, node.value)
        call = node.value
        before: list[ast.stmt] = []
        operands: list[ast.expr] = []
        if len(call.args) >= 2 and not any(isinstance(argument, ast.Starred) for argument in call.args[:2]):
            before = [_store(_LEFT, call.args[0]), _store(_RIGHT, call.args[1])]
            operands = [_placed(ast.Name(name, ast.Load()), node) for name in (_LEFT, _RIGHT)]
            call.args[:2] = operands
        text = ast.Call(ast.Name("str", ast.Load()), [ast.Name("__error__", ast.Load())], [])
        failed = [ast.Expr(_call(FAILED, ast.Constant(site), text))] if not self._expecting_failure else []
        handler = ast.ExceptHandler(ast.Name("AssertionError", ast.Load()), "__error__", [*failed, ast.Raise()])
        held = ast.Expr(_call(HELD, ast.Constant(site), *operands))
        return [_placed(statement, node) for statement in (*before, ast.Try([node], [handler], [held], []))]

    def _with(self, node: ast.With | ast.AsyncWith) -> ast.stmt | list[ast.stmt]:
        expecting = [item.context_expr for item in node.items if called_name(item.context_expr) in _EXPECTING]
        fails = any({"AssertionError", "Exception", "BaseException"} & words_in(call) for call in expecting)
        self._expecting_failure += bool(fails)
        self.generic_visit(node)
        self._expecting_failure -= bool(fails)
        if not expecting:
            return node
        site = self._add(node, ast.copy_location(ast.Call(expecting[0], [], []), node))
        self.sites[site].mentions |= any(self._mentions(statement) for statement in node.body)
        return [node, _placed(ast.Expr(_call(HELD, ast.Constant(site))), node)]

    visit_With = visit_AsyncWith = _with  # type: ignore[assignment]

    def visit_If(self, node: ast.If) -> ast.If:
        self.generic_visit(node)
        last = node.body[-1]
        if (
            not node.orelse
            and isinstance(last, ast.Raise)
            and last.exc is not None
            and "AssertionError" in words_in(last.exc)
        ):
            site = self._add(node, node.test)
            node.body.insert(-1, _placed(ast.Expr(_call(FAILED, ast.Constant(site), ast.Constant(""))), node))
            node.orelse = [_placed(ast.Expr(_call(HELD, ast.Constant(site))), node)]
        return node

    def _add(self, node: ast.stmt, asserted: ast.expr) -> int:
        text = self._lines[asserted.lineno - 1].strip() if asserted.lineno <= len(self._lines) else ""
        text = text.removeprefix("assert ")[:200]
        self.sites.append(
            Site(
                node.lineno,
                asserted.end_lineno or node.lineno,
                text,
                cannot_fail(asserted, self._fixed),
                self._mentions(asserted),
            )
        )
        return len(self.sites) - 1

    def _mentions(self, node: ast.AST) -> bool:
        return any(isinstance(name, ast.Name) and name.id in self._reached for name in nodes_of(node))


def _take_apart(test: ast.expr) -> tuple[list[ast.stmt], ast.expr, list[ast.expr]]:
    """Keep both sides of a comparison, so that they can be shown and probed."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or _binds_names(test):
        return [], test, []
    before: list[ast.stmt] = [_store(_LEFT, test.left), _store(_RIGHT, test.comparators[0])]
    operands: list[ast.expr] = [ast.Name(_LEFT, ast.Load()), ast.Name(_RIGHT, ast.Load())]
    return before, ast.Compare(operands[0], test.ops, [operands[1]]), operands


def _binds_names(node: ast.AST) -> bool:
    return any(isinstance(part, ast.NamedExpr) for part in nodes_of(node))


class _Guard(ast.NodeTransformer):
    """Inside one assertion: `a == b` becomes `__compare__("Eq", a, b)`, and false builtins become the true ones."""

    def __init__(self, namesakes: set[str]) -> None:
        self._namesakes = namesakes

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if len(node.ops) != 1 or type(node.ops[0]).__name__ not in COMPARISONS:
            return node
        comparison = ast.Constant(type(node.ops[0]).__name__)
        return _placed(_call(COMPARE, comparison, node.left, node.comparators[0]), node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self._namesakes:
            return node
        true = ast.Subscript(ast.Name(TRUE_BUILTINS, ast.Load()), ast.Constant(node.id), ast.Load())
        return _placed(true, node)


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _store(name: str, value: ast.expr) -> ast.Assign:
    return ast.Assign([ast.Name(name, ast.Store())], value)


_Node = TypeVar("_Node", bound=ast.AST)


def _placed(new: _Node, node: ast.stmt | ast.expr) -> _Node:
    """Give what is new in `new` the place of the node it came from; old parts keep theirs, and so do those below."""
    waiting: list[ast.AST] = [new]
    while waiting:
        part = waiting.pop()
        if "lineno" in part._attributes:
            if hasattr(part, "lineno"):
                continue
            part.lineno, part.col_offset = node.lineno, node.col_offset  # type: ignore[attr-defined]
            part.end_lineno, part.end_col_offset = node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]
        waiting += ast.iter_child_nodes(part)
    return new
