"""Finds the names of a program that refer to the response, and the assertions that cannot fail."""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Iterable, Set

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BUILTIN_NAMES = frozenset(dir(builtins))
# Builtins whose result depends on more than their arguments: on files, names, earlier calls.
WORLDLY = frozenset({"open", "input", "eval", "exec", "globals", "locals", "vars", "dir", "getattr", "hasattr"})
WORLDLY |= {"__import__", "iter", "next", "id", "hash"}

_SKIPS = frozenset({"skip", "skipif", "skipIf", "skipUnless", "xfail", "expectedFailure", "skipTest", "SkipTest"})
_SKIPS |= {"importorskip"}


def nodes_of(tree: ast.AST) -> list[ast.AST]:
    """Return every node of a tree, parents first (like ast.walk, in half the time)."""
    nodes = [tree]
    for node in nodes:  # grows during the loop
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                nodes += [part for part in value if isinstance(part, ast.AST)]
            elif isinstance(value, ast.AST):
                nodes.append(value)
    return nodes


def is_deep(tree: ast.AST, most: int) -> bool:
    """Whether nodes lie in each other more than `most` levels deep."""
    level = [tree]
    for _ in range(most):
        level = [part for node in level for name in node._fields for part in _parts_of(getattr(node, name, None))]
        if not level:
            return False
    return True


def _parts_of(value: object) -> list[ast.AST]:
    if isinstance(value, ast.AST):
        return [value]
    return [part for part in value if isinstance(part, ast.AST)] if isinstance(value, list) else []


def defined_names(tree: ast.Module) -> set[str]:
    """Return the names that a module defines at its top level, without imports."""
    names: set[str] = set()
    for node in _top_level(tree.body):
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {name.id for target in targets for name in nodes_of(target) if isinstance(name, ast.Name)}
    return names


def value_names(tree: ast.Module) -> set[str]:
    """Return the defined names whose use leaves no mark: values, and classes without methods."""
    marked: set[str] = set()
    for node in _top_level(tree.body):
        has_methods = isinstance(node, ast.ClassDef) and any(isinstance(part, FUNCTIONS) for part in node.body)
        if has_methods or isinstance(node, FUNCTIONS):
            marked.add(node.name)  # type: ignore[union-attr]
    return defined_names(tree) - marked


def _top_level(body: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    """Yield the statements of a module's scope, including those inside if / try / with / for blocks."""
    for node in body:
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            for field in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                yield from _top_level(handler.body)


def redefined_names(tree: ast.Module, nodes: list[ast.AST], own_modules: set[str]) -> set[str]:
    """Return names that the tests bind to something other than the response: definitions, imports of other modules."""
    names = defined_names(tree)
    for node in nodes:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module not in own_modules):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def inert_names(nodes: list[ast.AST]) -> set[str]:
    """Return names of the tests that hold constants and are never passed to anything that could change them.

    Every binding of such a name is an assignment of constants: a name bound in any other way may hold a result.
    """
    bindings: Counter[str] = Counter()
    constant: Counter[str] = Counter()
    touched: set[str] = set()
    within: set[int] = set()  # calls in calls: in a chain of them each would be looked through once for every other
    for node in nodes:
        if isinstance(node, ast.Name):
            bindings[node.id] += not isinstance(node.ctx, ast.Load)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            plain = all(isinstance(target, (ast.Name, ast.Tuple, ast.List)) for target in targets)
            if plain and node.value is not None and not words_in(node.value) and not _calls(node.value):
                constant.update(name for target in targets for name in words_in(target))
            elif not plain:
                touched |= set().union(*map(words_in, targets))
        elif isinstance(node, ast.Call):
            if id(node) not in within:
                parts = nodes_of(node)
                within |= {id(part) for part in parts if isinstance(part, ast.Call)}
                touched |= {part.id for part in parts if isinstance(part, ast.Name)}
        elif isinstance(node, (ast.AugAssign, ast.With, ast.AsyncWith)):
            touched |= words_in(node.target if isinstance(node, ast.AugAssign) else node)
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            touched |= words_in(node)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            touched |= set(node.names)
    return {name for name, count in constant.items() if count == bindings[name]} - touched


def _calls(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Call) for part in nodes_of(node))


