"""Fenced code in Markdown, as worked examples have it and, under `fences`, as models write it.

A fence is three or more backticks or tildes, indented by at most three blanks or a tab. The word after an
opening fence is the language or a file name. A block ends with a fence of the same kind, of at least the same length,
without a word after it; an unclosed block (a truncated answer) extends to the end of the text. Lines end with \\n,
\\r\\n or \\r (CommonMark).

Models open fences in lists, in quotes and behind words. They close them wrongly: with fewer backticks, at the end of a
line, not at all, or with a fence that belongs to a docstring. With a `settle` function that knows code, all these are
read, and a block whose code does not parse ends at the first other place where it does.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from selfcodealign.wrappings import THINKING_TAGS

#: Languages that mean Python; a language may also be the name of a Python file.
PYTHON_TAGS = frozenset({"python", "py", "python3", "py3", "ipython", "ipython3", "python2"})
#: Languages that mean a Python prompt session.
SESSION_TAGS = frozenset({"python-repl", "pycon", "python-console"})
#: Languages of which no block is read as Python, even where it happens to parse.
OTHER_TAGS = frozenset(
    {"bash", "sh", "shell", "zsh", "console", "cmd", "powershell", "text", "txt", "plaintext", "output", "json", "yaml"}
    | {"toml", "xml", "html", "css", "js", "javascript", "ts", "typescript", "java", "c", "cpp", "c++", "csharp", "c#"}
    | {"go", "rust", "ruby", "php", "perl", "lua", "r", "sql", "kotlin", "scala", "swift", "haskell", "julia", "diff"}
    | {"markdown", "md", "mermaid", "latex", "tex", "makefile", "dockerfile", "ini", "csv", "log"}
    | THINKING_TAGS
)

_LINE_END = re.compile(r"\r\n?|\n")
# Possessive (++): a line of ten thousand tildes is matched once, not from each tilde on.
_MARK = r"(?P<mark>`{3,}+|~{3,}+)[ \t]*+(?:\{\.?)?(?P<tag>[\w+#./\\-]*+)"
_FENCE = re.compile(r"(?P<before>[ \t]*+(?:(?:>[ \t]?|(?:[-*+]|\d{1,9}[.)])[ \t]+)[ \t]*+)*+)" + _MARK)
_AT_END = re.compile(r"(?P<mark>`{3,}+)(?P<tag>[\w+#./\\-]*+)[ \t]*+\Z")
_WHOLE = re.compile(r"(?P<mark>`{3,}+)(?P<code>[^`].*?)(?P=mark)(?!`)")
_QUOTE = re.compile(r"[ \t]*>[ \t]?")
#: Longer lines hold no whole block: looking for one could take quadratic time.
_LONGEST_LINE = 4096
#: Places that are tried as the end of one block, on either side of the right one; blocks of a text for which they are.
_PLACES, _MOST_TRIES = 4, 100

#: The code in the form in which it parses; None for what does not parse, or is no more than words.
Settle = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    `language` is in lower case, "" where none is given. Lines of `code` end with "\\n", except the last line of an
    unclosed block. `line` is the line of the opening fence and `last` the block's last line, counted from 1.
    """

    language: str
    code: str
    line: int
    closed: bool
    last: int = field(default=0, compare=False)

    @property
    def is_python(self) -> bool:
        """Whether the language is Python, a version of it, or the name of a Python file."""
        return self.language in PYTHON_TAGS or bool(re.fullmatch(r"py(thon)?[\d.]+|.+\.py", self.language))


@dataclass(frozen=True, slots=True)
class _Fence:
    """An opening fence: its mark, its language, the width of the blanks before it, whether quote marks are."""

    mark: str
    language: str
    indent: int
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class _Close:
    """A line that may end a block: a fence, or (`inside`) code with a fence at its end."""

    number: int
    mark: str
    indent: int
    inside: bool = False


def find_blocks(text: str, settle: Settle | None = None) -> list[Block]:
    """Find the fenced blocks of a Markdown text, in order.

    >>> find_blocks("Sure:\\n```python\\nx = 1\\n```\\nDone.")
    [Block(language='python', code='x = 1\\n', line=2, closed=True, last=4)]
    """
    if "```" not in text and "~~~" not in text:
        return []
    return list(_Reader(split_lines(text), settle).blocks())


def fence(code: str, language: str = "") -> str:
    """Code as a fenced block, with a fence longer than any in it.

    >>> fence("x = 1\\n", "python")
    '```python\\nx = 1\\n```'
    """
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    mark = "`" * (longest + 1)
    return f"{mark}{language}\n{code.strip(chr(10))}\n{mark}"


def split_lines(text: str) -> list[str]:
    """Split a text at line ends only: form feeds and Unicode's separators are characters of code."""
    return _LINE_END.split(text)


def line_starts(text: str) -> list[int]:
    """The position at which each line begins, and the text's length."""
    return [0, *(end.end() for end in _LINE_END.finditer(text)), len(text)]


