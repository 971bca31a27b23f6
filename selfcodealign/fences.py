"""Fenced code in Markdown, read one way: answers of models, benchmark answers and worked examples alike.

A fence is three or more backticks or tildes, after at most three blanks. The word behind an opening one is the
language. A block ends with a fence of at least the same length, of the same kind and without a word behind it; one
that never ends (a truncated answer) reaches to the end of the text. Lines end with \\n, \\r\\n or \\r (CommonMark).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: What Python calls itself behind a fence.
PYTHON_TAGS = frozenset({"python", "py", "python3", "py3"})
#: And what sessions at its prompt are called.
SESSION_TAGS = frozenset({"python-repl", "pycon"})

_LINE_END = re.compile(r"\r\n?|\n")
# Possessive (++): a line of ten thousand tildes is looked at once, not from each tilde on.
_FENCE = re.compile(r"[ \t]{0,3}(`{3,}+|~{3,}+)[ \t]*+(?:\{\.?)?([\w+#.-]*+)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the language in lower case ("" where none is given), its lines with their ends ("\\n"; the last
    line of a block that is not closed has none), and the line of its opening fence, 1 being the text's first."""

    language: str
    code: str
    line: int
    closed: bool


def find_blocks(text: str) -> list[Block]:
    """The fenced blocks of a Markdown text in their order.

    >>> find_blocks("Sure:\\n```python\\nx = 1\\n```\\nDone.")
    [Block(language='python', code='x = 1\\n', line=2, closed=True)]
    """
    blocks: list[Block] = []
    mark, language, opened = "", "", 0
    lines: list[str] = []
    for number, line in enumerate(_LINE_END.split(text), 1):
        fence = _FENCE.match(line)
        if fence and "`" in line[fence.end() :]:
            fence = None  # inline code that a line begins with
        if not mark and fence:
            mark, language, opened, lines = fence[1], fence[2].lower(), number, []
        elif mark and fence and fence[1].startswith(mark) and not fence[2]:
            blocks.append(Block(language, "".join(f"{line}\n" for line in lines), opened, True))
            mark = ""
        elif mark:
            lines.append(line)
    if mark:
        blocks.append(Block(language, "\n".join(lines), opened, False))
    return blocks


def extract_python(text: str) -> str:
    """The Python of a response: its fenced Python blocks, one after the other, without the last line's end.

    Blocks without a language count when none is marked as Python; blocks of other languages never do. A text without
    any fence is taken as code itself. Sessions at the prompt (>>>) come out as they are.
    """
    blocks = find_blocks(text)
    if not blocks:
        return text
    tagged = [block for block in blocks if block.language in PYTHON_TAGS | SESSION_TAGS]
    counting = tagged or [block for block in blocks if not block.language]
    return "\n\n".join(block.code.removesuffix("\n") for block in counting)
