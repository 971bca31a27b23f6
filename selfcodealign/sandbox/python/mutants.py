"""Mutants of a response, for mutation testing: sound tests kill them.

A mutant has a short name, stable for one source text: `all:none` (every function returns None), `body:3:zero`
(function 3 returns 0, or yields it), `place:17` (the 17th place where an operator, constant, condition, return, yield
or a call for its effect can be changed).
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BUILTIN_NAMES = frozenset(dir(builtins))
GATES: tuple[str, ...] = ("all:none", "all:zero", "all:true")
_VALUES = {"none": "None", "zero": "0", "true": "True"}
_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(slots=True)
class _Place:
    """A place that can be mutated; `owner` is the number of the innermost function around it (-1: none).

    `shown_only`: it lies in a statement at the top level that only prints and asserts.
    """

    owner: int
    change: Callable[[], None]
    shown_only: bool


class _Finder(ast.NodeVisitor):
    """Numbers functions and lambdas as `instrument.mark_functions` does, and finds the places to mutate."""

    def __init__(self) -> None:
        self.functions: list[tuple[int, ast.FunctionDef | ast.AsyncFunctionDef]] = []
        self.places: list[_Place] = []
        self._count = 0
        self._owners = [-1]
        self._shown_only = False

    def visit_Module(self, node: ast.Module) -> None:
        for statement in node.body:
            self._shown_only = _only_shows(statement)
            self.visit(statement)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.functions.append((self._count, node))
        self._enter(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._enter(node)

    def _enter(self, node: ast.AST) -> None:
        self._owners.append(self._count)
        self._count += 1
        self.generic_visit(node)
        self._owners.pop()

    def _add(self, change: Callable[[], None]) -> None:
        self.places.append(_Place(self._owners[-1], change, self._shown_only))

    def _swap(self, node: ast.BinOp | ast.BoolOp | ast.AugAssign) -> None:
        if type(node.op) in _SWAPS:
            self._add(lambda: setattr(node, "op", _SWAPS[type(node.op)]()))
        self.generic_visit(node)

    visit_BinOp = visit_BoolOp = visit_AugAssign = _swap

    def visit_Compare(self, node: ast.Compare) -> None:
        for index, operator in enumerate(node.ops):
            swapped: Any = _SWAPS[type(operator)]()
            self._add(lambda index=index, swapped=swapped: node.ops.__setitem__(index, swapped))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, (ast.Not, ast.USub)):
            self._add(lambda: setattr(node, "op", ast.Not() if isinstance(node.op, ast.USub) else ast.UAdd()))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._add(lambda: setattr(node, "value", not value))
        elif isinstance(value, (int, float)):
            self._add(lambda: setattr(node, "value", value + 1))
        elif isinstance(value, str):
            self._add(lambda: setattr(node, "value", value + "?"))

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):  # docstrings have no effect
            return
        if isinstance(node.value, ast.Call):  # called for its effect: remove the call
            self._add(lambda: setattr(node, "value", ast.Constant(None)))
        self.generic_visit(node)

    def visit_Yield(self, node: ast.Yield) -> None:
        if node.value is not None:
            self._add(lambda: setattr(node, "value", ast.Constant(None)))
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def _condition(self, node: ast.If | ast.IfExp) -> None:
        negated = ast.UnaryOp(ast.Not(), node.test)
        self._add(lambda: setattr(node, "test", negated))
        self.generic_visit(node)

    visit_If = visit_IfExp = _condition

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self._add(lambda: setattr(node, "value", ast.Constant(None)))
        self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        """Annotations have no effect."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)


def _find(tree: ast.Module) -> _Finder:
    finder = _Finder()
    finder.visit(tree)
    return finder


def list_mutants(tree: ast.Module, tests_apart: bool = False) -> list[tuple[int, str]]:
    """Return all mutants of single functions and places, each with the number of its function (-1: none).

    With `tests_apart`, the response's own examples and asserts are not mutated: the tests cannot tell.
    A response with one function has no `body` mutants: they would equal the `all` mutants.
    """
    finder = _find(tree)
    single = finder.functions if len(finder.functions) > 1 else []
    bodies = [(number, f"body:{number}:{kind}") for number, _ in single for kind in ("none", "zero")]
    return bodies + [
        (place.owner, f"place:{i}") for i, place in enumerate(finder.places) if not (tests_apart and place.shown_only)
    ]


def apply_mutant(tree: ast.Module, mutant: str) -> None:
    """Turn the tree into the named mutant, in place."""
    kind, _, rest = mutant.partition(":")
    finder = _find(tree)
    if kind == "all":
        _mutate_all(tree, finder, rest)
    elif kind == "body":
        number, _, body = rest.partition(":")
        _replace_body(dict(finder.functions)[int(number)], body)
    else:
        finder.places[int(rest)].change()
    ast.fix_missing_locations(tree)


def tolerate_examples(tree: ast.Module) -> None:
    """Let a mutant survive its response's own examples and asserts: the tests have to kill it."""
    shown = (ast.Expr, ast.Assert, ast.For, ast.While, ast.If, ast.With)
    for place, node in enumerate(tree.body):
        if isinstance(node, shown) and not _defines(node):
            handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])
            tolerant = ast.copy_location(ast.Try([node], [handler], [], []), node)
            tree.body[place] = ast.fix_missing_locations(tolerant)


def _only_shows(node: ast.stmt) -> bool:
    """Whether a statement does no more than print and assert."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "print"
    if isinstance(node, ast.For | ast.If | ast.With):
        return all(map(_only_shows, [*node.body, *getattr(node, "orelse", [])]))
    return isinstance(node, ast.Assert)


def _defines(node: ast.stmt) -> bool:
    """Whether a statement is more than an example: it defines or imports something (a docstring is no example)."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    more = (*_FUNCTIONS, ast.ClassDef, ast.Import, ast.ImportFrom)
    return any(isinstance(part, more) for part in ast.walk(node))


def _mutate_all(tree: ast.Module, finder: _Finder, body: str) -> None:
    """Mutate every function; without functions every class body; without either every assigned value.

    Functions named like builtins are left out when there are others: the tests may use a redefined `abs` or `all`,
    and killing its mutant would prove nothing about the rest.
    """
    functions = [node for _, node in finder.functions]
    own = [node for node in functions if node.name not in _BUILTIN_NAMES]
    for node in own or functions:
        _replace_body(node, body)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for node in classes:
        if not any(isinstance(part, _FUNCTIONS) for part in node.body):
            node.body = [ast.Pass()]
    if functions or classes:
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            node.value = ast.parse(_VALUES[body], mode="eval").body
        elif isinstance(node, ast.Lambda):
            node.body = ast.Constant(None)


def _replace_body(node: ast.FunctionDef | ast.AsyncFunctionDef, body: str) -> None:
    """Return the value, or yield it once: the `with` block or loop that uses a generator should still begin, so that an
    assertion and not a TypeError kills the mutant."""
    verb = "yield" if _is_generator(node) else "return"
    node.body = ast.parse(f"def _():\n    {verb} {_VALUES[body]}").body[0].body  # type: ignore[attr-defined]


def _is_generator(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the function itself yields; nested functions do not count."""
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(part, (*_FUNCTIONS, ast.Lambda, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(part))
    return False
