"""What a person looks at: the funnel of a run, and one row's whole story."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from selfcodealign.errors import RunFolderError
from selfcodealign.run_folder.folder import KINDS, Books, RunFolder

#: Shortest beginning of an id that `show` looks for.
SHORTEST_ID = 4


@dataclass(frozen=True)
class StageAccount:
    """One line of the funnel."""

    name: str
    books: Books
    finished: bool


def read_funnel(path: Path) -> list[StageAccount]:
    """The account of every stage of a run that has begun; may be read while the run goes on."""
    folder = _existing(path)
    stages = ((name, folder.look_at(name)) for name in KINDS)
    return [StageAccount(name, stage.books(), stage.finished) for name, stage in stages if stage is not None]


def draw_funnel(accounts: list[StageAccount]) -> Table:
    """The funnel as a table."""
    table = Table(title="Where the rows went", title_justify="left")
    for name, side in (("stage", "left"), ("in", "right"), ("kept", "right"), ("dropped", "right"), ("why", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for account in accounts:
        books = account.books
        why = ", ".join(f"{reason} {count}" for reason, count in books.dropped.items())
        name = account.name if account.finished else f"{account.name} (not finished)"
        table.add_row(name, str(books.entered), str(books.kept), str(sum(books.dropped.values())), Text(why))
    return table


def tell_story(path: Path, row_id: str) -> Iterator[RenderableType]:
    """All that a run knows of one row and of what came of it; `row_id` may be the beginning of any id in it.

    Raises `RunFolderError` when no row, or more than one, has such an id.
    """
    folder = _existing(path)
    if len(row_id) < SHORTEST_ID or not all(letter in "0123456789abcdef" for letter in row_id):
        raise RunFolderError(f'"{row_id}" is no row id: give at least {SHORTEST_ID} of its hexadecimal digits')
    search = _Search(folder)
    field, full_id = search.find(row_id)
    rows = search.rows(field, full_id)
    first = rows[0]
    yield from _tell_seed(first)
    for instruction_id, answers in _by(rows, "instruction_id").items():
        yield from _tell_instruction(instruction_id, answers)


class _Search:
    """Looks through all shards of a run."""

    def __init__(self, folder: RunFolder) -> None:
        self.connection = folder.connect()
        self.files: dict[str, list[tuple[str, bool]]] = {}
        for name in KINDS:
            kept = sorted((folder.path / name).glob("kept-*.parquet"))
            pairs = [(path, path.with_name(path.name.replace("kept-", "dropped-", 1))) for path in kept]
            self.files[name] = [(str(one), one is pair[0]) for pair in pairs for one in pair]
        self.names = [name for name in KINDS if self.files[name]]

    def find(self, beginning: str) -> tuple[str, str]:
        """The id field and the full id that begin so."""
        found: dict[str, str] = {}
        for name in self.names:
            fields = [field for field in KINDS[name][0].field_names() if field.endswith("_id")]
            files = [file for file, _ in self.files[name]]
            for field in fields:
                query = f"SELECT DISTINCT {field} FROM read_parquet(?) WHERE starts_with({field}, ?) LIMIT 5"
                for (one,) in self.connection.execute(query, [files, beginning]).fetchall():
                    found.setdefault(one, field)
        if not found:
            raise RunFolderError(f'no row of this run has an id that begins with "{beginning}"')
        if len(found) > 1:
            raise RunFolderError(f'several rows have ids that begin with "{beginning}": {", ".join(sorted(found)[:5])}')
        ((full_id, field),) = found.items()
        return field, full_id

    def rows(self, field: str, full_id: str) -> list[dict[str, Any]]:
        """Every row that holds the id, from the last stage that knows it back to the first, each row once."""
        found: dict[str, dict[str, Any]] = {}
        for name in reversed(self.names):
            if field not in KINDS[name][0].field_names():
                continue
            for kept in (True, False):
                files = [file for file, is_kept in self.files[name] if is_kept == kept]
                # By name, because files of an earlier release have another name for the mutation score.
                query = f"SELECT * FROM read_parquet(?, union_by_name=true) WHERE {field} = ?"
                table = self.connection.execute(query, [files, full_id])
                columns = [column[0] for column in table.description or []]
                for values in table.fetchall():
                    row = dict(zip(columns, values, strict=True)) | {"stage": name, "kept": kept}
                    own_id = row.get("response_id") or row.get("instruction_id") or row.get("seed_id") or full_id
                    parents = {row.get("instruction_id"), row.get("concepts_id"), row.get("seed_id")} - {own_id}
                    # An earlier stage's copy of a row that went on tells nothing new.
                    if own_id not in found and not any(own_id in other["ancestors"] for other in found.values()):
                        found[own_id] = row | {"ancestors": parents}
        return list(found.values())


def _tell_seed(row: dict[str, Any]) -> Iterator[RenderableType]:
    if row.get("seed"):
        place = f"{row['origin']} {row['source_path']}:{row['source_line']}, licence {row['licence']}"
        yield _panel(f"seed {row['seed_id']}", place, Syntax(row["seed"], "python", word_wrap=True))
    if row.get("concepts"):
        yield _panel(f"concepts {row['concepts_id']}", "", Text(", ".join(row["concepts"])))
    if not row.get("instruction_id"):
        yield Text(_fate(row))


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
        if row.get("status"):
            parts.append(Text(_verdict(row), style="green" if row["status"] == "passed" else "red"))
        yield _panel(f"response {row['response_id']}", f"sample {row['sample']}: {_fate(row)}", Group(*parts))


def _verdict(row: dict[str, Any]) -> str:
    place = f" in line {row['line']}" if (row.get("line") or -1) > 0 else ""
    scores = (row.get("mutation_score"), row.get("test_strength"))  # the second is the earlier name
    killed = "".join(f", tests kill {score:.0%} of mutants" for score in scores if score is not None and score == score)
    message = f": {row['error_type']} {row['message']}".rstrip() if row.get("error_type") or row.get("message") else ""
    return f"{row['status']}{place}{message} ({row['seconds']:.3f} s{killed})"


def _fate(row: dict[str, Any]) -> str:
    if row["kept"]:
        return "in the data set" if row["stage"] == "selection" else f"kept by {row['stage']}"
    return f"dropped by {row['stage']}: {row['reason']}" + (f" – {row['detail']}" if row.get("detail") else "")


def _by(rows: list[dict[str, Any]], field: str) -> dict[str | None, list[dict[str, Any]]]:
    groups: dict[str | None, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row.get(field), []).append(row)
    return groups


def _panel(title: str, subtitle: str, content: RenderableType) -> Panel:
    return Panel(content, title=Text(title), subtitle=Text(subtitle), title_align="left", subtitle_align="left")


def _existing(path: Path) -> RunFolder:
    if not (path / "run.json").is_file():
        raise RunFolderError(f"{path} is no run folder: it has no run.json")
    return RunFolder(path)


def print_funnel(path: Path, console: Console) -> None:
    """Print the funnel, where data set and tuned model are, and the scores."""
    console.print(draw_funnel(read_funnel(path)))
    if (path / "dataset" / "README.md").is_file():
        console.print(f"data set: {path / 'dataset'}", soft_wrap=True, highlight=False)
    if (path / "tuned" / "train_report.html").is_file():
        console.print(f"tuned model: {path / 'tuned'} (see train_report.html)", soft_wrap=True, highlight=False)
    if (path / "evaluation" / "scores.md").is_file():
        console.print(Markdown((path / "evaluation" / "scores.md").read_text("utf-8")))


def funnel_json(path: Path) -> str:
    """The funnel for programs."""
    accounts = [
        {"stage": one.name, "finished": one.finished, "in": one.books.entered, "kept": one.books.kept}
        | {"dropped": one.books.dropped}
        for one in read_funnel(path)
    ]
    return json.dumps(accounts, indent=1)
