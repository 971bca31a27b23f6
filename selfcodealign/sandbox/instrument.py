"""Makes a program tell what it proves: every function of the response and every assertion of the tests leaves a mark.

Syntax trees are rewritten before anything runs. A function of the response first stores into `__ran__`; an assertion
of the tests calls `__held__(site, left, right)` when it holds and `__failed__(site, left, right)` when it does not, so
that a failure counts even where the program swallows the exception.
"""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from typing import Any, TypeVar

RAN, TESTED, HELD, FAILED, EXPLAIN = "__ran__", "__tested__", "__held__", "__failed__", "__explain__"
COMPARE, TRUE_BUILTINS = "__compare__", "__true_builtins__"
_LEFT, _RIGHT = "__left__", "__right__"
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
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
_BUILTIN_NAMES = frozenset(dir(builtins))
# Builtins whose answer depends on more than their arguments: on files, names, what was done before.
_WORLDLY = frozenset({"open", "input", "eval", "exec", "globals", "locals", "vars", "dir", "getattr", "hasattr"})
_WORLDLY |= {"__import__", "iter", "next", "id", "hash"}


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


def nodes_of(tree: ast.AST) -> list[ast.AST]:
    """Every node of a tree, parents first (as ast.walk, at half its price)."""
    nodes = [tree]
    for node in nodes:  # grows while it is walked
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                nodes += [part for part in value if isinstance(part, ast.AST)]
            elif isinstance(value, ast.AST):
                nodes.append(value)
    return nodes


def defined_names(tree: ast.Module) -> set[str]:
    """Names that a module defines at its top level, without those it only imports."""
    names: set[str] = set()
    for node in _top_level(tree.body):
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {name.id for target in targets for name in nodes_of(target) if isinstance(name, ast.Name)}
    return names


def value_names(tree: ast.Module) -> set[str]:
    """Those of the defined names that leave no mark when they are used: values, and classes without methods."""
    marked: set[str] = set()
    for node in _top_level(tree.body):
        has_methods = isinstance(node, ast.ClassDef) and any(isinstance(part, _FUNCTIONS) for part in node.body)
        if has_methods or isinstance(node, _FUNCTIONS):
            marked.add(node.name)  # type: ignore[union-attr]
    return defined_names(tree) - marked


def _top_level(body: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    """Statements of a module's own scope, those inside if / try / with / for blocks included."""
    for node in body:
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            for field in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                yield from _top_level(handler.body)


def mark_functions(tree: ast.Module) -> int:
    """Make every function and lambda of the response store into `__ran__`; returns how many there are."""
    marker = _Marker()
    marker.visit(tree)
    return marker.count


def mark_tests(tree: ast.Module) -> dict[str, int]:
    """Make test functions and methods store into `__tested__`; returns their slots by name or Class.name."""
    slots: dict[str, int] = {}
    for prefix, body in [("", tree.body)] + [(f"{n.name}.", n.body) for n in tree.body if isinstance(n, ast.ClassDef)]:
        for node in body:
            if isinstance(node, _FUNCTIONS) and (prefix or node.name.startswith("test")):
                slots[prefix + node.name] = len(slots)
                target = ast.Subscript(ast.Name(TESTED, ast.Load()), ast.Constant(len(slots) - 1), ast.Store())
                node.body.insert(0, _placed(ast.Assign([target], ast.Constant(1)), node))
    return slots


class _Marker(ast.NodeTransformer):
    def __init__(self) -> None:
        self.count = 0

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
    rewriter = _Assertions(source, own_names, _spread(nodes, own_values), _inert_names(nodes), shadowed)
    rewriter.visit(tree)
    return rewriter.sites


def redefined_names(tree: ast.Module, nodes: list[ast.AST], own_modules: set[str]) -> set[str]:
    """Names that tests bind to something else than the response: definitions at any depth, imports from elsewhere."""
    names = defined_names(tree)
    for node in nodes:
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module not in own_modules):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def _inert_names(nodes: list[ast.AST]) -> set[str]:
    """Names of the tests that hold constants and are never handed to anything that could change them."""
    constant: set[str] = set()
    touched: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Assign) and all(isinstance(target, ast.Name) for target in node.targets):
            (touched if _words(node.value) or _calls(node.value) else constant).update(*map(_words, node.targets))
        elif isinstance(node, ast.Call):
            touched |= _words(node)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            constant.add(node.id)
        elif isinstance(node, (ast.For, ast.comprehension, ast.AugAssign, ast.With, ast.NamedExpr, ast.Subscript)):
            if not (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load)):
                touched |= _words(node.target if hasattr(node, "target") else node)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            touched |= set(node.names)
    return constant - touched


