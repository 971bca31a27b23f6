"""Mutants of a response, for mutation testing: sound tests kill them.

A mutant has a short name, stable for one source text: `all:none` (every function returns None), `body:3:zero`
(function 3 returns 0, or yields it), `place:17` (the 17th place where an operator, constant, condition, return, yield
or a call for its effect can be changed), `value:all` (what leaves the response is another value of the same type).

A mutant is a list of swaps, which are made in place and undone: a text is parsed once for all its mutants.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_BUILTIN_NAMES = frozenset(dir(builtins))
GATES: tuple[str, ...] = ("all:none", "all:zero", "all:true")
VALUE_GATE: str = "value:all"
NO_VALUE_GATE: str = "value:none"
OTHER = "__other__"  # the function that a program finds in its namespace, see `values.make_other`
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
    # Not a product: numbers that grow exponentially in a loop end by no count of its turns.
    ast.FloorDiv: ast.Add,
    ast.Mod: ast.Add,
    ast.Pow: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(slots=True)
class _Swap:
    """One change: `holder.key`, or `holder[key]` for a number, becomes `new`; made twice, it is undone."""

    holder: Any
    key: str | int
    new: Any

    def make(self) -> None:
        if isinstance(self.key, int):
            self.holder[self.key], self.new = self.new, self.holder[self.key]
        else:
            before = getattr(self.holder, self.key)
            setattr(self.holder, self.key, self.new)
            self.new = before


class _Finder(ast.NodeVisitor):
    """Numbers functions and lambdas as `instrument.mark_functions` does, and finds the places to mutate.

    A place is the number of the innermost function around it (-1: none), the swap, and whether it lies in a statement
    at the top level that only prints and asserts.
    """

    def __init__(self) -> None:
        self.functions: list[tuple[int, _Function]] = []
        self.places: list[tuple[int, _Swap, bool]] = []
        self.results: list[ast.Return | ast.Yield] = []
        self.lambdas: list[ast.Lambda] = []
        self._count = 0
        self._owners = [-1]
        self._shown_only = False

    def visit_Module(self, node: ast.Module) -> None:
        for statement in node.body:
            self._shown_only = _only_shows(statement)
            self.visit(statement)

    def _function(self, node: _Function) -> None:
        self.functions.append((self._count, node))
        self._enter(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function  # type: ignore[assignment]

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.lambdas.append(node)
        self._enter(node)

    def _enter(self, node: ast.AST) -> None:
        self._owners.append(self._count)
        self._count += 1
        self.generic_visit(node)
        self._owners.pop()

    def _add(self, holder: Any, key: str | int, new: Any) -> None:
        self.places.append((self._owners[-1], _Swap(holder, key, new), self._shown_only))

    def _swap(self, node: ast.BinOp | ast.BoolOp | ast.AugAssign) -> None:
        if type(node.op) in _SWAPS:
            self._add(node, "op", _SWAPS[type(node.op)]())
        self.generic_visit(node)

    visit_BinOp = visit_BoolOp = visit_AugAssign = _swap  # type: ignore[assignment]

    def visit_Compare(self, node: ast.Compare) -> None:
        for index, operator in enumerate(node.ops):
            self._add(node.ops, index, _SWAPS[type(operator)]())
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, (ast.Not, ast.USub)):
            self._add(node, "op", ast.Not() if isinstance(node.op, ast.USub) else ast.UAdd())
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._add(node, "value", not value)
        elif isinstance(value, (int, float)):
            self._add(node, "value", value + 1)
        elif isinstance(value, str):
            self._add(node, "value", value + "?")

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):  # docstrings have no effect
            return
        if isinstance(node.value, ast.Call):  # called for its effect: remove the call
            self._add(node, "value", _none_at(node))
        self.generic_visit(node)

    def visit_Yield(self, node: ast.Yield) -> None:
        if node.value is not None:
            self.results.append(node)
            self._add(node, "value", _none_at(node))
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def _condition(self, node: ast.If | ast.IfExp) -> None:
        self._add(node, "test", ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test))
        self.generic_visit(node)

    visit_If = visit_IfExp = _condition  # type: ignore[assignment]

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.results.append(node)
            self._add(node, "value", _none_at(node))
        self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        """Annotations have no effect."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)


