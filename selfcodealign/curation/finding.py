"""The line of a seed that decided about it, as the detail of a drop."""

from __future__ import annotations

_LONGEST = 160


def tell_line(code: str, line: int, what: str = "") -> str:
    """The line (from 1) with its number, and what is wrong with it.

    >>> tell_line("def f(x):\\n    return y", 2, "y is not defined")
    'line 2: return y (y is not defined)'
    """
    lines = code.split("\n")
    text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
    return f"line {line}: {text}" + (f" ({what})" if what else "")
