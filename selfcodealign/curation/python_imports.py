"""Find the import lines of a module that a function needs to stand alone.

Imports count at the top level and below `if`, `try` and `with` there. They are copied as exactly as possible: only the
used names; below their `if` (`TYPE_CHECKING`, platforms); with the whole try/except if each branch binds the same name,
else the import alone.
"""

from __future__ import annotations

import ast
import builtins
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from selfcodealign.curation.python_definitions import is_main_guard
from selfcodealign.curation.python_names import Chains, bind_names, load_names

# What ties a function to its file is excluded on purpose: `__file__` and `__path__` are in no list, the others are.
_OF_THE_FILE = {"__doc__", "__loader__", "__package__", "__spec__"}
BUILTINS = frozenset(dir(builtins)) - _OF_THE_FILE | {"__name__", "__builtins__", "__debug__"}
_IMPORT_FAILURES = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


class ModuleImports:
    """The import lines of a module, and the other statements that bind the same names."""

    def __init__(self, tree: ast.Module) -> None:
        self._body = [
            statement for statement in tree.body if not (isinstance(statement, ast.If) and is_main_guard(statement))
        ]
        self._binders: dict[str, list[int]] = defaultdict(list)
        self.has_star = False
        for index, statement in enumerate(self._body):
            if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
                continue
            for name in bind_names(statement):
                if name == "*":
                    self.has_star = True
                elif self._binders[name][-1:] != [index]:
                    self._binders[name].append(index)

    def binds(self, name: str) -> bool:
        """Whether the last statement that binds `name` imports it."""
        binders = self._binders.get(name)
        if not binders:
            return False
        last = self._body[binders[-1]]
        if not any(alias.bound == name for alias in _aliases(last)):
            return False
        return not (isinstance(last, ast.If) and _defines(last, name))  # an import in one branch, code in another

    def depends_on_code(self, name: str) -> bool:
        """Whether the `if` around the import of `name` tests what the module defines."""
        tests = [test for alias in _aliases(self._body[self._binders[name][-1]]) for test in alias.tests]
        used = {found for test in tests for found in load_names(test)}
        return any(each in self._binders and not self.binds(each) for each in used)

    def choose(self, wanted: Iterable[str], chains: Chains) -> tuple[list[str], dict[str, set[str]]]:
        """The lines that import the wanted names, used with these attribute chains, and why some cannot be had."""
        open_names = sorted(wanted)
        chosen: set[ast.alias] = set()
        imported: set[str] = set()
        reasons: dict[str, set[str]] = defaultdict(set)
        while open_names:
            name = open_names.pop()
            if name in imported:
                continue
            if name not in self._binders:
                if name not in BUILTINS:
                    reasons["star_import" if self.has_star else "undefined_names"].add(name)
                continue
            imported.add(name)
            if not self.binds(name):  # import lines stand above all else
                reasons["needs_module_names"].add(name)
                continue
            aliases, conditions = self._choose(name, chains.get(name) or {(name,)})
            if any(alias.level for alias in aliases):
                reasons["relative_import"].add(name)
            chosen.update(alias.node for alias in aliases)
            open_names.extend(conditions)
        return [ast.unparse(line) for statement in self._body for line in _trim(statement, chosen, imported)], reasons

    def _choose(self, name: str, chains: set[tuple[str, ...]]) -> tuple[list[_Alias], set[str]]:
        """Return the import aliases that bind `name` last, and the names in their conditions."""
        binders = self._binders[name]
        last = self._body[binders[-1]]
        aliases = [alias for alias in _aliases(last) if alias.bound == name]
        if not aliases:
            return [], set()
        if isinstance(last, ast.If) and not last.orelse and len(binders) > 1:
            aliases = [a for index in binders for a in _aliases(self._body[index]) if a.bound == name]
        if all(alias.dotted for alias in aliases):
            everywhere = [a for index in binders for a in _aliases(self._body[index]) if a.bound == name and a.dotted]
            aliases = _choose_dotted(everywhere, chains)
        conditions = {found for alias in aliases for test in alias.tests for found in load_names(test)}
        return aliases, conditions


@dataclass(frozen=True, slots=True)
class _Alias:
    """One imported name: its binding, its dotted module for a plain `import a.b`, the `if` tests around it."""

    node: ast.alias
    bound: str
    dotted: tuple[str, ...]
    level: int
    tests: tuple[ast.expr, ...]


