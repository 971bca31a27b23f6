"""The names that code binds and the names it reads from outside, by Python's scoping rules.

The global names of a function come from the compiler's scope analysis (`symtable`); annotations written as strings,
which the compiler ignores, are parsed and added.
"""

from __future__ import annotations

import ast
import symtable
from collections import defaultdict
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
Chains = dict[str, set[tuple[str, ...]]]


def find_global_names(function: Function, code: str) -> tuple[set[str], Chains]:
    """Return the names that a top-level function with source text `code` reads from or writes to module or builtins.

    Each name comes with its longest attribute chains: `os.path.join(a)` gives `os: {("os", "path", "join")}`.
    Raises `SyntaxError` for code that parses but does not compile.
    """
    found, local = _compiled_names(code)
    chains: Chains = defaultdict(set)
    inner: set[ast.AST] = set()
    _add_chains(function, chains, inner)
    for quoted in find_quoted_annotations(function):
        found |= load_names(quoted) - local
        _add_chains(quoted, chains, inner)
    return found, chains


def _compiled_names(code: str) -> tuple[set[str], set[str]]:
    """Return (global names, names local to an inner scope) of a text that holds one function."""
    top = symtable.symtable(code, "<seed>", "exec")
    found, local = set(), set()
    stack = [top]
    while stack:
        table = stack.pop()
        stack.extend(table.get_children())
        for symbol in table.get_symbols():
            if symbol.is_referenced() if table is top else symbol.is_global():
                found.add(symbol.get_name())
            elif table is not top:
                local.add(symbol.get_name())
    return found, local


def _add_chains(tree: ast.AST, chains: Chains, inner: set[ast.AST]) -> None:
    """Add the attribute chains below `tree`; ast.walk yields `a.b.c` before its `a.b`, which `inner` excludes."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or node in inner:
            continue
        parts = []
        part: ast.expr = node
        while isinstance(part, ast.Attribute):
            parts.append(part.attr)
            inner.add(part)
            part = part.value
        if isinstance(part, ast.Name):
            chains[part.id].add((part.id, *reversed(parts)))


def iterate_annotations(function: Function) -> Iterator[ast.expr]:
    """Yield every annotation in a function, also those of inner functions and variables."""
    for node in ast.walk(function):
        match node:
            case ast.FunctionDef(returns=found) | ast.AsyncFunctionDef(returns=found) if found is not None:
                yield found
            case ast.arg(annotation=found) | ast.AnnAssign(annotation=found) if found is not None:
                yield found


def find_quoted_annotations(function: Function) -> list[ast.expr]:
    """Parse annotations written as strings; strings in `Literal` and the metadata of `Annotated` are not types."""
    stack = list(iterate_annotations(function))
    parsed = []
    while stack:
        node = stack.pop()
        match node:
            case ast.Constant(value=str(text)):
                try:
                    inside = ast.parse(text.strip(), mode="eval").body
                except (SyntaxError, ValueError):
                    continue  # not a type: it names nothing
                if not isinstance(inside, ast.Constant):
                    parsed.append(inside)
                    stack.append(inside)
            case ast.Subscript(value=value, slice=inside):
                if _last_name(value) == "Annotated" and isinstance(inside, ast.Tuple) and inside.elts:
                    stack.append(inside.elts[0])
                elif _last_name(value) != "Literal":
                    stack.append(inside)
            case _:
                stack.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
    return parsed


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def load_names(expression: ast.expr) -> set[str]:
    """Return all names in an expression."""
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}


def bind_names(statement: ast.stmt) -> Iterator[str]:
    """Return the names that a statement binds (or deletes) in its scope; "*" for a star import."""
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
                continue
            case ast.Import(names=aliases):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name for alias in aliases)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.MatchMapping(rest=str(name)):
                yield name
            case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                continue  # their targets are local to them
        stack.extend(ast.iter_child_nodes(node))
