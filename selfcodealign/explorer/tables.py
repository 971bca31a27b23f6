"""The rows of one stage as DuckDB reads them: which files hold them, and of what kind each field is."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from selfcodealign.errors import RunFolderError
from selfcodealign.run_folder.folder import StageFolder, open_existing

Kind = Literal["text", "number", "boolean", "list"]
#: What every list of rows has besides the fields of the rows.
KEPT, REASON, DETAIL = "kept", "reason", "detail"
_ADDED: Mapping[str, Kind] = {KEPT: "boolean", REASON: "text", DETAIL: "text"}
#: Columns of stages that declare none: at most so many, those of more mean bytes last.
_MOST_COLUMNS, _SHORT = 6, 200


@dataclass(frozen=True)
class Pair:
    """The files of kept and of dropped rows that were written together, and how many rows they have."""

    kept: str
    dropped: str
    kept_rows: int
    dropped_rows: int

    @property
    def rows(self) -> int:
        return self.kept_rows + self.dropped_rows


@dataclass(frozen=True)
class StageTable:
    """The rows of a stage: `fields` are those of the rows with their kinds, `columns` what a list of them shows."""

    name: str
    row_id: str
    parent: str
    pairs: Sequence[Pair]
    fields: Mapping[str, Kind]
    columns: Sequence[str]

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """All that rows can be filtered and sorted by."""
        return {**_ADDED, **self.fields}

    @property
    def size(self) -> int:
        return sum(pair.rows for pair in self.pairs)

    def select(self, names: Sequence[str], pairs: Sequence[Pair] | None = None) -> tuple[str, list[list[str]]]:
        """Return SQL for these columns and the place of each row (`file`, `number`), and its parameters."""
        chosen = self.pairs if pairs is None else pairs
        own = [quote(name) for name in names if name in self.fields]
        kept = [*own, "true AS kept", "NULL::VARCHAR AS reason", "NULL::VARCHAR AS detail", "NULL::VARCHAR AS parent"]
        dropped = [*own, "false", "reason", "detail", "parent"]
        place = "filename AS file, file_row_number AS number"
        text = (
            f"(SELECT {', '.join(kept)}, {place} FROM read_parquet(?) "
            f"UNION ALL SELECT {', '.join(dropped)}, {place} FROM read_parquet(?))"
        )
        return text, [[pair.kept for pair in chosen], [pair.dropped for pair in chosen]]


def quote(name: str) -> str:
    """Return a name as SQL.

    >>> quote('a"b')
    '"a""b"'
    """
    return '"' + name.replace('"', '""') + '"'


def open_table(run: Path, name: str) -> StageTable | None:
    """Return the rows of a stage of the run's journey that has begun; None for any other name.

    Links in the run are not followed.
    """
    folder = open_existing(run)
    if name not in folder.journey() or not _is_folder(run / name):
        return None
    stage = folder.look_at(name)
    if stage is None:
        return None
    pairs = list(find_pairs(stage.path))
    fields = _fields(stage, pairs)
    about = stage.description
    before = folder.look_at(about.after) if about.after in folder.journey() else None
    given = before.description.fields if before else ()
    return StageTable(name, about.row_id, about.parent, pairs, fields, _columns(stage, given, fields, pairs))


def find_stages(run: Path) -> list[str]:
    """Return the names of the stages with rows, in the order of the journey."""
    return [stage.name for stage in open_existing(run).stages() if _is_folder(stage.path)]


def find_pairs(folder: Path) -> Iterator[Pair]:
    """Yield the pairs of a stage in the order of their names. A dropped file comes first, so a kept one has a twin."""
    with os.scandir(folder) as entries:
        found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries if entry.name.endswith(".parquet")}
    regular = {name: status for name, status in found.items() if stat.S_ISREG(status.st_mode)}
    for name in sorted(regular):
        twin = f"dropped-{name.removeprefix('kept-')}"
        if not name.startswith("kept-") or twin not in regular:
            continue
        paths = [os.path.join(folder, one) for one in (name, twin)]
        kept, dropped = (
            _count_rows(path, regular[one].st_ino, regular[one].st_mtime_ns)
            for path, one in zip(paths, (name, twin), strict=True)
        )
        yield Pair(paths[0], paths[1], kept, dropped)


@lru_cache(100_000)
def _count_rows(path: str, inode: int, changed: int) -> int:
    """Count the rows of a file, which never changes; one with the same name may take its place."""
    return _metadata(path).num_rows


@lru_cache(1_000)
def _schema(path: str, inode: int) -> pa.Schema:
    return _metadata(path).schema.to_arrow_schema()


def _metadata(path: str) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise RunFolderError(f"{path} is damaged: {str(error).splitlines()[0]}") from error


def _fields(stage: StageFolder, pairs: Sequence[Pair]) -> dict[str, Kind]:
    """The fields that the files hold, in the order of stage.json; a field with the name of an added one is left out."""
    if not pairs:
        return {}
    schema = _schema(pairs[0].kept, os.stat(pairs[0].kept).st_ino)
    names = [name for name in stage.description.fields if name in schema.names] or schema.names
    return {name: _kind(schema.field(name).type) for name in names if name not in _ADDED}


def _kind(kind: pa.DataType) -> Kind:
    if pa.types.is_list(kind):
        return "list"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "text"


def _columns(stage: StageFolder, before: Sequence[str], fields: Mapping[str, Kind], pairs: Sequence[Pair]) -> list[str]:
    """What the stage declares; else the short fields that it added to those of the stage before."""
    if declared := [name for name in stage.description.columns if name in fields]:
        return declared
    own = [name for name in fields if name not in before and not name.endswith("_id")] or list(fields)
    lengths = _mean_lengths(pairs[0].kept) if pairs else {}
    return sorted(own, key=lambda name: lengths.get(name, 0) > _SHORT)[:_MOST_COLUMNS]


def _mean_lengths(path: str) -> dict[str, float]:
    """The mean bytes of each field in a file."""
    found, sizes = _metadata(path), Counter[str]()
    for group in range(found.num_row_groups):
        for place in range(found.num_columns):
            column = found.row_group(group).column(place)
            sizes[column.path_in_schema.split(".")[0]] += column.total_uncompressed_size
    return {name: size / max(found.num_rows, 1) for name, size in sizes.items()}


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False
