"""Functions whose code shows nothing: placeholders, constants, data."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfcodealign.curation.rules.code import Code, Problem

#: A text that is one long word: base64, hexadecimal digits, a compressed table.
_LONG_WORD = 200


def find_placeholder(code: Code) -> Problem | None:
    """A body that does nothing: pass, `...`, NotImplemented, a constant."""
    body = code.body
    if code.function is None or not all(_does_nothing(statement) for statement in body):
        return None
    return Problem("placeholder", (body[-1] if body else code.function).lineno, "the body does nothing")


def find_wrapper(code: Code) -> Problem | None:
    """A body that passes the function's own arguments on, and nothing else."""
    if code.function is None or len(code.body) != 1:
        return None
    match code.body[0]:
        case ast.Return(value=ast.Call(args=args, keywords=keywords)) as only:
            passed = [*args, *(keyword.value for keyword in keywords)]
            if passed and all(isinstance(_unstarred(one), ast.Name) for one in passed):
                own = {one.arg for one in _arguments(code.function.args)}
                if all(one.id in own for one in map(_unstarred, passed) if isinstance(one, ast.Name)):
                    return Problem("wrapper", only.lineno, "the body passes its arguments on")
    return None


def find_data(code: Code, most_share: float) -> Problem | None:
    """Tables of literals that make up more than this share of the code; or a literal that is data by itself."""
    tables: list[ast.expr] = []
    inside: set[ast.AST] = set()
    docstrings = 0
    for node in code.nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings += _length(code, node.value)
            inside.add(node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and node not in inside:
            if _longest_word(node.value) >= _LONG_WORD:
                return Problem("data", node.lineno, f"a literal of {len(node.value):,} characters without a blank")
        elif isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict) and node not in inside and _is_table(node):
            tables.append(node)
            inside.update(ast.walk(node))
    spent, total = sum(_length(code, node) for node in tables), len(code.text) - docstrings
    if total > 0 and spent / total > most_share:
        longest = max(tables, key=lambda node: _length(code, node))
        return Problem("data", longest.lineno, f"{spent / total:.0%} of the code is tables of literals")
    return None


def _is_table(node: ast.expr) -> bool:
    """Whether a display holds nothing but literals."""
    allowed = ast.List | ast.Tuple | ast.Set | ast.Dict | ast.Constant | ast.UnaryOp | ast.expr_context | ast.unaryop
    return all(isinstance(one, allowed) for one in ast.walk(node))


def _does_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass():
            return True
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Return(value=None | ast.Constant()):
            return True
        case ast.Return(value=ast.Name(id="NotImplemented")):
            return True
        case ast.Raise(exc=ast.Name(id="NotImplementedError") | ast.Call(func=ast.Name(id="NotImplementedError"))):
            return True
    return False


def _arguments(arguments: ast.arguments) -> Iterator[ast.arg]:
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from (one for one in (arguments.vararg, arguments.kwarg) if one is not None)


def _unstarred(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Starred) else node


def _longest_word(value: str | bytes) -> int:
    return max(map(len, value.split()), default=0)


def _length(code: Code, node: ast.expr) -> int:
    """Characters that a literal takes in the text."""
    starts = code.line_starts
    end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
    return max(0, end - starts[node.lineno - 1] - node.col_offset)
