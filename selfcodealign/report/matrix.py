"""The matrix of siblings of one instruction as a table: answers down, tests across, by the number of the sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

#: A sign for each word of a cell; "" is a run that did not take place.
SIGNS = {"passed": "+", "failed": "-", "error": "e", "other_names": "n", "weak_tests": "w", "no_tests": "o", "": "."}
SIGNS |= {"timeout": "t", "memory": "m", "crashed": "c", "blocked": "b", "tampering": "x", "not_judged": "?"}
_STYLES = {"passed": "green", "failed": "red", "error": "red"}


def tabulate_siblings(rows: Sequence[dict[str, Any]]) -> RenderableType | None:
    """Lay out the matrix of the answers to one instruction; None if no row has been run against others."""
    answers = sorted((row for row in rows if row.get("siblings")), key=lambda row: row["sample"])
    if not answers:
        return None
    table = Table(title="answers (down) against the tests of their siblings (across)", title_justify="left")
    table.add_column("sample")
    for sample in range(len(answers[0]["siblings"])):
        table.add_column(str(sample), justify="center")
    for name in ("passes", "passed by", "agreement"):
        table.add_column(name, justify="right")
    for row in answers:
        cells = [Text(SIGNS.get(word, word), style=_STYLES.get(word, "")) for word in row["siblings"]]
        shares = [_share(row["passes_siblings"]), _share(row["tests_pass"]), f"{row['agreement']:.0f}"]
        table.add_row(f"{row['sample']} {row['status']}", *cells, *shares)
    used = dict.fromkeys(word for row in answers for word in row["siblings"])
    signs = (f"{SIGNS[word]} {word or 'not run'}" for word in SIGNS if word in used)
    return Group(table, Text(", ".join(signs), style="dim"))


def _share(value: float) -> str:
    return "" if value != value else f"{value:.0%}"
