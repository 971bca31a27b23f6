"""Gives tests the true builtins where a response shadows them: an expected value is not to come from the response.

`def range(n): return []` in a response empties the loops of its tests, `from copy import copy as sorted` makes their
expected values. Where the redefinition is itself what a test asks about, it stays.
"""

from __future__ import annotations

import ast
import builtins

from selfcodealign.sandbox.python.names import BUILTIN_NAMES, FUNCTIONS, nodes_of
from selfcodealign.sandbox.python.scopes import bindings_of

# Builtins whose arguments are commonly another's: a response's `filter(rows, key)` is no forgery.
_OFTEN_OTHERS = frozenset({"filter", "format", "input", "print", "open", "compile", "exec", "eval", "help", "exit"})
_OFTEN_OTHERS |= {"quit", "vars", "dir", "license", "copyright", "credits", "hash", "id", "next", "object", "property"}
_OFTEN_OTHERS |= {"globals", "locals", "memoryview", "super", "staticmethod", "classmethod", "breakpoint", "__import__"}
# Exceptions that a response may have under the same name: its tests mean the response's.
_OFTEN_OTHERS |= {"TimeoutError", "ConnectionError", "PermissionError", "NotImplementedError", "Warning", "UserWarning"}
_OFTEN_OTHERS |= {"FileNotFoundError", "FileExistsError", "InterruptedError", "BufferError", "EnvironmentError"}
_ORACLES = frozenset(name for name in BUILTIN_NAMES - _OFTEN_OTHERS if callable(getattr(builtins, name)))
# With one of these a response can bind names that its text does not show.
_BINDING_WORDS = frozenset({"globals", "vars", "locals", "__dict__", "setattr", "__setattr__", "exec", "modules"})


def find_shadowed(
    response: list[ast.AST], words: set[str], tests: ast.Module, tests_nodes: list[ast.AST], own_names: set[str]
) -> set[int]:
    """Return the ids of the names in the tests that must mean true builtins; `words` are the response's."""
    used = {node.id for node in tests_nodes if isinstance(node, ast.Name)} & _ORACLES
    used -= bindings_of(tests_nodes)
    if not used:
        return set()
    defined = used & own_names
    if words.isdisjoint(_BINDING_WORDS) and not any(_has_star(node) for node in response):
        hidden = used & bindings_of(response) - defined  # imports, loop variables: never what a test asks about
    else:
        hidden = used - defined
    if not (defined or hidden):
        return set()
    found = {id(node) for node in tests_nodes if isinstance(node, ast.Name) and node.id in hidden}
    for scope in _scopes(tests) if defined else ():
        names = [node for node in scope if isinstance(node, ast.Name)]
        if any(node.id in own_names and node.id not in BUILTIN_NAMES for node in names):
            found |= {id(node) for node in names if node.id in defined}
    return found


def _has_star(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)


def _scopes(tests: ast.Module) -> list[list[ast.AST]]:
    """The nodes of each test function, and of the module outside of functions.

    A statement that asks only about a redefinition, with constants, belongs to no scope: it tests the redefinition.
    """
    functions = [node for node in nodes_of(tests) if isinstance(node, FUNCTIONS)]
    scopes = [_telling(function.body) for function in functions]
    outside = [node for node in tests.body if not isinstance(node, (*FUNCTIONS, ast.ClassDef))]
    return [*scopes, _telling(outside)]


def _telling(body: list[ast.stmt]) -> list[ast.AST]:
    nodes: list[ast.AST] = []
    for statement in body:
        inside = nodes_of(statement)
        names = {part.id for part in inside if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
        if isinstance(statement, ast.Assert | ast.Expr) and names <= BUILTIN_NAMES | {"self", "pytest"}:
            continue
        nodes += inside
    return nodes


class TrueBuiltins(ast.NodeTransformer):
    """Replaces chosen names, given by the ids of their nodes, by the true builtins in the dictionary `source`."""

    def __init__(self, chosen: set[int], source: str) -> None:
        self._chosen = chosen
        self._source = source

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if id(node) not in self._chosen or not isinstance(node.ctx, ast.Load):
            return node
        new = ast.Subscript(ast.Name(self._source, ast.Load()), ast.Constant(node.id), ast.Load())
        return ast.fix_missing_locations(ast.copy_location(new, node))
