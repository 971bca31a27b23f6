"""Finds the imports by which tests mean their response, under whatever module name they expect it.

`from calculator import add` means the response when it defines `add` and no module `calculator` exists: that name then
becomes an alias of the response's module. `from .calculator import add`, and `from test import add` where the installed
module of that name has no `add`, are rewritten to import from `solution`. Nothing is imported to find this out.
"""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Iterator, Set
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder

from selfcodealign.sandbox.python.names import called_name, defined_names, nodes_of

OWN = "solution"
ALWAYS_OWN = frozenset({OWN, "__main__"})  # these names always mean the response
_PATCHING = frozenset({"patch", "dict", "setattr", "delattr", "multiple", "import_module"})
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+\Z")
_CATCHING_IMPORTS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_LONGEST_SOURCE = 1 << 18


def offered_names(nodes: list[ast.AST], own_names: set[str]) -> set[str]:
    """Return the names that the response's module has: its definitions, and what it imports."""
    imported = {
        alias.asname or alias.name.partition(".")[0]
        for node in nodes
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    return own_names | imported


def resolve_own_imports(
    tree: ast.Module, nodes: list[ast.AST], own_names: Set[str], offered: Set[str], tests_apart: bool
) -> tuple[list[str], bool]:
    """Return the aliases of the response's module, and whether imports in `tree` were rewritten.

    `own_names` are defined by the response, `offered` are all names of its module; `tests_apart`: it is not `tree`.
    """
    aliases: dict[str, None] = {}
    rewritten: dict[ast.AST, list[ast.stmt]] = {}
    guarded = _guarded_imports(nodes) if tests_apart else set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            rewritten[node] = _absolute(node, offered)
        elif isinstance(node, ast.ImportFrom) and node.module not in ALWAYS_OWN:
            aliases |= dict.fromkeys(_resolve_names(node, nodes, own_names, offered, tests_apart))
        elif isinstance(node, ast.Import) and tests_apart:
            aliases |= dict.fromkeys(_resolve_modules(node, nodes, own_names, offered, node in guarded))
    if tests_apart:
        aliases |= dict.fromkeys(_patched_modules(nodes, offered))
    if rewritten:
        _Rewriter(rewritten).visit(tree)
    return list(aliases), bool(rewritten)


def _resolve_names(
    node: ast.ImportFrom, nodes: list[ast.AST], own_names: Set[str], offered: Set[str], tests_apart: bool
) -> Iterator[str]:
    """Yield the aliases in `from module import names`; one that means the response is made to import from there."""
    module, names = node.module or "", {alias.name for alias in node.names} - {"*"}
    if not _exists(module.partition(".")[0]):
        if (names & offered) or not names:
            yield module
        if tests_apart:  # a module of a package that does not exist
            yield from (f"{module}.{name}" for name in names - offered if _uses(nodes, {name}) & offered)
    elif names and names <= own_names and names.isdisjoint(_names_in(module)):
        node.module = OWN


def _resolve_modules(
    node: ast.Import, nodes: list[ast.AST], own_names: Set[str], offered: Set[str], guarded: bool
) -> Iterator[str]:
    """Yield the aliases in `import module`, as `_resolve_names`."""
    for alias in node.names:
        if alias.name in ALWAYS_OWN:
            continue
        used = _uses(nodes, {alias.asname or alias.name.rpartition(".")[2]})
        if not _exists(alias.name.partition(".")[0]):
            if not guarded or used & offered:
                yield alias.name
        elif "." not in alias.name and used & own_names and (used & own_names).isdisjoint(_names_in(alias.name)):
            alias.name, alias.asname = OWN, alias.asname or alias.name


def _absolute(node: ast.ImportFrom, offered: Set[str]) -> list[ast.stmt]:
    """`from .name import a` as an import from the response; in `from . import name`, a name that it lacks is itself."""
    modules = [alias for alias in node.names if not node.module and alias.name not in offered and alias.name != "*"]
    names = [alias for alias in node.names if alias not in modules]
    node.level, node.module, node.names = 0, OWN, names
    whole = [ast.alias(OWN, alias.asname or alias.name) for alias in modules]
    statements: list[ast.stmt] = [node] if names else []
    if whole:
        statements.append(ast.copy_location(ast.Import(whole), node))
        ast.fix_missing_locations(statements[-1])
    return statements


class _Rewriter(ast.NodeTransformer):
    def __init__(self, rewritten: dict[ast.AST, list[ast.stmt]]) -> None:
        self._rewritten = rewritten

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        return self._rewritten.get(node, [node])


def _uses(nodes: list[ast.AST], modules: Set[str]) -> set[str]:
    """Return the attributes that are read from names, or from attributes, called like one of `modules`."""
    return {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute)
        and (getattr(node.value, "id", None) in modules or getattr(node.value, "attr", None) in modules)
    }


def _guarded_imports(nodes: list[ast.AST]) -> set[ast.AST]:
    """Return the imports whose failure the tests handle: of libraries that may be missing."""
    guarded: set[ast.AST] = set()
    for node in nodes:
        if isinstance(node, ast.Try) and any(_catches_imports(handler) for handler in node.handlers):
            guarded.update(part for statement in node.body for part in nodes_of(statement))
    return guarded


def _catches_imports(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(isinstance(part, ast.Name) and part.id in _CATCHING_IMPORTS for part in nodes_of(handler.type))


def _patched_modules(nodes: list[ast.AST], offered: Set[str]) -> Iterator[str]:
    """Yield the missing modules in targets such as `patch("app.fetch")` whose attribute the response has."""
    for node in nodes:
        if not isinstance(node, ast.Call) or not node.args or called_name(node) not in _PATCHING:
            continue
        target = node.args[0]
        if not isinstance(target, ast.Constant) or type(target.value) is not str or not _DOTTED.match(target.value):
            continue
        parts = target.value.split(".")
        found = next((place for place, part in enumerate(parts) if place and part in offered), 0)
        if found and parts[0] not in ALWAYS_OWN and not _exists(parts[0]):
            yield ".".join(parts[:found])


@lru_cache(maxsize=4096)
def _exists(module: str) -> bool:
    """Whether a library of that name is installed; this does not change while a server runs."""
    return module in sys.modules or _find(module) is not None


def _find(module: str) -> ModuleSpec | None:
    """Find a module without importing the packages around it."""
    first, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(first)
        for part in rest:
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
        return spec
    except (ImportError, ValueError, AttributeError):
        return None


class _Everything(frozenset[str]):
    """The names of a module that are not known: it may have any."""

    def isdisjoint(self, other: object) -> bool:
        return False


@lru_cache(maxsize=256)
def _names_in(module: str) -> Set[str]:
    """Return the names that an installed module has, from its source or, once it is loaded, from itself."""
    if module in sys.modules:
        return frozenset(vars(sys.modules[module]))
    spec = _find(module)
    if spec is None:
        return frozenset()
    if not spec.origin or not spec.origin.endswith(".py"):
        return _Everything()
    try:
        with open(spec.origin, "rb") as file:
            text = file.read(_LONGEST_SOURCE)
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return _Everything()
    nodes = nodes_of(tree)
    names = offered_names(nodes, defined_names(tree))
    names |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    if "*" in names or "__getattr__" in names:
        return _Everything()
    return names | _submodules(spec)


def _submodules(spec: ModuleSpec) -> set[str]:
    return {found.name for found in pkgutil.iter_modules(spec.submodule_search_locations or [])}
