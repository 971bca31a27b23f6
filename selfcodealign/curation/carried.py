"""A seed without the definitions that it carries."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from selfcodealign.curation.python_definitions import first_line
from selfcodealign.curation.python_names import bind_names, find_quoted_annotations, find_quoted_types, load_names


def hide_carried(row: Mapping[str, Any]) -> str:
    """The code of a seed, given by its fields, without what it carries and the import lines that only this needs."""
    code, start, number = row["seed"], row.get("carried_start") or 0, row.get("carried_lines") or 0
    if not start:
        return code
    lines = code.split("\n")
    own = "\n".join(lines[start - 1 + number :]).lstrip("\n")
    tree = ast.parse(own)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | find_quoted_types(tree)
    used |= {name for quoted in find_quoted_annotations(tree) for name in load_names(quoted)}
    above = ast.parse("\n".join(lines[: start - 1])).body
    imports = [ast.unparse(kept) for statement in above for kept in _trim(statement, used)]
    return "\n".join(imports) + "\n\n\n" + own if imports else own


def own_code(row: Mapping[str, Any]) -> str:
    """What a seed, given by its fields, is compared by: the function below what it carries; of a method, without the
    rest of its class. Seeds that share a helper, or a class, are not similar for that.
    """
    code, start, number = row["seed"], row.get("carried_start") or 0, row.get("carried_lines") or 0
    lines = code.split("\n")
    if start:
        lines = lines[start - 1 + number :]
    class_, dot, method = (row.get("function") or "").partition(".")
    if dot:
        for node in ast.parse("\n".join(lines)).body:
            if isinstance(node, ast.ClassDef) and node.name == class_:
                for one in node.body:
                    if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == method:
                        return "\n".join(lines[first_line(one) - 1 : one.end_lineno])
    return "\n".join(lines).lstrip("\n")


def _trim(statement: ast.stmt, used: set[str]) -> Iterator[ast.stmt]:
    """An import line with the names that are used; an `if` or `try` whole, if any is."""
    match statement:
        case ast.ImportFrom(module="__future__"):
            yield statement
        case ast.Import(names=names):
            if kept := [alias for alias in names if (alias.asname or alias.name.partition(".")[0]) in used]:
                yield ast.Import(names=kept)
        case ast.ImportFrom(module=module, names=names, level=level):
            if kept := [alias for alias in names if (alias.asname or alias.name) in used]:
                yield ast.ImportFrom(module=module, names=kept, level=level)
        case _:
            if used & set(bind_names(statement)):
                used |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
                yield statement
