"""A seed's code as the rules see it: text, syntax tree, the function itself, prose."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from selfcodealign.curation.python_names import Function

_STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a seed is dropped: the reason, the line (from 1) that shows it, and what is seen there."""

    reason: str
    line: int
    what: str = ""


@dataclass(frozen=True)
class Code:
    """The code of a seed, whose function is called `name`; parsed once, and only where a rule asks."""

    text: str
    name: str = ""

    @cached_property
    def tree(self) -> ast.Module | None:
        """None for what is no program: a window of lines, code for another version of Python."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree, outer ones first."""
        return [] if self.tree is None else list(ast.walk(self.tree))

    @cached_property
    def function(self) -> Function | None:
        """The seed's function, behind the definitions that it carries."""
        if self.tree is None:
            return None
        last = self.name.rpartition(".")[2]
        found: Function | None = None
        for node in _definitions(self.tree.body):
            if not last or node.name == last:
                found = node
        return found

    @cached_property
    def docstring(self) -> ast.Constant | None:
        """The node of the function's docstring."""
        if self.function is None or ast.get_docstring(self.function, clean=False) is None:
            return None
        first = self.function.body[0]
        assert isinstance(first, ast.Expr)
        assert isinstance(first.value, ast.Constant)
        return first.value

    @cached_property
    def body(self) -> list[ast.stmt]:
        """The statements of the function, without its docstring."""
        if self.function is None:
            return []
        return self.function.body[1:] if self.docstring is not None else self.function.body

    def prose_at(self, start: int, end: int) -> bool:
        """Whether these characters of the text are in a comment or a string; True where that cannot be told."""
        return self._prose is None or any(begin <= start and end <= stop for begin, stop in self._prose)

    def comment_at(self, start: int, end: int) -> bool:
        """Whether these characters of the text are in a comment or a docstring."""
        if self._comments is None:
            return True
        return any(begin <= start and end <= stop for begin, stop in (*self._comments, *self._docstrings))

    def line_of(self, place: int) -> int:
        """The line (from 1) of a character."""
        return self.text.count("\n", 0, place) + 1

    @cached_property
    def line_starts(self) -> list[int]:
        """Where each line begins."""
        starts = [0]
        for line in self.text.split("\n"):
            starts.append(starts[-1] + len(line) + 1)
        return starts

    @cached_property
    def _tokens(self) -> list[tuple[int, int, int]] | None:
        """(type, start, end) of all strings and comments; None for what is no Python."""
        try:
            return [
                (token.type, self._place(token.start), self._place(token.end))
                for token in tokenize.generate_tokens(io.StringIO(self.text).readline)
                if token.type == tokenize.COMMENT or token.type in _STRINGS
            ]
        except (tokenize.TokenError, SyntaxError, ValueError):
            return None

    @cached_property
    def _prose(self) -> list[tuple[int, int]] | None:
        return None if self._tokens is None else [(start, end) for _, start, end in self._tokens]

    @cached_property
    def _comments(self) -> list[tuple[int, int]] | None:
        if self._tokens is None or self.tree is None:
            return None
        return [(start, end) for kind, start, end in self._tokens if kind == tokenize.COMMENT]

    @cached_property
    def _docstrings(self) -> list[tuple[int, int]]:
        lines = {
            node.value.lineno
            for node in self.nodes
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        }
        return [(start, end) for kind, start, end in self._tokens or () if self.line_of(start) in lines]

    def _place(self, position: tuple[int, int]) -> int:
        line, column = position
        return self.line_starts[min(line, len(self.line_starts)) - 1] + column


def _definitions(body: list[ast.stmt]) -> Iterator[Function]:
    """Functions at the top level and in classes there, in order."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from _definitions(node.body)
