"""Texts of others in a card: YAML that stays one value, Markdown that stays text.

Origins, licences, names of models and of benchmarks come from outside. Whatever they hold, a card has the metadata, the
tables and the links that this package wrote, and no others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: Longer texts are cut: a card is read by people.
LONGEST = 300
# What has no meaning in Markdown, wherever it stands in a line. `www.` and addresses become links by themselves.
_PLAIN = re.compile(r"(?!.*\bwww\.)[^\W_](?:[^\W_]|[ ,./+()%→–-]|(?<=[^\W_])_(?=[^\W_]))*")
# A YAML word that is no number, date, boolean or null under any version of YAML.
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.+/*-]*")
_NO_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def one_line(text: object) -> str:
    """A text without line breaks, control characters and invisible ones.

    >>> one_line("a\\n---\\tb\\u202ec")
    'a --- b c'
    """
    seen = "".join(letter if letter.isprintable() else " " for letter in str(text))
    seen = " ".join(seen.split())
    return seen if len(seen) <= LONGEST else seen[: LONGEST - 1] + "…"


def code(text: object) -> str:
    """A code span with this text, "" for an empty one.

    >>> code("a`b")
    '``a`b``'
    """
    shown = one_line(text)
    if not shown:
        return ""
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def plain(text: object) -> str:
    """The text as it is, where nothing in it means anything in Markdown, else a code span.

    >>> plain("CPython 3.11.7"), plain("[a](b)")
    ('CPython 3.11.7', '`[a](b)`')
    """
    shown = one_line(text)
    return shown if _PLAIN.fullmatch(shown) else code(shown)


def block(text: str, language: str) -> list[str]:
    """A fenced block, with a fence that no line of the text closes."""
    fence = "`" * max(3, max(map(len, re.findall("`+", text)), default=0) + 1)
    return [f"{fence}{language}", text.strip(), fence]


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[int] = ()) -> list[str]:
    """A table of Markdown; its cells may hold Markdown. Columns that are `numbers` are set right."""
    right = set(numbers)
    rule = [" ---: " if place in right else " --- " for place in range(len(head))]
    return [_row(head), f"|{'|'.join(rule)}|", *map(_row, rows)]


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(content: object) -> str:
    # Renderers disagree about a backslash before an escaped pipe, so there is none.
    return re.sub(r"\\*\|", r"\\|", " ".join(str(content).split()))


def front_matter(values: Mapping[str, Any]) -> list[str]:
    """The metadata of a card, as lines of YAML between its rules; None and empty values are left out."""
    return ["---", *_yaml({key: value for key, value in values.items() if value not in (None, "", [], {})}), "---"]


def _yaml(value: Any) -> list[str]:
    lines = []
    items: Iterable[tuple[str, Any]]
    items = ((f"{scalar(key)}:", one) for key, one in value.items()) if isinstance(value, Mapping) else ()
    if isinstance(value, list):
        items = (("-", one) for one in value)
    for lead, one in items:
        if not isinstance(one, Mapping | list) or not one:
            lines.append(f"{lead} {scalar(one)}")
        elif lead == "-":
            first, *rest = _yaml(one)
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        else:
            indent = "" if isinstance(one, list) else "  "
            lines += [lead, *(f"{indent}{line}" for line in _yaml(one))]
    return lines


def scalar(value: object) -> str:
    """A value of YAML in one line; JSON's strings are YAML's.

    >>> scalar("mit"), scalar("no"), scalar("n<1K"), scalar(3)
    ('mit', '"no"', '"n<1K"', '3')
    """
    if not isinstance(value, str):
        return json.dumps(value)
    text = one_line(value)
    if _WORD.fullmatch(text) and text.lower() not in _NO_WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