def reached_names(nodes: list[ast.AST], own_names: set[str]) -> set[str]:
    """Return `own_names` of the response and the tests' names whose values derive from them."""
    flows: list[tuple[set[str], set[str]]] = []
    for node in nodes:
        if isinstance(node, ast.Assign):
            flows.append((words_in(node.value), set().union(*map(words_in, node.targets))))
        elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
            flows.append((words_in(node.iter), words_in(node.target)))
        elif isinstance(node, (ast.NamedExpr, ast.AugAssign, ast.AnnAssign)) and node.value is not None:
            flows.append((words_in(node.value), words_in(node.target)))
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            flows.append((words_in(node.context_expr), words_in(node.optional_vars)))
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


def words_in(node: ast.AST) -> set[str]:
    return {name.id for name in nodes_of(node) if isinstance(name, ast.Name)}


def may_be_skipped(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether a test or a class of tests is marked as skipped or expected to fail, or skips itself."""
    words = {word for mark in node.decorator_list for word in _all_words(mark)}
    if not isinstance(node, ast.ClassDef):
        words |= {called_name(part) for part in nodes_of(node) if isinstance(part, ast.Call)}
    return not words.isdisjoint(_SKIPS)


def _all_words(node: ast.AST) -> set[str]:
    return words_in(node) | {part.attr for part in nodes_of(node) if isinstance(part, ast.Attribute)}


def cannot_fail(asserted: ast.expr, fixed: Set[str]) -> bool:
    if isinstance(asserted, ast.Tuple):
        return bool(asserted.elts)
    if isinstance(asserted, ast.Compare) and len(asserted.ops) == 1 and _same(asserted.left, asserted.comparators[0]):
        return True
    if isinstance(asserted, ast.BoolOp) and isinstance(asserted.op, ast.Or):
        return any(cannot_fail(value, fixed) for value in asserted.values)
    if isinstance(asserted, ast.Call) and called_name(asserted).startswith("assert"):
        values: list[ast.expr] = [*asserted.args, *(keyword.value for keyword in asserted.keywords)]
        if len(asserted.args) >= 2 and _same(asserted.args[0], asserted.args[1]):
            return True
        if isinstance(asserted.func, ast.Attribute) and not _is_self(asserted.func.value):
            values.append(asserted.func.value)  # for example a mock that was called
        return bool(values) and all(_is_constant(value, fixed) for value in values)
    return _is_constant(asserted, fixed)


def is_meant_as_value(message: ast.expr | None) -> bool:
    """Whether the message of an assertion is a value that was meant to be compared: `assert add(1, 2), 3`."""
    if isinstance(message, ast.Constant):
        return not isinstance(message.value, str)
    return isinstance(message, ast.List | ast.Tuple | ast.Dict | ast.Set | ast.UnaryOp)


def asks_type_only(asserted: ast.expr, own_names: Set[str]) -> bool:
    """Whether an assertion asks for no more than that a value has a type of the libraries, or is there.

    `isinstance(add(1, 2), int)` holds for almost every wrong answer. That a value is of the response's *own* class says
    something.
    """
    if isinstance(asserted, ast.BoolOp):
        return all(asks_type_only(value, own_names) for value in asserted.values)
    if isinstance(asserted, ast.Call):
        name = called_name(asserted)
        if name in ("assertTrue", "bool") and len(asserted.args) >= 1:
            is_no_message = len(asserted.args) == 2 and is_meant_as_value(asserted.args[1])
            return is_no_message or asks_type_only(asserted.args[0], own_names)
        if name == "assertIsNotNone":
            return True
        if name in ("isinstance", "assertIsInstance") and len(asserted.args) >= 2:
            return own_names.isdisjoint(words_in(asserted.args[1]))
        return False
    if isinstance(asserted, ast.Compare) and len(asserted.ops) == 1:
        left, operator, right = asserted.left, asserted.ops[0], asserted.comparators[0]
        if isinstance(operator, ast.IsNot | ast.NotEq) and isinstance(right, ast.Constant) and right.value is None:
            return True
        is_type = isinstance(left, ast.Call) and called_name(left) == "type" and len(left.args) == 1
        return is_type and isinstance(operator, ast.Is | ast.Eq | ast.In) and own_names.isdisjoint(words_in(right))
    return False


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _is_constant(node: ast.expr, fixed: Set[str]) -> bool:
    """Whether no name or call in it can depend on a response; `fixed` names cannot."""
    return {part.id for part in nodes_of(node) if isinstance(part, ast.Name)} <= fixed


def _same(one: object, other: object) -> bool:
    """Whether two nodes have the same text; positions do not count."""
    if type(one) is not type(other):
        return False
    if isinstance(one, ast.AST):
        return all(_same(getattr(one, field, None), getattr(other, field, None)) for field in one._fields)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other