def _calls(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Call) for part in nodes_of(node))


def _spread(nodes: list[ast.AST], own_names: set[str]) -> set[str]:
    """These names of the response and the tests' names whose values come from them, in any number of steps."""
    flows: list[tuple[set[str], set[str]]] = []
    for node in nodes:
        if isinstance(node, ast.Assign):
            flows.append((_words(node.value), set().union(*map(_words, node.targets))))
        elif isinstance(node, (ast.For, ast.comprehension)):
            flows.append((_words(node.iter), _words(node.target)))
        elif isinstance(node, (ast.NamedExpr, ast.AugAssign, ast.AnnAssign)) and node.value is not None:
            flows.append((_words(node.value), _words(node.target)))
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            flows.append((_words(node.context_expr), _words(node.optional_vars)))
    reached = set(own_names)
    size = -1
    while size != len(reached):
        size = len(reached)
        for sources, targets in flows:
            if sources & reached:
                reached |= targets
    return reached


def called_name(node: ast.expr) -> str:
    """`f` for both `f(...)` and `module.f(...)`; empty for anything else."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "attr", None) or getattr(node.func, "id", "")


class _Assertions(ast.NodeTransformer):
    def __init__(
        self, source: str, own_names: set[str], reached: set[str], inert: set[str], shadowed: set[str]
    ) -> None:
        self._lines = source.splitlines()
        self._own_names = own_names
        self._reached = reached
        self._fixed = (_BUILTIN_NAMES - _WORLDLY | inert) - own_names
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
        words = _words(test)
        namesakes = words & self._own_names & _BUILTIN_NAMES
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
        fails = any({"AssertionError", "Exception", "BaseException"} & _words(call) for call in expecting)
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
            and "AssertionError" in _words(last.exc)
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
                _cannot_fail(asserted, self._fixed),
                self._mentions(asserted),
            )
        )
        return len(self.sites) - 1

    def _mentions(self, node: ast.AST) -> bool:
        return any(isinstance(name, ast.Name) and name.id in self._reached for name in nodes_of(node))


def _words(node: ast.AST) -> set[str]:
    return {name.id for name in nodes_of(node) if isinstance(name, ast.Name)}


def _take_apart(test: ast.expr) -> tuple[list[ast.stmt], ast.expr, list[ast.expr]]:
    """Keep both sides of a comparison, so that they can be shown and probed."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or _binds_names(test):
        return [], test, []
    before: list[ast.stmt] = [_store(_LEFT, test.left), _store(_RIGHT, test.comparators[0])]
    operands: list[ast.expr] = [ast.Name(_LEFT, ast.Load()), ast.Name(_RIGHT, ast.Load())]
    return before, ast.Compare(operands[0], test.ops, [operands[1]]), operands


def _binds_names(node: ast.AST) -> bool:
    return any(isinstance(part, ast.NamedExpr) for part in nodes_of(node))


def _cannot_fail(asserted: ast.expr, fixed: Set[str]) -> bool:
    if isinstance(asserted, ast.Tuple):
        return bool(asserted.elts)
    if isinstance(asserted, ast.Compare) and len(asserted.ops) == 1 and _same(asserted.left, asserted.comparators[0]):
        return True
    if isinstance(asserted, ast.BoolOp) and isinstance(asserted.op, ast.Or):
        return any(_cannot_fail(value, fixed) for value in asserted.values)
    if isinstance(asserted, ast.Call) and called_name(asserted).startswith("assert"):
        values: list[ast.expr] = [*asserted.args, *(keyword.value for keyword in asserted.keywords)]
        if len(asserted.args) >= 2 and _same(asserted.args[0], asserted.args[1]):
            return True
        if isinstance(asserted.func, ast.Attribute) and not _is_self(asserted.func.value):
            values.append(asserted.func.value)  # a mock, say, that was called
        return bool(values) and all(_is_constant(value, fixed) for value in values)
    return _is_constant(asserted, fixed)


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _is_constant(node: ast.expr, fixed: Set[str]) -> bool:
    """No name and no call in it that could depend on a response; `fixed` names cannot."""
    return {part.id for part in nodes_of(node) if isinstance(part, ast.Name)} <= fixed


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


def _same(one: object, other: object) -> bool:
    """The same text, wherever it stands."""
    if type(one) is not type(other):
        return False
    if isinstance(one, ast.AST):
        return all(_same(getattr(one, field, None), getattr(other, field, None)) for field in one._fields)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


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
