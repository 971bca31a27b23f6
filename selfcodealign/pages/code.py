"""Text and code of rows as HTML: escaped, with invisible characters made visible, Python in colours."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from selfcodealign.markdown import find_blocks, split_lines

#: Before the names of Pygments' classes, so that they meet no class of the pages.
PREFIX = "p-"
#: Characters of code beyond which it has no colours: lexers are not linear in all texts.
MOST_COLOURED = 20_000
#: Tabs, line ends and spaces that may stand as they are.
_PLAIN = "\t\n\r "


def make_visible(text: str) -> str:
    """Write control characters, bidirectional controls and other invisible characters as \\uXXXX.

    >>> make_visible("a\\u202eb")
    'a\\\\u202eb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(letter: str) -> str:
    if letter in _PLAIN or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def show_text(text: object) -> Markup:
    """Any value as escaped text."""
    return escape(make_visible("" if text is None else str(text)))


def show_code(code: str | None, marked: int = 0) -> Markup:
    """Python in colours, a `<span class=line>` for each line; line `marked` (from 1) has the class `marked`, too."""
    text = make_visible(code or "")
    if len(text) > MOST_COLOURED:
        lines = [str(escape(line)) for line in text.split("\n")]
    else:
        lexer = PythonLexer(stripnl=False, ensurenl=False)
        lines = highlight(text, lexer, HtmlFormatter(nowrap=True, classprefix=PREFIX)).removesuffix("\n").split("\n")
    drawn = (
        f'<span class="line marked">{line}</span>' if number == marked else f'<span class="line">{line}</span>'
        for number, line in enumerate(lines, 1)
    )
    return Markup("\n".join(drawn))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer: prose, or the code of a fenced block with its language; `line` is its first line, from 1."""

    text: str
    is_code: bool
    language: str = ""
    line: int = 1


def split_text(text: str | None) -> list[Part]:
    """Split an answer into prose and fenced code, in order; empty prose is left out."""
    lines, found, after = split_lines(text or ""), [], 0
    for block in find_blocks(text or ""):
        found += _prose(lines[after : block.line - 1], after + 1)
        found.append(Part(block.code, True, block.language, block.line + 1))
        after = block.last
    return [*found, *_prose(lines[after:], after + 1)]


def _prose(lines: Sequence[str], first: int) -> list[Part]:
    text = "\n".join(lines)
    return [Part(text.strip("\n"), False, line=first)] if text.strip() else []
