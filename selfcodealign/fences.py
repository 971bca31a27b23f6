"""The one reader of fenced code in Markdown: for responses, benchmark answers and worked examples.

A fence is three or more backticks or tildes, indented by at most three blanks. The word after an opening fence is the
language. A block ends with a fence of the same kind, of at least the same length, without a word after it; an unclosed
block (a truncated answer) extends to the end of the text. Lines end with \\n, \\r\\n or \\r (CommonMark).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Languages that mean Python.
PYTHON_TAGS = frozenset({"python", "py", "python3", "py3"})
#: Languages that mean a Python prompt session.
SESSION_TAGS = frozenset({"python-repl", "pycon"})

_LINE_END = re.compile(r"\r\n?|\n")
# Possessive (++): a line of ten thousand tildes is matched once, not from each tilde on.
_FENCE = re.compile(r"[ \t]{0,3}(`{3,}+|~{3,}+)[ \t]*+(?:\{\.?)?([\w+#.-]*+)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    `language` is in lower case, "" where none is given. Lines of `code` end with "\\n", except the last line of an
    unclosed block. `line` is the line of the opening fence, counted from 1.
    """

    language: str
    code: str
    line: int
    closed: bool


def find_blocks(text: str) -> list[Block]:
    """Find the fenced blocks of a Markdown text, in order.

    >>> find_blocks("Sure:\\n```python\\nx = 1\\n```\\nDone.")
    [Block(language='python', code='x = 1\\n', line=2, closed=True)]
    """
    blocks: list[Block] = []
    mark, language, opened = "", "", 0
    lines: list[str] = []
    for number, line in enumerate(_LINE_END.split(text), 1):
        fence = _FENCE.match(line)
        if fence and "`" in line[fence.end() :]:
            fence = None  # inline code at the start of a line
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
    """Join the fenced Python blocks of a response, without the last line's end.

    Blocks without a language count only if no block is marked as Python; blocks of other languages never count. A text
    without any fence is returned unchanged. Prompt sessions (>>>) are not converted.
    """
    blocks = find_blocks(text)
    if not blocks:
        return text
    tagged = [block for block in blocks if block.language in PYTHON_TAGS | SESSION_TAGS]
    counting = tagged or [block for block in blocks if not block.language]
    return "\n\n".join(block.code.removesuffix("\n") for block in counting)
