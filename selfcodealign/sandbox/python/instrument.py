"""Instruments a program: every function of the response and every assertion of the tests leaves a mark when it runs.

Syntax trees are rewritten before anything runs. A function of the response first stores into `__ran__`. An assertion
of the tests calls `__held__(site, left, right)` when it holds; when it fails it raises the result of
`__failed__(site, message)` or `__explain__(site, left, right)`, so that a failure counts even where the program
swallows the exception.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from selfcodealign.sandbox.python.names import (
    BUILTIN_NAMES,
    FUNCTIONS,
    WORLDLY,
    asks_type_only,
    called_name,
    cannot_fail,
    defined_names,
    inert_names,
    is_meant_as_value,
    nodes_of,
    reached_names,
    words_in,
)

RAN, TESTED, HELD, FAILED, EXPLAIN = "__ran__", "__tested__", "__held__", "__failed__", "__explain__"
COMPARE, TRUE_BUILTINS = "__compare__", "__true_builtins__"
_LEFT, _RIGHT = "__left__", "__right__"
# Not `splitlines`: Python counts no form feed and no U+2028 in a text as the end of a line.
_LINE_END = re.compile(r"\r\n?|\n")
_LOAD, _STORE = ast.Load(), ast.Store()
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
_EXITS = frozenset({"exit", "quit"})
_COMMON_FAILURES = frozenset({"Exception", "BaseException", "AssertionError", "SystemExit", "Failed"})
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
    """

    line: int
    last_line: int
    text: str
    vacuous: bool
    mentions: bool


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


