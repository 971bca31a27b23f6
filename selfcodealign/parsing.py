"""Which part of a text is Python: code in the form in which it parses, and code between lines of prose.

A text is parsed a bounded number of times (`_MOST_PARSED` characters in all), so this takes time linear in the text.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from selfcodealign.markdown import split_lines
from selfcodealign.wrappings import Unwrapped, without_invisible, without_prompts

#: Characters that are parsed for one answer, at most; and in one piece, with the brackets that may be open in it:
#: beyond them the parser itself can be attacked.
_MOST_PARSED, _LONGEST_PARSED, _DEEPEST_PARSED = 500_000, 64 * 1024, 50
_LEAST_COST = 500
#: Words that are found outside of fences in code, and hardly in prose.
CODE_LINE = re.compile(
    r"^[ \t]*(?:(?:async[ \t]+)?def[ \t]|class[ \t]+\w+[ \t]*[(:]|import[ \t]+\w|from[ \t]+[\w.]+[ \t]+import\b"
    r"|return\b|assert[ \t]|print\(|@\w|(?:for|while|if|with)\b.*:[ \t]*$|\w[\w.\[\]]*[ \t]*=)",
    re.MULTILINE,
)
STARTS_CODE = re.compile(
    r"(?:import\s|from\s+\S+\s+import\s|(?:async\s+)?def\s|class\s|@\w|[A-Za-z_]\w*(?:\s*:[^=\n]+)?\s*=\s*\S)"
)
# Wrong escapes in foreign texts are not for the users of this program. A filter that is set once: changing the filters
# for each text would make Python forget which warnings of other code it has already shown.
_SOURCE = "<answer of a model>"
warnings.filterwarnings("ignore", module=re.escape(_SOURCE))
_BRACKETS = re.compile(r"[(\[{}\])]")


@dataclass(frozen=True, slots=True)
class Run:
    """Lines of code between prose, from `start` up to `stop`; `code` is None where they break off at other code."""

    start: int
    stop: int
    code: Unwrapped | None


class Parser:
    """Parses the parts of one text; remembers what it has parsed, and how much may still be parsed.

    `sessions`: the prompts of a session are kept, for doctest.
    """

    def __init__(self, sessions: bool) -> None:
        self._sessions = sessions
        self._left = _MOST_PARSED
        self._settled: dict[str, Unwrapped | None] = {}

    def settle(self, code: str) -> Unwrapped | None:
        """The code in the form in which it parses; None where it does not parse or is no more than words."""
        if code not in self._settled:
            self._settled[code] = next((one for one in self._forms(code) if self._is_code(one.text)), None)
        return self._settled[code]

    def settle_text(self, code: str) -> str | None:
        """The text of `settle`, for `markdown.find_blocks`."""
        settled = self.settle(code)
        return settled.text if settled else None

    def _forms(self, code: str) -> Iterator[Unwrapped]:
        yield Unwrapped(code)
        mended = without_invisible(code)
        if mended.repairs:
            yield mended
        plain = _dedent(mended.text)
        # A function's body without its head, which a prompt holds, keeps its indentation.
        tree = self.parse(plain) if plain != mended.text else None
        if tree is not None and not any(isinstance(node, ast.Return) for node in tree.body):
            yield Unwrapped(plain, mended.repairs)
        session = without_prompts(plain)
        if session.repairs and not self._sessions:
            yield Unwrapped(session.text, mended.repairs + session.repairs)

    def _is_code(self, code: str) -> bool:
        tree = self.parse(code)
        return tree is not None and any(map(_does_something, tree.body))

    def parse(self, code: str) -> ast.Module | None:
        """The tree; None for what does not parse, and for what cannot be parsed safely."""
        tree = self._parse_or_line(code)
        return tree if isinstance(tree, ast.Module) else None

    def _parse_or_line(self, code: str) -> ast.Module | int:
        """The tree, or the line (from 1) that is no Python; 0 where the text cannot be parsed safely."""
        if self._left <= 0 or len(code) > _LONGEST_PARSED or _is_deep(code):
            return 0
        self._left -= max(len(code), _LEAST_COST)
        try:
            return ast.parse(code, _SOURCE)
        except SyntaxError as error:
            return error.lineno or 0
        except (ValueError, RecursionError, MemoryError):
            return 0

    def find_run(self, lines: list[str], first: int) -> Run | None:
        """Find the first code from line `first` on that begins at a line's start and ends where prose begins."""
        while first < len(lines) and self._left > 0:
            if not STARTS_CODE.match(without_invisible(lines[first]).text):
                first += 1
                continue
            end = len(lines)
            while first < end:
                code = "".join(f"{line}\n" for line in lines[first:end])
                if settled := self.settle(code):
                    return Run(first, end, Unwrapped(self.without_last_words(settled.text), settled.repairs))
                line = self._parse_or_line(without_invisible(code).text)
                if not isinstance(line, int) or line == 0 or first + line - 1 >= end:
                    return None
                end = first + line - 1
                if line > 1 and (lines[end][:1] in (" ", "\t") or CODE_LINE.match(lines[end])):
                    return Run(first, end, None)
            first += 1  # a line of prose that begins like code
        return None

    def find_indented(self, lines: list[str], first: int) -> Run | None:
        """Find indented code between prose, as Markdown and reStructuredText have it."""
        while first < len(lines) and self._left > 0:
            if lines[first][:1] in (" ", "\t") and STARTS_CODE.match(lines[first].lstrip()):
                end = next(
                    (end for end in range(first, len(lines)) if lines[end].strip() and not lines[end][0].isspace()),
                    len(lines),
                )
                settled = self.settle("".join(f"{line}\n" for line in lines[first:end])) if first else None
                return Run(first, end, settled) if settled else None
            first += 1
        return None

    def without_last_words(self, code: str) -> str:
        """The code without last lines that are words which happen to parse."""
        tree = self.parse(code)
        last = max((node.end_lineno or 0 for node in tree.body if _does_something(node)), default=0) if tree else 0
        if not tree or _does_something(tree.body[-1]):
            return code
        return "".join(f"{line}\n" for line in split_lines(code)[:last])


def _dedent(code: str) -> str:
    """The code without the blanks that all its lines begin with; lines without characters do not count."""
    lines = [line for line in code.split("\n") if line.strip()]
    margin = min((line[: len(line) - len(line.lstrip(" \t"))] for line in lines), key=len, default="")
    if not margin or not all(line.startswith(margin) for line in lines):
        return code
    return re.sub(rf"^{margin}", "", code, flags=re.MULTILINE)


def _is_deep(code: str) -> bool:
    depth = 0
    for character in _BRACKETS.findall(code):
        depth += 1 if character in "([{" else -1
        if depth > _DEEPEST_PARSED:
            return True
    return False


def _does_something(node: ast.stmt) -> bool:
    """Whether a statement is code, and not words that happen to parse ("Done", "Note: x", a text)."""
    if isinstance(node, ast.Expr):
        return any(isinstance(part, ast.Call | ast.Await) for part in ast.walk(node))
    return not (isinstance(node, ast.AnnAssign) and node.value is None)
