"""Functions as syntax trees: what stays the same under other names, comments, annotations and layout.

A fingerprint is the function's tree with every name that is no builtin numbered in the order of appearance, without
docstrings, annotations, imports and comments; constants, attributes and keywords stay. Equal fingerprints mean the same
code. A signature is the function's name with those of its arguments, for stubs and rewritten bodies.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from selfcodealign.curation.contamination.words import bits, split_name

#: Fewest parts of a tree that is evidence. Of 194,000 functions of libraries, 1,700 are equal to a function of a
#: benchmark that has fewer parts (`return x + y` has 14), some 40 to one that has as many or more.
LEAST_PARTS = 18
#: Fewest bits of a signature that is evidence, of the function's name, and fewest words of the name.
SIGNATURE_BITS, NAME_BITS, NAME_WORDS = 44, 20, 2

_BUILTINS = frozenset(dir(builtins))
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SKIPPED = (ast.Pass, ast.Import, ast.ImportFrom)
#: Fields that hold statements, or what holds statements.
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
#: Fields that name nothing of the program's behaviour.
_UNREAD = frozenset({"ctx", "annotation", "returns", "type_comment", "kind", "type_params", "simple"})
_NAMES: dict[type[ast.AST], tuple[str, ...]] = {
    ast.FunctionDef: ("name",),
    ast.AsyncFunctionDef: ("name",),
    ast.ClassDef: ("name",),
    ast.arg: ("arg",),
    ast.ExceptHandler: ("name",),
    ast.MatchAs: ("name",),
    ast.MatchStar: ("name",),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef
#: What functions of one fingerprint have in common at a glance: arguments, and the types of their statements.
Shape = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The digest of a function's tree, and of how many parts the tree is."""

    digest: bytes
    parts: int


def find_functions(tree: ast.AST) -> Iterator[Function]:
    """All functions of a tree: nested ones and methods, too."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, _FUNCTIONS):
            yield node
        # Functions stand among statements only: expressions need not be looked through.
        for field in _BLOCKS:
            todo += getattr(node, field, ())


def shape_of(function: Function) -> Shape:
    """What is quickly compared before fingerprints are."""
    args = function.args
    count = len(args.posonlyargs) + len(args.args) + len(args.kwonlyargs)
    return (count, *(_kind(one) for one in function.body if _counts(one)))


def fingerprint(function: Function) -> Fingerprint | None:
    """The function's fingerprint; None for one that is too deep to be read."""
    parts: list[str] = []
    try:
        _write(function, parts, {})
    except RecursionError:
        return None
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return Fingerprint(hashlib.blake2b(text, digest_size=12).digest(), len(parts))


def signature_of(function: Function) -> tuple[str, ...]:
    """The function's name and those of its arguments."""
    args = function.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs]
    return (function.name, *(one.arg for one in every if one.arg not in ("self", "cls")))


def is_distinctive(signature: tuple[str, ...]) -> bool:
    """Whether a signature is hardly chosen twice."""
    name, *arguments = signature
    words = split_name(name)
    told = sum(map(bits, words))
    if len(words) < NAME_WORDS or told < NAME_BITS or not arguments or name.startswith("__"):
        return False
    return told + sum(bits(word) for one in set(arguments) for word in split_name(one)) >= SIGNATURE_BITS


def _kind(node: ast.stmt) -> type[ast.stmt]:
    return ast.Assign if isinstance(node, ast.AnnAssign) else type(node)


def _counts(node: ast.stmt) -> bool:
    if isinstance(node, _SKIPPED) or (isinstance(node, ast.AnnAssign) and node.value is None):
        return False
    return not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _write(node: ast.AST, parts: list[str], names: dict[str, str]) -> None:
    kind = type(node)
    if kind is ast.Name:
        parts.append(_number(node.id, names, bound=type(node.ctx) is not ast.Load))  # type: ignore[attr-defined]
        return
    if kind is ast.Constant:
        value = node.value  # type: ignore[attr-defined]
        parts.append(f"{type(value).__name__} {value!r}")
        return
    if kind is ast.AnnAssign:
        parts.append("Assign")
        _write(node.target, parts, names)  # type: ignore[attr-defined]
        parts.append(")")
        _write(node.value, parts, names)  # type: ignore[attr-defined]
        return
    parts.append(kind.__name__)
    renamed = _NAMES.get(kind, ())
    for field in node._fields:
        if field in _UNREAD:
            continue
        value = getattr(node, field, None)
        if value is None:
            continue
        if isinstance(value, list):
            for one in value:
                if isinstance(one, ast.AST):
                    if not isinstance(one, ast.stmt) or _counts(one):
                        _write(one, parts, names)
                elif one is None:
                    parts.append("-")
                else:  # the names of `global`
                    parts.append(_number(str(one), names, bound=True))
            if value:
                parts.append(")")
        elif isinstance(value, ast.AST):
            _write(value, parts, names)
        elif field in renamed:
            parts.append(_number(value, names, bound=True))
        else:
            parts.append(str(value))


def _number(name: str, names: dict[str, str], *, bound: bool) -> str:
    """What stands for a name: itself for a builtin that the function has not bound, else its number."""
    if name in names:
        return names[name]
    return name if name in _BUILTINS and not bound else names.setdefault(name, f"v{len(names)}")