class _Statements(ast.NodeTransformer):
    """Visits statements only: most nodes of a tree are expressions, which contain no statements."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in ("body", "handlers", "orelse", "finalbody", "cases"):
            part = getattr(node, field, None)
            if isinstance(part, list):
                visited = [self.visit(statement) for statement in part]
                part[:] = [new for seen in visited for new in (seen if isinstance(seen, list) else [seen])]
        return node


class _Marker(_Statements):
    """Numbers functions and lambdas in the order of a full walk; without lambdas it visits statements only."""

    def __init__(self, has_lambdas: bool) -> None:
        self.count = 0
        self._walk = super(_Statements, self).generic_visit if has_lambdas else super().generic_visit

    def generic_visit(self, node: ast.AST) -> ast.AST:
        return self._walk(node)

    def _function(self, node: _Function) -> _Function:
        mark = _mark(RAN, self.count, node)
        self.count += 1
        self.generic_visit(node)
        after_docstring = 1 if ast.get_docstring(node, clean=False) is not None else 0
        node.body.insert(after_docstring, mark)
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function  # type: ignore[assignment]

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        at = _place(node)
        store = ast.Attribute(_load(RAN, at), "__setitem__", _LOAD, **at)
        mark = ast.Call(store, [ast.Constant(self.count, **at), ast.Constant(1, **at)], [], **at)
        self.count += 1
        self.generic_visit(node)
        node.body = ast.BoolOp(ast.Or(), [mark, node.body], **at)
        return node


def mark_assertions(
    tree: ast.Module, nodes: list[ast.AST], source: str, own_names: set[str], own_values: set[str]
) -> list[Site]:
    """Rewrite every assertion in the tests; return the sites, numbered like the marks."""
    shadowed = {name for name in defined_names(tree) if name.startswith("assert")}
    rewriter = _Assertions(source, own_names, reached_names(nodes, own_values), inert_names(nodes), shadowed)
    rewriter.nodes = nodes
    rewriter.visit(tree)
    return rewriter.sites


def exit_places(nodes: list[ast.AST]) -> list[tuple[int, ...]]:
    """Return the places of `sys.exit(...)` and `raise SystemExit`: first and last line, first and last column."""
    places: list[ast.Call | ast.Raise] = []
    for node in nodes:
        calls = isinstance(node, ast.Call) and called_name(node) in _EXITS
        if calls or (isinstance(node, ast.Raise) and node.exc is not None and "SystemExit" in words_in(node.exc)):
            places.append(node)  # type: ignore[arg-type]
    return [(node.lineno, node.end_lineno or 0, node.col_offset, node.end_col_offset or 0) for node in places]


class _Assertions(_Statements):
    def __init__(
        self, source: str, own_names: set[str], reached: set[str], inert: set[str], shadowed: set[str]
    ) -> None:
        self._lines = _LINE_END.split(source)
        self._may_bind = ":=" in source
        self._own_names = own_names
        self._reached = reached
        self._fixed = (BUILTIN_NAMES - WORLDLY | inert) - own_names
        self._shadowed = shadowed
        self._expecting_failure = 0
        self.sites: list[Site] = []
        self.nodes: list[ast.AST] = []

    @cached_property
    def _derived(self) -> set[str]:
        """The names whose values derive from the response; only tests that assert by other means need them."""
        return reached_names(self.nodes, self._own_names)

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        at, inside = _place(node), nodes_of(node.test)
        words = {part.id for part in inside if isinstance(part, ast.Name)}
        site = ast.Constant(self._add(node, node.test, words), **at)
        before, test, operands = self._guard(node.test, inside, words, at)
        failure = _call(EXPLAIN, at, site, *operands) if node.msg is None else _call(FAILED, at, site, node.msg)
        held: ast.stmt = ast.Expr(_call(HELD, at, site, *operands), **at)
        return [*before, ast.If(test, [held], [ast.Raise(failure, None, **at)], **at)]

    def _guard(
        self, test: ast.expr, inside: list[ast.AST], words: set[str], at: dict[str, Any]
    ) -> tuple[list[ast.stmt], ast.expr, list[ast.expr]]:
        """Instrument the comparisons, and use true builtins where the response defines functions of the same names.

        Both sides of an assertion that is one comparison are stored, to be shown and probed, unless it binds names.
        Returns the statements before the test, the test, and the two sides.
        """
        namesakes = words & self._own_names & BUILTIN_NAMES
        if not (words & self._own_names) - namesakes:
            namesakes = set()
        comparisons = sum(isinstance(part, ast.Compare) for part in inside)
        guarded = _Guard(namesakes)
        binds = any(isinstance(part, ast.NamedExpr) for part in inside)
        if not isinstance(test, ast.Compare) or len(test.ops) != 1 or binds:
            return [], guarded.visit(test) if namesakes or comparisons else test, []
        left, right = test.left, test.comparators[0]
        if namesakes or comparisons > 1:
            left, right = guarded.visit(left), guarded.visit(right)
        operands: list[ast.expr] = [_load(_LEFT, at), _load(_RIGHT, at)]
        before: list[ast.stmt] = [_store(_LEFT, left, at), _store(_RIGHT, right, at)]
        return before, ast.Compare(operands[0], test.ops, [operands[1]], **at), operands

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | list[ast.stmt]:
        name = called_name(node.value)
        if name in _EXITS:
            return self._exit(node, node.value)
        if not name.startswith("assert") or name in self._shadowed or not isinstance(node.value, ast.Call):
            return node
        at, call = _place(node), node.value
        site = ast.Constant(self._add(node, call, words_in(call)), **at)
        before: list[ast.stmt] = []
        operands: list[ast.expr] = []
        if len(call.args) >= 2 and not any(isinstance(argument, ast.Starred) for argument in call.args[:2]):
            before = [_store(_LEFT, call.args[0], at), _store(_RIGHT, call.args[1], at)]
            operands = [_load(_LEFT, at), _load(_RIGHT, at)]
            call.args[:2] = operands
        text = _call("str", at, _load("__error__", at))
        failed = [] if self._expecting_failure else [ast.Expr(_call(FAILED, at, site, text), **at)]
        again = ast.Raise(None, None, **at)
        handler = ast.ExceptHandler(_load("AssertionError", at), "__error__", [*failed, again], **at)
        held = ast.Expr(_call(HELD, at, site, *operands), **at)
        return [*before, ast.Try([node], [handler], [held], [], **at)]

    def _with(self, node: ast.With | ast.AsyncWith) -> ast.stmt | list[ast.stmt]:
        expecting = [item.context_expr for item in node.items if called_name(item.context_expr) in _EXPECTING]
        fails = any({"AssertionError", "Exception", "BaseException"} & words_in(call) for call in expecting)
        self._expecting_failure += bool(fails)
        self.generic_visit(node)
        self._expecting_failure -= bool(fails)
        if not expecting:
            return node
        at = _place(node)
        words = set().union(*map(words_in, (expecting[0], *node.body)))
        site = self._add(node, ast.Call(expecting[0], [], [], **at), words)
        return [node, ast.Expr(_call(HELD, at, ast.Constant(site, **at)), **at)]

    visit_With = visit_AsyncWith = _with  # type: ignore[assignment]

    def visit_Raise(self, node: ast.Raise) -> ast.stmt | list[ast.stmt]:
        return self._exit(node, node.exc) if node.exc is not None and called_name(node.exc) == "SystemExit" else node

    def _exit(self, node: ast.Expr | ast.Raise, call: ast.expr) -> ast.stmt | list[ast.stmt]:
        """An exit whose status is computed, such as `sys.exit(not ok)`, asserts that it is zero."""
        if (
            not isinstance(call, ast.Call)
            or len(call.args) != 1
            or isinstance(call.args[0], ast.Constant | ast.Starred)
        ):
            return node
        at, status = _place(node), call.args[0]
        site = ast.Constant(self._add(node, status, words_in(status)), **at)
        call.args = [_load(_LEFT, at)]
        held: ast.stmt = ast.Expr(_call(HELD, at, site), **at)
        return [_store(_LEFT, status, at), ast.If(_load(_LEFT, at), [ast.Pass(**at)], [held], **at), node]

    def visit_If(self, node: ast.If) -> ast.If:
        last = node.body[-1]
        asserts = isinstance(last, ast.Raise) and last.exc is not None and "AssertionError" in words_in(last.exc)
        fails = _fails(node.body), _fails(node.orelse)
        self.generic_visit(node)
        at, words = _place(node), words_in(node.test)
        if asserts and not node.orelse:
            site = ast.Constant(self._add(node, node.test, words), **at)
            node.body.insert(-1, ast.Expr(_call(FAILED, at, site, ast.Constant("", **at)), **at))
            node.orelse = [ast.Expr(_call(HELD, at, site), **at)]
        elif fails[0] != fails[1] and not words.isdisjoint(self._derived):
            failing, other = (node.body, node.orelse) if fails[0] else (node.orelse, node.body)
            other.insert(0, self._held_unless(node, node.test, words, failing))
        return node

    def visit_Try(self, node: ast.Try) -> ast.Try:
        """A failure after the call that should have raised: each handler shows that it has."""
        fails = _fails(node.orelse) or (_fails(node.body) and not any(map(_catches_failures, node.handlers)))
        self.generic_visit(node)
        words = set().union(*map(words_in, node.body))
        if fails and not words.isdisjoint(self._derived):
            for handler in node.handlers:
                expected = _load(RAN, _place(node))  # stands for the call: it can fail
                handler.body.insert(0, self._held_unless(node, expected, words, node.orelse or node.body))
        return node

    def _held_unless(self, node: ast.stmt, asserted: ast.expr, words: set[str], failing: list[ast.stmt]) -> ast.stmt:
        """The mark of an assertion that ends in the statements `failing` when it does not hold."""
        at = _place(node)
        site = self._add(node, asserted, words)
        self.sites[site].last_line = max(part.end_lineno or part.lineno for part in failing)
        return ast.Expr(_call(HELD, at, ast.Constant(site, **at)), **at)

    def _add(self, node: ast.stmt, asserted: ast.expr, words: set[str]) -> int:
        """Add a site and return its number; `words` are the names used in its assertion."""
        text = self._lines[asserted.lineno - 1].strip() if asserted.lineno <= len(self._lines) else ""
        text = text.removeprefix("assert ")[:200]
        last_line = asserted.end_lineno or node.lineno
        vacuous = cannot_fail(asserted, self._fixed) or asks_type_only(asserted, self._own_names)
        vacuous |= isinstance(node, ast.Assert) and is_meant_as_value(node.msg)
        mentions = not words.isdisjoint(self._reached)
        self.sites.append(Site(node.lineno, last_line, text, vacuous, mentions))
        return len(self.sites) - 1


def _fails(body: list[ast.stmt]) -> bool:
    """Whether a block ends in a failure: an exception, an exit with a constant status, `assert False`, `fail()`."""
    last = body[-1] if body else None
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        status = last.value.args[0] if last.value.args else None
        exits = called_name(last.value) in _EXITS and isinstance(status, ast.Constant) and bool(status.value)
        return exits or called_name(last.value) == "fail"
    if isinstance(last, ast.Assert):
        return isinstance(last.test, ast.Constant) and not last.test.value
    return isinstance(last, ast.Raise) and last.exc is not None


def _catches_failures(handler: ast.ExceptHandler) -> bool:
    """Whether a handler would catch the failure that the tests raise themselves."""
    return handler.type is None or not _COMMON_FAILURES.isdisjoint(words_in(handler.type))


class _Guard(ast.NodeTransformer):
    """Inside one assertion: `a == b` becomes `__compare__("Eq", a, b)`, and redefined builtins become the true ones."""

    def __init__(self, namesakes: set[str]) -> None:
        self._namesakes = namesakes

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if len(node.ops) != 1 or type(node.ops[0]).__name__ not in COMPARISONS:
            return node
        at = _place(node)
        comparison = ast.Constant(type(node.ops[0]).__name__, **at)
        return _call(COMPARE, at, comparison, node.left, node.comparators[0])

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self._namesakes:
            return node
        at = _place(node)
        return ast.Subscript(_load(TRUE_BUILTINS, at), ast.Constant(node.id, **at), _LOAD, **at)


def _place(node: ast.stmt | ast.expr) -> dict[str, Any]:
    """Return the source position of a node, for the new nodes that replace it."""
    return {
        "lineno": node.lineno,
        "col_offset": node.col_offset,
        "end_lineno": node.end_lineno,
        "end_col_offset": node.end_col_offset,
    }


def _load(name: str, at: dict[str, Any]) -> ast.Name:
    return ast.Name(name, _LOAD, **at)


def _call(name: str, at: dict[str, Any], *arguments: ast.expr) -> ast.Call:
    return ast.Call(_load(name, at), list(arguments), [], **at)


def _store(name: str, value: ast.expr, at: dict[str, Any]) -> ast.Assign:
    return ast.Assign([ast.Name(name, _STORE, **at)], value, **at)


def _mark(name: str, slot: int, node: _Function) -> ast.Assign:
    """`name[slot] = 1`."""
    at = _place(node)
    return ast.Assign(
        [ast.Subscript(_load(name, at), ast.Constant(slot, **at), _STORE, **at)], ast.Constant(1, **at), **at
    )
