"""Text of rows on a terminal: a model, a program or a data set wrote it, so it may hold commands to the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfcodealign.pages.code import make_visible


def show_text(text: str) -> str:
    """A text whose control characters are written out; line ends and tabs stay.

    >>> show_text("a\\x1b[2J\\rb\\r\\n")
    'a\\\\u001b[2J\\\\rb\\n'
    """
    return make_visible(text).replace("\r\n", "\n").replace("\r", "\\r")


def show_line(value: object) -> str:
    """Any value in one line.

    >>> show_line("a\\n  b\\x07")
    'a b\\\\u0007'
    """
    return show_text(" ".join(str(value).split()))


def show_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose texts may be printed."""
    return {name: _show(value) for name, value in row.items()}


def _show(value: Any) -> Any:
    if isinstance(value, str):
        return show_text(value)
    return [_show(one) for one in value] if isinstance(value, list) else value
