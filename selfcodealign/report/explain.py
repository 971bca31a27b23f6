"""Why seeds were dropped: some drops of each reason, each with the line of its code that decided."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.text import Text

from selfcodealign.report.sample import sample_rows
from selfcodealign.report.story import find_rows
from selfcodealign.rows import Seed
from selfcodealign.run_folder.folder import open_existing

#: Most characters of a line that is shown.
_WIDTH = 110
_NAMED_LINE = re.compile(r"line (\d+)\b")
_SIGNATURE = r"\s*(async\s+)?(def|class)\b"
_RETURN = re.compile(r"\s*(return|yield)\b")
_WORD = re.compile(r"[^\W\d]\w*")
#: A seed that a drop's detail names, as near-dedup does.
_OTHER = re.compile(r"\b[0-9a-f]{16}\b")


def explain_drops(path: Path, per_reason: int) -> Iterator[Text]:
    """Show `per_reason` drops of each reason of each stage that has looked at seeds, the most frequent reason first."""
    for stage in open_existing(path).stages():
        if "seed" not in stage.description.fields:
            continue
        for reason, count in sorted(stage.shards.counts()[1].items(), key=lambda item: -item[1]):
            found = sample_rows(path, stage.name, reason, per_reason, seed=0)
            yield Text(f"\n{stage.name}: {reason} {count:,}", style="bold")
            for row in found.rows:
                yield from _tell_drop(path, row)


def _tell_drop(path: Path, row: dict[str, Any]) -> Iterator[Text]:
    detail = row.get("detail") or ""
    yield Text(f"  {_place(row)}" + (f"  {_cut(detail)}" if detail else ""))
    function = (row.get("function") or "").rpartition(".")[2]
    if found := find_deciding_line(row.get("seed") or "", row["reason"], detail, function):
        number, line = found
        yield Text(f"    {number:>4} | {_cut(line)}", style="cyan")
    for other in _OTHER.findall(detail)[:1]:
        rows = find_rows(path, other)
        if rows:
            yield Text(f"    like {_place(rows[0])}", style="cyan")


def find_deciding_line(code: str, reason: str, detail: str, function: str = "") -> tuple[int, str] | None:
    """Find the line of `code` that decided, with its number from 1: the line that `detail` names, else the first that
    uses a name of `detail`, else the signature of `function`. None where there is no code.

    >>> find_deciding_line("def f(x):\\n    return g(x)", "needs_module_names", "g")
    (2, '    return g(x)')
    """
    lines = code.split("\n")
    if not code:
        return None
    if (named := _NAMED_LINE.match(detail)) and 0 < int(named[1]) <= len(lines):
        return int(named[1]), lines[int(named[1]) - 1]
    found: int | None = None
    if reason == "no_return_value":
        found = next((number for number, line in enumerate(lines, start=1) if _RETURN.match(line)), None)
    elif not _OTHER.search(detail):
        found = _find_use(code, set(_WORD.findall(detail)))
    if found is None:
        signature = re.compile(rf"\s*(async\s+)?def\s+{re.escape(function)}\b" if function else _SIGNATURE)
        found = next((number for number, line in enumerate(lines, start=1) if signature.match(line)), 1)
    return found, lines[found - 1]


def _find_use(code: str, names: set[str]) -> int | None:
    """The first line that uses one of these names; what a docstring or a comment says does not count."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    used = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in names]
    return min(used, default=None)


def _place(row: dict[str, Any]) -> str:
    path = row.get("source_path") or ""
    line = f":{row['source_line']}" if row.get("source_line") else ""
    function = f" {row['function']}" if row.get("function") else ""
    return f"{row.get('origin') or ''} {path}{line}{function}".strip() or str(row.get(Seed.id_field))


def _cut(text: str) -> str:
    line = " ".join(text.splitlines())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
