"""The story of one row: the row, its ancestors and its descendants in a run. No stage is known by name."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text

from selfcodealign.report.matrix import tabulate_siblings
from selfcodealign.report.search import Search, check_id
from selfcodealign.report.visible import show_row
from selfcodealign.rows import Example
from selfcodealign.run_folder.folder import open_existing


def tell_story(path: Path, row_id: str) -> Iterator[RenderableType]:
    """Tell everything about one row and its descendants; `row_id` may be the first digits of any id in the row.

    Raises `RunFolderError` if no row, or more than one, has such an id.
    """
    rows = [show_row(row) for row in find_rows(path, row_id)]
    first = rows[0]
    yield from _tell_seed(first)
    for instruction_id, answers in _by(rows, "instruction_id").items():
        yield from _tell_instruction(instruction_id, answers)
        if instruction_id and any(row.get("siblings") for row in answers):
            matrix = tabulate_siblings(find_rows(path, instruction_id))
            yield from [] if matrix is None else [matrix]


def find_rows(path: Path, row_id: str) -> list[dict[str, Any]]:
    """Find a row and its descendants, each once, with their `stage` and `kept`; as `tell_story`."""
    search = Search(open_existing(path))
    field, full_id = search.find(check_id(row_id))
    return search.rows(field, full_id)


def tell_row(row: dict[str, Any]) -> Iterator[RenderableType]:
    """Tell what a row is at its stage (`stage`, `kept`), without its ancestors if it has an instruction."""
    row = show_row(row)
    if row.get("instruction_id"):
        yield from _tell_own_fields(row)
        yield from _tell_instruction(row["instruction_id"], [row])
    else:
        yield from _tell_seed(row)


def _tell_seed(row: dict[str, Any]) -> Iterator[RenderableType]:
    if row.get("seed"):
        place = f"{row['origin']} {row['source_path']}:{row['source_line']}, licence {row['licence']}"
        yield _panel(f"seed {row['seed_id']}", place, Syntax(row["seed"], "python", word_wrap=True))
    if row.get("commit_message"):
        yield _panel(f"commit {row['commit']}", "", Group(Text(row["commit_message"]), *_tell_change(row)))
    if row.get("concepts"):
        yield _panel(f"concepts {row['concepts_id']}", "", Text(", ".join(row["concepts"])))
    yield from _tell_own_fields(row)
    if not row.get("instruction_id"):
        yield Text(_fate(row))


def _tell_change(row: dict[str, Any]) -> Iterator[RenderableType]:
    """Show what a commit changes; the commits that are dropped have no code."""
    if row.get("seed"):
        before, after = ((row.get(name) or "").splitlines() for name in ("old_code", "seed"))
        lines = list(unified_diff(before, after, lineterm=""))[2:]  # without the names of the files
        yield Syntax("\n".join(lines), "diff", word_wrap=True)


def _tell_own_fields(row: dict[str, Any]) -> Iterator[RenderableType]:
    """Show the fields that stages outside this package have added."""
    known = {*Example.field_names(), "parent", "reason", "detail", "stage", "kept", "ancestors"}
    added = {name: value for name, value in row.items() if name not in known and value is not None}
    if added:
        yield _panel("more", "", Text("\n".join(f"{name}: {value}" for name, value in added.items())))


def _tell_instruction(instruction_id: str | None, rows: list[dict[str, Any]]) -> Iterator[RenderableType]:
    if not instruction_id:
        return
    first = rows[0]
    facts = f"{first['category']}, {first['difficulty']}"
    yield _panel(f"instruction {instruction_id}", facts, Text(first["instruction"] or ""))
    for row in sorted(rows, key=lambda row: row.get("sample") if row.get("sample") is not None else -1):
        if row.get("response_id") is None:
            yield Text(_fate(row))
            continue
        parts: list[RenderableType] = [Markdown(row["response"] or row["completion"] or "")]
        if row.get("tests"):
            parts += [Text("tests", style="bold"), Markdown(row["tests"])]
        for name in ("user", "assistant"):
            if row.get(name):
                parts += [Text(f"{name}, as a model is tuned on it", style="bold"), Markdown(row[name])]
        if row.get("status"):
            parts.append(Text(_verdict(row), style="green" if row["status"] == "passed" else "red"))
        yield _panel(f"response {row['response_id']}", f"sample {row['sample']}: {_fate(row)}", Group(*parts))


def _verdict(row: dict[str, Any]) -> str:
    place = f" in line {row['line']}" if (row.get("line") or -1) > 0 else ""
    score = row.get("mutation_score")
    killed = f", tests kill {score:.0%} of mutants" if score is not None and score == score else ""
    killed += ", passed apart from its tests" if row.get("proof") == "split" else ""
    message = f": {row['error_type']} {row['message']}".rstrip() if row.get("error_type") or row.get("message") else ""
    return f"{row['status']}{place}{message} ({row['seconds']:.3f} s{killed})"


def _fate(row: dict[str, Any]) -> str:
    if row["kept"]:
        return "in the data set" if "pass_rate" in row else f"kept by {row['stage']}"
    return f"dropped by {row['stage']}: {row['reason']}" + (f" – {row['detail']}" if row.get("detail") else "")


def _by(rows: list[dict[str, Any]], field: str) -> dict[str | None, list[dict[str, Any]]]:
    groups: dict[str | None, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row.get(field), []).append(row)
    return groups


def _panel(title: str, subtitle: str, content: RenderableType) -> Panel:
    return Panel(content, title=Text(title), subtitle=Text(subtitle), title_align="left", subtitle_align="left")
