"""Rows of data sets that others wrote: an instruction, and the response and tests that stand beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from selfcodealign.errors import SourceError
from selfcodealign.rows import Dropped, digest
from selfcodealign.run_folder.folder import RunFolder, StageFolder
from selfcodealign.settings import ImportedSettings, SeedSettings
from selfcodealign.sources.arrow import is_saved, parquet_columns, parquet_rows, saved_columns, saved_files, saved_rows
from selfcodealign.sources.given_columns import Columns, find_columns, say
from selfcodealign.sources.hub import stream_hub
from selfcodealign.sources.layouts import cell, is_python
from selfcodealign.sources.licences import UNKNOWN, name_licence
from selfcodealign.sources.place import Place
from selfcodealign.sources.tables import DATA_ENDINGS, Numbered, jsonl_rows, look_at_head

#: Rows that are looked at before any work.
HEAD_ROWS = 100
_LONGEST_ID = 200
_TAKES = f"imported.sources takes files ({', '.join(DATA_ENDINGS)}), folders of them, hub:NAME and folders of runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenRow:
    """A row of a data set as it was read; `tests` has the values of its columns of tests, of whatever shape."""

    id: str
    origin: str
    path: str
    commit: str
    licence: str
    given_id: str
    instruction: str
    response: str
    tests: list[Any]
    entry_point: str


@dataclass(frozen=True, slots=True)
class Table:
    """An opened file or data set: `where` names it in messages, `known` are its columns."""

    place: Place
    where: str
    name: str
    known: list[str]
    columns: Columns
    numbered: Numbered

    def rows(self, limit: int | None = None) -> Iterator[GivenRow | Dropped]:
        """Read its rows, or the first ones. Reasons of drops: those of `jsonl_rows`, `no_instruction`,
        `unknown_response`, `not_utf8`, `not_python` and `too_large`."""
        return (self._read(number, row) for number, row in islice(self.numbered, limit))

    def _read(self, number: int, row: dict[str, Any] | Dropped) -> GivenRow | Dropped:
        if isinstance(row, Dropped):
            return row
        columns, path = self.columns, f"{self.name}:{number}"
        refuse = partial(self.place.refuse, path, number=number)
        if broken := next((name for name in columns.names() if isinstance(row.get(name), bytes)), None):
            return refuse("not_utf8", f'"{broken}" is not UTF-8')
        language = cell(row, columns.language)
        if isinstance(language, str) and language.strip() and not is_python(language):
            return refuse("not_python", language)
        instruction, response = say(row, columns.instruction, "user"), say(row, columns.response, "assistant")
        if not instruction or not instruction.strip():
            return refuse("no_instruction", f"{' + '.join(columns.instruction)}: {_tell(row, columns.instruction)}")
        if response is None:
            return refuse("unknown_response", f"{' + '.join(columns.response)}: {_tell(row, columns.response)}")
        tests = [row.get(name) for name in columns.tests]
        longest = max(len(text.encode("utf-8", "surrogatepass")) for text in (instruction, response, str(tests)))
        if longest > self.place.max_bytes:
            return refuse("too_large", self.place.describe_size(longest))
        given = cell(row, columns.id)
        given_id = "" if given is None else str(given)[:_LONGEST_ID]
        entry_point = cell(row, columns.entry_point)
        return GivenRow(
            id=digest("row", self.place.origin, number, given_id, instruction, response, tests),
            origin=self.place.origin,
            path=path,
            commit=self.place.commit,
            licence=name_licence(cell(row, columns.licence)) or self.place.settings.licence or UNKNOWN,
            given_id=given_id,
            instruction=instruction,
            response=response,
            tests=tests,
            entry_point=entry_point if isinstance(entry_point, str) else "",
        )


def _tell(row: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    return ", ".join("nothing" if not row.get(name) else type(row[name]).__name__ for name in columns)


def open_given(source: str, settings: ImportedSettings) -> Iterator[Table]:
    """Open the tables of a source, one after the other. Raises `SourceError` for one that cannot be read."""
    prefix, colon, name = source.partition(":")
    if colon and prefix == "hub":
        yield _open_hub(name, settings)
        return
    path = Path(source).expanduser()
    if not os.path.exists(path):
        raise SourceError(f"imported.sources: there is no {source}; check the path, or write hub:NAME")
    if (path / "run.json").is_file():
        yield _open_run(path, settings)
    elif path.is_dir() and is_saved(path):
        yield _open_saved(path, settings)
    elif path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.name.endswith(DATA_ENDINGS) and one.is_file())
        if not files:
            raise SourceError(f"{source} holds no data files: {_TAKES}")
        for file in files:
            yield _open_file(file, settings, path.resolve().name)
    elif path.name.endswith(DATA_ENDINGS):
        yield _open_file(path, settings, path.name)
    else:
        raise SourceError(f"{source} is no data set: {_TAKES}")


def _place(settings: ImportedSettings, origin: str, commit: str = "") -> Place:
    read = SeedSettings(max_file_kib=settings.max_text_kib, licence=settings.licence, split=settings.split)
    return Place(read, origin, commit=commit)


def _open_file(path: Path, settings: ImportedSettings, origin: str) -> Table:
    place = _place(settings, origin)
    if path.name.endswith(".parquet"):
        known = _need_rows(parquet_columns(path), str(path))
        columns = find_columns(known, settings, str(path))
        rows = enumerate(parquet_rows(path, columns.names(), place.most_read), start=1)
        return Table(place, str(path), path.name, known, columns, rows)
    return _open_stream(place, str(path), path.name, jsonl_rows(path, place), settings)


def _open_stream(place: Place, where: str, name: str, rows: Numbered, settings: ImportedSettings) -> Table:
    """Open rows that state their columns one by one: those of the first rows count."""
    _, rows = look_at_head(rows, where)
    head = list(islice(rows, HEAD_ROWS))
    known = list(dict.fromkeys(str(name) for _, row in head if isinstance(row, dict) for name in row))
    if not known:
        raise SourceError(f"{where} does not look like a data set: none of its rows can be read")
    return Table(place, where, name, known, find_columns(known, settings, where), chain(head, rows))


def _open_saved(folder: Path, settings: ImportedSettings) -> Table:
    files = saved_files(folder, settings.split, "imported")
    known = _need_rows(next(filter(None, map(saved_columns, files)), []), str(folder))
    columns = find_columns(known, settings, str(folder))
    name = folder.resolve().name
    place = _place(settings, name)
    rows = chain.from_iterable(saved_rows(file, columns.names(), place.most_read) for file in files)
    return Table(place, str(folder), name, known, columns, enumerate(rows, start=1))


def _open_hub(name: str, settings: ImportedSettings) -> Table:
    if not name:
        raise SourceError('"hub:" names nothing: write hub:NAME')
    hub = stream_hub(name, settings.split)
    place = _place(settings, hub.origin, hub.revision)
    where = f'data set "{hub.origin}"'
    return _open_stream(place, where, hub.origin, enumerate(hub.rows, start=1), settings)


def _open_run(folder: Path, settings: ImportedSettings) -> Table:
    """Open the rows that the last stage of a run kept, with the ids that they have there."""
    stage = _last_stage(folder)
    known = list(stage.description.fields)
    named = settings.model_copy(update={"id_column": settings.id_column or stage.description.row_id})
    columns = find_columns(known, named, f"the stage {stage.name} of {folder}")
    kept = (row for kept, row in stage.shards.outcomes(columns.names()) if kept)
    name = folder.resolve().name
    return Table(_place(settings, name), str(folder), name, known, columns, enumerate(kept, start=1))


def _last_stage(folder: Path) -> StageFolder[Any]:
    stages = [one for one in RunFolder(folder).stages() if "instruction" in one.description.fields]
    if not stages or not stages[-1].finished:
        raise SourceError(f"imported.sources: the run in {folder} has no finished instructions; run it to its end")
    return stages[-1]


def _need_rows(columns: list[str], where: str) -> list[str]:
    if not columns:
        raise SourceError(f"{where} is empty: it has no row")
    return columns