def _aliases(statement: ast.stmt, tests: tuple[ast.expr, ...] = ()) -> Iterator[_Alias]:
    """Yield the names that imports below a top-level statement bind in the module."""
    match statement:
        case ast.Import():
            for alias in statement.names:
                dotted = () if alias.asname else tuple(alias.name.split("."))
                yield _Alias(alias, alias.asname or dotted[0], dotted, 0, tests)
        case ast.ImportFrom(level=level):
            for alias in statement.names:
                yield _Alias(alias, alias.asname or alias.name, (), level, tests)
        case ast.If():
            for child in [*statement.body, *statement.orelse]:
                yield from _aliases(child, (*tests, statement.test))
        case ast.Try():
            handled = [child for handler in statement.handlers for child in handler.body]
            for child in [*statement.body, *handled, *statement.orelse, *statement.finalbody]:
                yield from _aliases(child, tests)
        case ast.With():
            for child in statement.body:
                yield from _aliases(child, tests)


def _defines(statement: ast.If, name: str) -> bool:
    """Whether code below an `if`, other than imports and stand-ins (`name = None`), binds a name."""
    stack: list[ast.stmt] = [statement]
    while stack:
        match stack.pop():
            case ast.If(body=body, orelse=orelse):
                stack.extend([*body, *orelse])
            case ast.Import() | ast.ImportFrom() | ast.Try() | ast.With():
                continue
            case ast.Assign(targets=[ast.Name()], value=ast.Constant()):
                continue
            case other:
                if name in bind_names(other):
                    return True
    return False


def _choose_dotted(aliases: list[_Alias], chains: set[tuple[str, ...]]) -> list[_Alias]:
    """Choose among `import a`, `import a.b`, ... the longest match of each attribute chain in use."""
    chosen: dict[tuple[str, ...], _Alias] = {}
    by_length = sorted(aliases, key=lambda alias: len(alias.dotted))
    for chain in chains:
        fitting = [alias for alias in by_length if chain[: len(alias.dotted)] == alias.dotted]
        best = fitting[-1] if fitting else by_length[0]
        chosen[best.dotted] = best
    # the same line in both branches of an `if` is copied twice; repeated plain lines are copied once
    return [a for a in aliases if a is chosen.get(a.dotted) or (a.tests and a.dotted in chosen)]


def _trim(statement: ast.stmt, chosen: set[ast.alias], names: set[str]) -> list[ast.stmt]:
    """Reduce a top-level statement to the chosen imports."""
    match statement:
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            kept = [alias for alias in aliases if alias in chosen]
            if not kept:
                return []
            if isinstance(statement, ast.Import):
                return [ast.Import(names=kept)]
            return [ast.ImportFrom(module=statement.module, names=kept, level=statement.level)]
        case ast.If():
            body, orelse = _trim_all(statement.body, chosen, names), _trim_all(statement.orelse, chosen, names)
            if not _has_import(body) and not _has_import(orelse):
                return []
            return [ast.If(test=statement.test, body=body or [ast.Pass()], orelse=orelse)]
        case ast.Try():
            return _trim_try(statement, chosen, names)
        case ast.With():
            return [line for line in _trim_all(statement.body, chosen, names) if not isinstance(line, ast.Assign)]
    return []


def _trim_all(body: list[ast.stmt], chosen: set[ast.alias], names: set[str]) -> list[ast.stmt]:
    """Return the chosen imports of a branch, and its stand-ins (`name = None`) for imports."""
    kept: list[ast.stmt] = []
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant()) if name in names:
                kept.append(statement)
            case _:
                kept.extend(_trim(statement, chosen, names))
    return kept


def _trim_try(statement: ast.Try, chosen: set[ast.alias], names: set[str]) -> list[ast.stmt]:
    """Keep try/except ImportError unchanged if every branch binds the same names; else only its imports."""
    body = _trim_all(statement.body, chosen, names)
    body_imports = [line for line in body if not isinstance(line, ast.Assign)]
    rest = _trim_all([*statement.orelse, *statement.finalbody], chosen, names)
    rest_imports = [line for line in rest if not isinstance(line, ast.Assign)]
    if not body_imports:
        handled = [child for handler in statement.handlers for child in handler.body]
        alternatives = [line for line in _trim_all(handled, chosen, names) if not isinstance(line, ast.Assign)]
        return alternatives + rest_imports
    wanted = {name for line in body_imports for name in bind_names(line)}
    handlers = []
    for handler in statement.handlers:
        lines = _trim_all(handler.body, chosen, names)
        if not _catches_import_failure(handler) or {name for line in lines for name in bind_names(line)} != wanted:
            return body_imports + rest_imports
        handlers.append(ast.ExceptHandler(type=handler.type, name=None, body=lines))
    if not handlers:
        return body_imports + rest_imports
    return [ast.Try(body=body_imports, handlers=handlers, orelse=[], finalbody=[]), *rest_imports]


def _catches_import_failure(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return all(isinstance(type_, ast.Name) for type_ in types) and any(
        isinstance(type_, ast.Name) and type_.id in _IMPORT_FAILURES for type_ in types
    )


def _has_import(body: list[ast.stmt]) -> bool:
    return any(not isinstance(line, ast.Assign) for line in body)