class Mutants:
    """The mutants of one tree. Create it before the tree is marked: marks are no places."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._found = _Finder()
        self._found.visit(tree)

    def names(self, tests_apart: bool) -> list[tuple[int, str]]:
        """Return all mutants of single functions and places, each with the number of its function (-1: none).

        With `tests_apart`, the response's own examples and asserts are not mutated: the tests cannot tell.
        A response with one function has no `body` mutants: they would equal the `all` mutants.
        """
        single = self._found.functions if len(self._found.functions) > 1 else []
        bodies = [(number, f"body:{number}:{kind}") for number, _ in single for kind in ("none", "zero")]
        places = enumerate(self._found.places)
        return bodies + [(owner, f"place:{i}") for i, (owner, _, shown) in places if not (tests_apart and shown)]

    @contextmanager
    def applied(self, mutant: str) -> Iterator[None]:
        """Turn the tree into the named mutant meanwhile."""
        swaps = self.swaps(mutant)
        for swap in swaps:
            swap.make()
        try:
            yield
        finally:
            for swap in reversed(swaps):
                swap.make()

    def swaps(self, mutant: str) -> list[_Swap]:
        """Return the changes that make the mutant."""
        kind, _, rest = mutant.partition(":")
        if kind == "place":
            return [self._found.places[int(rest)][1]]
        if kind == "value":
            return self._values(_none_after if rest == "none" else _other)
        if kind == "all":
            return self._all(rest)
        number, _, body = rest.partition(":")
        return [_body(dict(self._found.functions)[int(number)], body)]

    def _values(self, change: Callable[[ast.expr], ast.expr]) -> list[_Swap]:
        """Change everything that functions return and yield, after it was computed."""
        swaps = [_Swap(node, "value", change(node.value)) for node in self._found.results if node.value is not None]
        return swaps + [_Swap(node, "body", change(node.body)) for node in self._found.lambdas]

    def _all(self, body: str) -> list[_Swap]:
        """Mutate every function; without functions every class body; without either every assigned value.

        Functions named like builtins are left out when there are others: the tests may use a redefined `abs` or `all`,
        and killing its mutant would prove nothing about the rest.
        """
        functions = [node for _, node in self._found.functions]
        own = [node for node in functions if node.name not in _BUILTIN_NAMES]
        swaps = [_body(node, body) for node in own or functions]
        nodes = list(ast.walk(self._tree))
        classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
        for node in classes:
            if not any(isinstance(part, _FUNCTIONS) for part in node.body):
                swaps.append(_Swap(node, "body", [ast.copy_location(ast.Pass(), node)]))
        if functions or classes:
            return swaps
        for node in nodes:
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                swaps.append(_Swap(node, "value", ast.parse(_VALUES[body], mode="eval").body))
            elif isinstance(node, ast.Lambda):
                swaps.append(_Swap(node, "body", _none_at(node)))
        return swaps


def list_mutants(tree: ast.Module, tests_apart: bool = False) -> list[tuple[int, str]]:
    """Return all mutants of single functions and places, each with the number of its function (-1: none)."""
    return Mutants(tree).names(tests_apart)


def apply_mutant(tree: ast.Module, mutant: str) -> None:
    """Turn the tree into the named mutant, in place."""
    for swap in Mutants(tree).swaps(mutant):
        swap.make()


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


def _none_at(node: ast.AST) -> ast.Constant:
    return ast.copy_location(ast.Constant(None), node)


def _none_after(value: ast.expr) -> ast.expr:
    """`(value, None)[1]`."""
    both = ast.Tuple([value, ast.Constant(None)], ast.Load())
    return ast.fix_missing_locations(ast.copy_location(ast.Subscript(both, ast.Constant(1), ast.Load()), value))


def _other(value: ast.expr) -> ast.Call:
    """`__other__(value)`."""
    name = ast.copy_location(ast.Name(OTHER, ast.Load()), value)
    return ast.copy_location(ast.Call(name, [value], []), value)


def _body(node: _Function, body: str) -> _Swap:
    """Return the value, or yield it once: the `with` block or loop that uses a generator should still begin, so that an
    assertion and not a TypeError kills the mutant. The docstring stays: its examples may be the tests."""
    verb = "yield" if _is_generator(node) else "return"
    kept = node.body[:1] if ast.get_docstring(node, clean=False) is not None else []
    new = ast.parse(f"def _():\n    {verb} {_VALUES[body]}").body[0].body  # type: ignore[attr-defined]
    return _Swap(node, "body", kept + new)


def _is_generator(node: _Function) -> bool:
    """Whether the function itself yields; nested functions do not count."""
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(part, (*_FUNCTIONS, ast.Lambda, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(part))
    return False
