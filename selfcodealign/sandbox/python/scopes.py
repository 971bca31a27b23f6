"""Finds what a name of a program means: which of its scopes binds it, and whether an import does."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from selfcodealign.sandbox.python.names import FUNCTIONS, nodes_of

_BINDING = frozenset({*FUNCTIONS, ast.ClassDef, ast.arg, ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.Import})
_BINDING |= {ast.ImportFrom}
_INNER = (*FUNCTIONS, ast.Lambda, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(slots=True)
class Scope:
    """The names of a module, function, class or comprehension."""

    outer: Scope | None = None
    is_class: bool = False
    bound: set[str] = field(default_factory=set)
    paths: dict[str, str] = field(default_factory=dict)
    known: frozenset[str] = frozenset()

    def path_of(self, name: str) -> str:
        """The dotted path of the library's object that the name means; empty for what the program itself makes."""
        scope: Scope | None = self
        inner = self
        while scope is not None:
            if (scope is inner or not scope.is_class) and (name in scope.bound or name in scope.paths):
                return scope.paths.get(name, "")
            inner, scope = inner, scope.outer
        return name if name in self.known else ""

    def binds(self, name: str) -> bool:
        """Whether this scope or one around it binds the name."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.bound or name in scope.paths:
                return True
            scope = scope.outer
        return False


def bindings_of(nodes: list[ast.AST]) -> set[str]:
    """Return every name that a program binds anywhere, except by declaring it global without its own value."""
    names: set[str] = set()
    for node in nodes:
        if type(node) is ast.Name:
            if type(node.ctx) is not ast.Load:
                names.add(node.id)
        elif type(node) in _BINDING:
            names |= _bound_by(node)
    return names


def scopes_of(tree: ast.Module, known: frozenset[str]) -> dict[int, Scope]:
    """Return the scope of every `Name` node, by its id. `known` are modules that free names mean."""
    scopes: dict[int, Scope] = {}
    waiting: list[tuple[ast.AST, Scope]] = [(tree, Scope(known=known))]
    made: list[tuple[Scope, list[ast.AST]]] = []
    while waiting:
        root, scope = waiting.pop()
        inside = _own_nodes(root)
        made.append((scope, inside))
        if isinstance(root, (*FUNCTIONS, ast.Lambda)):
            scope.bound |= {part.arg for part in nodes_of(root.args) if isinstance(part, ast.arg)}
        for node in inside:
            if isinstance(node, ast.Name):
                scopes[id(node)] = scope
            if isinstance(node, _INNER) and node is not root:
                waiting.append((node, Scope(scope, isinstance(node, ast.ClassDef), known=known)))
    for scope, inside in made:
        _bind(scope, inside)
    for scope, inside in reversed(made):  # what is taken from an import under another name is imported as well
        _follow(scope, inside)
    for scope, inside in made:
        _follow(scope, inside)
    return scopes


def _own_nodes(root: ast.AST) -> list[ast.AST]:
    """The nodes of one scope; an inner scope counts as one node, but its decorators and defaults belong here."""
    nodes = [part for name in root._fields for part in _parts(root, name)]
    if isinstance(root, (*FUNCTIONS, ast.ClassDef)):
        outside = {id(part) for part in root.decorator_list}
        nodes = [node for node in nodes if id(node) not in outside]
    for node in nodes:  # grows during the loop
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            nodes += node.decorator_list
        elif isinstance(node, _INNER):
            continue
        else:
            nodes += [part for name in node._fields for part in _parts(node, name)]
    return nodes


def _parts(node: ast.AST, name: str) -> list[ast.AST]:
    value = getattr(node, name, None)
    if isinstance(value, list):
        return [part for part in value if isinstance(part, ast.AST)]
    return [value] if isinstance(value, ast.AST) else []


def _bound_by(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Name):
        return set() if isinstance(node.ctx, ast.Load) else {node.id}
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return {node.name}
    if isinstance(node, ast.arg):
        return {node.arg}
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return {node.name} if node.name else set()
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return set()


def _bind(scope: Scope, nodes: list[ast.AST]) -> None:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                scope.paths[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            scope.paths |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        else:
            scope.bound |= _bound_by(node)
    for node in nodes:
        if isinstance(node, ast.Global | ast.Nonlocal):
            scope.bound -= set(node.names)


def _follow(scope: Scope, nodes: list[ast.AST]) -> None:
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name, path = node.targets[0].id, _path(scope, node.value)
            if path and name not in scope.paths:
                scope.paths[name] = path


def _path(scope: Scope, node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return scope.path_of(node.id)
    if isinstance(node, ast.Attribute) and (before := _path(scope, node.value)):
        return f"{before}.{node.attr}"
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        name = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
        return str(node.args[0].value) if name in ("__import__", "import_module") else ""
    return ""
