"""The names that code binds and the names it reads from outside, by Python's scoping rules.

The global names of code come from the compiler's scope analysis (`symtable`); annotations written as strings, which the
compiler ignores, are parsed and added.
"""

from __future__ import annotations

import ast
import symtable
from collections import defaultdict
from collections.abc import Iterable, Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
_GENERIC_BUILTINS = frozenset({"list", "dict", "tuple", "set", "frozenset", "type"})
Chains = dict[str, set[tuple[str, ...]]]


def find_global_names(statement: ast.AST, code: str) -> tuple[set[str], Chains]:
    """Return the names that a top-level statement with source text `code` reads from or writes to module or builtins.

    Each name comes with its longest attribute chains: `os.path.join(a)` gives `os: {("os", "path", "join")}`.
    Raises `SyntaxError` for code that parses but does not compile.
    """
    found, local = _compiled_names(code)
    chains: Chains = defaultdict(set)
    inner: set[ast.AST] = set()
    _add_chains(statement, chains, inner)
    for quoted in find_quoted_annotations(statement):
        found |= load_names(quoted) - local
        _add_chains(quoted, chains, inner)
    return found - {"__class__"}, chains  # which the compiler adds wherever `super` is named


def _compiled_names(code: str) -> tuple[set[str], set[str]]:
    """Return (global names, names local to an inner scope) of a text that holds one statement."""
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


def iterate_annotations(statement: ast.AST) -> Iterator[ast.expr]:
    """Yield every annotation in a statement, also those of inner functions and variables."""
    for node in ast.walk(statement):
        match node:
            case ast.FunctionDef(returns=found) | ast.AsyncFunctionDef(returns=found) if found is not None:
                yield found
            case ast.arg(annotation=found) | ast.AnnAssign(annotation=found) if found is not None:
                yield found


def find_quoted_annotations(statement: ast.AST) -> list[ast.expr]:
    """Parse annotations written as strings; strings in `Literal` and the metadata of `Annotated` are not types."""
    return _parse_quoted(iterate_annotations(statement))


def find_quoted_types(statement: ast.AST) -> set[str]:
    """Names in the strings that type checkers read as types outside of annotations.

    `cast("A", x)`, `TypeVar("T", bound="A")`, `List["A"]`: what looks like one may be none (`Table["key"]`).
    """
    types: list[ast.expr] = []
    for node in ast.walk(statement):
        match node:
            case ast.Call(func=func, args=args, keywords=keywords):
                name = _last_name(func)
                if name == "cast":
                    types.extend(args[:1])
                elif name == "TypeVar":
                    types.extend([*args[1:], *(keyword.value for keyword in keywords if keyword.arg == "bound")])
                elif name == "NewType":
                    types.extend(args[1:])
            case ast.Subscript(value=value) if (
                _last_name(value)[:1].isupper() or _last_name(value) in _GENERIC_BUILTINS
            ):
                types.append(node)
    return {name for quoted in _parse_quoted(types) for name in load_names(quoted)}


def _parse_quoted(types: Iterable[ast.expr]) -> list[ast.expr]:
    stack = list(types)
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


def iterate_at_import(statement: ast.AST, *, annotations: bool = True) -> Iterator[ast.AST]:
    """Yield the nodes that run when the statement itself runs: bodies of functions and lambdas do not.

    `annotations`: without `from __future__ import annotations` they are evaluated, too.
    """
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        yield node
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                stack.extend([*node.decorator_list, *_defaults(node.args)])
                if annotations:
                    stack.extend(annotation for annotation in _signature_annotations(node))
            case ast.Lambda(args=arguments):
                stack.extend(_defaults(arguments))
            case ast.AnnAssign(target=target, value=value, annotation=annotation):
                stack.extend([target, *([value] if value else []), *([annotation] if annotations else [])])
            case _:
                stack.extend(ast.iter_child_nodes(node))


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default)]


def _signature_annotations(function: Function) -> Iterator[ast.expr]:
    arguments = function.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if argument and argument.annotation:
            yield argument.annotation
    if function.returns:
        yield function.returns


def root_name(node: ast.AST) -> str:
    """`a` of `a.b[c].d(e)`, "" where an expression does not begin with a name."""
    while True:
        match node:
            case ast.Name(id=name):
                return name
            case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Starred(value=inner):
                node = inner
            case ast.Call(func=inner):
                node = inner
            case _:
                return ""


def dotted_name(node: ast.AST) -> str:
    """`a.b.c` of a name or a chain of attributes, from the first attribute where it begins with another expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts))
