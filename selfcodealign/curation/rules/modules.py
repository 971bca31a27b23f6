"""Modules and attributes that a seed may not use, by syntax: what is imported, wherever, under whatever name."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set

from selfcodealign.curation.rules.code import Code, Problem


def find_bad_import(code: Code, names: Set[tuple[str, ...]]) -> Problem | None:
    """The first use of something banned, or of the seed's own package, which is not there."""
    known: dict[str, tuple[str, ...]] = {}
    for node in code.nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            return Problem("relative_import", node.lineno)
        if isinstance(node, ast.Import | ast.ImportFrom):
            for bound, dotted, stands_for in _imported(node):
                known[bound] = stands_for
                if found := _banned(dotted, names):
                    return Problem("bad_import", node.lineno, found)
    if not known or not any(len(name) > 1 for name in names):
        return None
    for node in code.nodes:
        if not isinstance(node, ast.Attribute):
            continue
        chain = _chain(node)
        if chain and chain[0] in known and (found := _banned((*known[chain[0]], *chain[1:]), names)):
            return Problem("bad_import", node.lineno, found)
    return None


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(bound name, what is imported, what the name stands for): `import a.b` imports `a.b`, and binds `a`."""
    for alias in node.names:
        dotted = tuple(alias.name.split("."))
        if isinstance(node, ast.ImportFrom):
            dotted = (*(node.module or "").split("."), *dotted)
            yield alias.asname or alias.name, dotted, dotted
        else:
            yield alias.asname or dotted[0], dotted, dotted if alias.asname else dotted[:1]


def _chain(node: ast.expr) -> tuple[str, ...]:
    """The names of `a.b.c`; empty for an attribute of anything but a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()


def _banned(dotted: tuple[str, ...], names: Set[tuple[str, ...]]) -> str:
    """The entry that `dotted` is or is below; "" for none."""
    for length in range(1, len(dotted) + 1):
        if dotted[:length] in names:
            return ".".join(dotted[:length])
    return ""
