"""The story of one row: the row, its ancestors and its descendants in a run. No stage is known by name."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text

from selfcodealign.errors import RunFolderError
from selfcodealign.report.matrix import tabulate_siblings
from selfcodealign.report.visible import show_row
from selfcodealign.rows import Example
from selfcodealign.run_folder.folder import RunFolder, open_existing

#: Fewest digits of an id that `show` accepts.
SHORTEST_ID = 4


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
    folder = open_existing(path)
    if len(row_id) < SHORTEST_ID or not all(letter in "0123456789abcdef" for letter in row_id):
        raise RunFolderError(f'"{row_id}" is no row id: give at least {SHORTEST_ID} of its hexadecimal digits')
    search = _Search(folder)
    field, full_id = search.find(row_id)
    return search.rows(field, full_id)


def tell_row(row: dict[str, Any]) -> Iterator[RenderableType]:
    """Tell what a row is at its stage (`stage`, `kept`), without its ancestors if it has an instruction."""
    row = show_row(row)
    if row.get("instruction_id"):
        yield from _tell_own_fields(row)
        yield from _tell_instruction(row["instruction_id"], [row])
    else:
        yield from _tell_seed(row)


class _Search:
    """Searches all shards of a run."""

    def __init__(self, folder: RunFolder) -> None:
        self.connection = folder.connect()
        self.files: dict[str, list[tuple[str, bool]]] = {}
        self.fields: dict[str, list[str]] = {}
        stages = folder.stages()
        #: The id fields, from the first row type to the last.
        self.ids = list(dict.fromkeys(stage.description.row_id for stage in stages))
        for stage in stages:
            kept = sorted(stage.path.glob("kept-*.parquet"))
            if kept:
                pairs = [(path, path.with_name(path.name.replace("kept-", "dropped-", 1))) for path in kept]
                self.files[stage.name] = [(str(one), one is pair[0]) for pair in pairs for one in pair]
                self.fields[stage.name] = pq.read_schema(kept[0]).names

    def find(self, beginning: str) -> tuple[str, str]:
        """Find the id field and the full id for the beginning of an id."""
        found: dict[str, str] = {}
        for name, fields in self.fields.items():
            files = [file for file, _ in self.files[name]]
            for field in [field for field in fields if field.endswith("_id")]:
                query = f'SELECT DISTINCT "{field}" FROM read_parquet(?) WHERE starts_with("{field}", ?) LIMIT 5'
                for (one,) in self.connection.execute(query, [files, beginning]).fetchall():
                    found.setdefault(one, field)
        if not found:
            raise RunFolderError(f'no row of this run has an id that begins with "{beginning}"')
        if len(found) > 1:
            raise RunFolderError(f'several rows have ids that begin with "{beginning}": {", ".join(sorted(found)[:5])}')
        ((full_id, field),) = found.items()
        return field, full_id

    def rows(self, field: str, full_id: str) -> list[dict[str, Any]]:
        """Return every row that holds the id, each once, from the last stage that has the id back to the first."""
        found: dict[str, dict[str, Any]] = {}
        for name in reversed([name for name, fields in self.fields.items() if field in fields]):
            for kept in (True, False):
                files = [file for file, is_kept in self.files[name] if is_kept == kept]
                table = self.connection.execute(f'SELECT * FROM read_parquet(?) WHERE "{field}" = ?', [files, full_id])
                columns = [column[0] for column in table.description or []]
                for values in table.fetchall():
                    row = dict(zip(columns, values, strict=True)) | {"stage": name, "kept": kept}
                    known = [row[one] for one in self.ids if row.get(one)]
                    own_id, ancestors = (known[-1], set(known[:-1])) if known else (full_id, set())
                    # An earlier stage's copy of the same row adds nothing.
                    if own_id not in found and not any(own_id in other["ancestors"] for other in found.values()):
                        found[own_id] = row | {"ancestors": ancestors}
        return list(found.values())


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