class _Reader:
    """Reads the blocks of one text from top to bottom."""

    def __init__(self, lines: list[str], settle: Settle | None) -> None:
        self._lines = lines
        self._settle = settle
        self._tries = _MOST_TRIES
        self._closes = [close for number, line in enumerate(lines) if (close := _read_close(number, line))]
        fences = ((number, self._open(line)) for number, line in enumerate(lines if settle else ()))
        self._opens = [number for number, fence in fences if fence and fence.language]

    def blocks(self) -> Iterator[Block]:
        number = 0
        if begun := self._find_begun():
            yield begun
            number = begun.last
        while number < len(self._lines):
            line = self._lines[number]
            fence = self._open(line)
            block = self._read_block(number, fence) if fence else self._read_line(number, line)
            if block:
                yield block
            number = max(block.last if block else 0, number + 1)

    def _find_begun(self) -> Block | None:
        """The block that a prompt has opened: code, then a fence without a language, before any other fence."""
        if not self._settle or not self._closes:
            return None
        close = self._closes[0]
        if any(self._open(line) for line in self._lines[: close.number]):
            return None
        code = self._code(0, close, _Fence(close.mark, "", close.indent))
        body = "def _():\n" + code if code[:1] in (" ", "\t") else code  # it goes on with a function of the prompt
        if not code.strip() or self._settle(body) is None:
            return None
        return Block("python", code, 1, True, close.number + 1)

    def _open(self, line: str) -> _Fence | None:
        """The fence that the line opens; lists, quotes and deep indentation are for texts that models write."""
        fence = _read_fence(line)
        blanks = len(line) - len(line.lstrip(" \t"))
        usual = blanks <= 3 and line[blanks : blanks + 1] in ("`", "~")
        return fence if usual or self._settle else None

    def _read_block(self, number: int, fence: _Fence) -> Block:
        later = self._closes_after(number)
        true_ends = (close for close in later if not close.inside and close.mark.startswith(fence.mark))
        end = next((close for close in true_ends if close.indent <= fence.indent + 3), None)
        code = self._code(number + 1, end, fence)
        if self._settle and fence.language not in OTHER_TAGS and self._tries and self._settle(code) is None:
            self._tries -= 1
            for place in self._other_ends(number, end):
                settled = self._code(number + 1, place, fence)
                if settled.strip() and self._settle(settled) is not None:
                    closed = place.mark != ""
                    return Block(fence.language, settled, number + 1, closed, place.number + closed)
        last = end.number + 1 if end else len(self._lines)
        return Block(fence.language, code, number + 1, end is not None, last)

    def _other_ends(self, number: int, end: _Close | None) -> Iterator[_Close]:
        """Where else a block may end: at a wrong fence, before the next opening fence, at a fence further on."""
        last = end.number if end else len(self._lines)
        yield from (close for close in islice(self._closes_after(number), _PLACES) if close.number < last)
        opening = bisect(self._opens, number)
        if opening < len(self._opens) and self._opens[opening] < last:
            yield _Close(self._opens[opening], "", 0)
        yield from islice(self._closes_after(last), _PLACES)
        yield _Close(len(self._lines), "", 0)

    def _closes_after(self, number: int) -> Iterator[_Close]:
        first = bisect(self._closes, number, key=lambda close: close.number)
        return (self._closes[place] for place in range(first, len(self._closes)))

    def _code(self, first: int, end: _Close | None, fence: _Fence) -> str:
        """The code from line `first` to the end of the block, without the quote marks of its lines."""
        lines = self._lines[first : end.number if end else None]
        if end and end.inside:
            lines.append(self._lines[end.number].rstrip().removesuffix(end.mark).rstrip())
        if fence.quoted:
            lines = [_QUOTE.sub("", line, count=1) for line in lines]
        return "".join(f"{line}\n" for line in lines) if end else "\n".join(lines)

    def _read_line(self, number: int, line: str) -> Block | None:
        """A block that is opened behind words, or that is one line."""
        if "```" not in line or len(line) > _LONGEST_LINE or not self._settle:
            return None
        opening = _AT_END.search(line)
        if opening and line.count("```") == len(opening["mark"]) // 3:
            language = opening["tag"].lower()
            before = line[: opening.start()].strip()
            if not before.endswith((":", ".")) and not language:
                return None  # rather the end of something
            return self._read_block(number, _Fence(opening["mark"], language, 0))
        for whole in _WHOLE.finditer(line):
            word, _, rest = whole["code"].partition(" ")
            for language, code in ((word.lower(), rest), ("", whole["code"])):
                named = not language or language in PYTHON_TAGS
                if named and code.strip() and self._settle(code.strip()) is not None:
                    return Block(language, code.strip() + "\n", number + 1, True, number + 1)
        return None


def _read_fence(line: str) -> _Fence | None:
    found = _FENCE.match(line) if "```" in line or "~~~" in line else None
    if not found or "`" in line[found.end() :]:
        return None  # no fence, or inline code at the start of a line
    before = found["before"]
    return _Fence(found["mark"], found["tag"].lower(), len(before.expandtabs(4)), ">" in before)


def _read_close(number: int, line: str) -> _Close | None:
    line = _QUOTE.sub("", line, count=1) if line.lstrip().startswith(">") else line
    if "```" not in line and "~~~" not in line:
        return None
    found = _FENCE.match(line)
    if found and not found["before"].strip():
        is_close = not found["tag"] and "`" not in line[found.end() :]
        return _Close(number, found["mark"], len(found["before"].expandtabs(4))) if is_close else None
    inside = _AT_END.search(line) if len(line) <= _LONGEST_LINE else None
    if inside and not inside["tag"] and line.count("```") == len(inside["mark"]) // 3:
        return _Close(number, inside["mark"], 0, inside=True)
    return None
