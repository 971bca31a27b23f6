"""Rows of one stage on disk: pairs of Parquet files, one for kept rows and one for drops.

    kept-WRITER-000001.parquet       rows of the stage's type
    dropped-WRITER-000001.parquet    the same columns, nullable, with parent, reason and detail

A pair holds all rows that its parents gave. Both files are written whole under hidden names; the dropped file is
renamed first and the kept file last, so a visible kept file is the commit: files without one, left by a kill, are
removed and their rows made again. Files never change afterwards, so readers need no lock while a run is in progress,
and neither do writers with different names.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, get_type_hints

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selfcodealign.errors import RecipeError, RunFolderError
from selfcodealign.rows import Dropped, R, Row
from selfcodealign.run_folder.partition import Partition

#: Rows converted to Python objects at once while reading, which bounds the memory of a pass over a stage.
BATCH_ROWS = 1024
_ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64(), list[str]: pa.list_(pa.string())}
_ARROW |= {bool | None: pa.bool_()}  # type: ignore[dict-item]


class Shards(Generic[R]):
    """All pairs of one stage, in `folder`.

    `row` is the type of the kept rows (None: only counts and ids can be read); `parent_field` is the field that holds
    the id of the row that entered the stage. `writer` is a name that no other process writes under at the same time.
    Files that are not whole are in `unfinished`, under hidden names in `folder` where that is None. A writer whose
    `unfinished` is removed can commit nothing more.
    """

    def __init__(
        self,
        folder: Path,
        row: type[R] | None,
        parent_field: str,
        writer: str = "main",
        unfinished: Path | None = None,
    ) -> None:
        self.folder = folder
        self.row = row
        self.parent_field = parent_field
        self._writer = writer
        self._unfinished = unfinished
        self._written: list[Path] = []
        self._schema = schema_of(row) if row is not None else pa.schema([])
        self._dropped_schema = pa.schema(
            [*self._schema, *(pa.field(name, pa.string()) for name in ("parent", "reason", "detail"))]
        )

    def sweep(self, writer: str = "") -> None:
        """Remove the unfinished files of a killed writer: of this name, or of `writer` ("*": of all)."""
        writer = writer or self._writer
        for path in self.folder.glob(f".*-{writer}-*.tmp"):
            path.unlink()
        committed = {path.name.removeprefix("kept-") for path in self.folder.glob("kept-*.parquet")}
        for path in self.folder.glob(f"dropped-{writer}-*.parquet"):
            if path.name.removeprefix("dropped-") not in committed:
                path.unlink()

    def write(self, kept: Sequence[R], dropped: Sequence[Dropped]) -> None:
        """Add one pair. Raises `RunFolderError` if it cannot be written; no file is visible then."""
        number = 1 + max((int(path.stem.rsplit("-", 1)[1]) for path in self._kept_files(self._writer)), default=0)
        name = f"{self._writer}-{number:06d}.parquet"
        columns = {field.name: [getattr(row, field.name) for row in kept] for field in self._schema}
        told = {"parent": [drop.parent for drop in dropped], "reason": [drop.reason for drop in dropped]}
        told["detail"] = [drop.detail for drop in dropped]
        told |= {field.name: [drop.row.get(field.name) for drop in dropped] for field in self._schema}
        pending = [
            (self.folder / f"dropped-{name}", pa.table(_storable(told), schema=self._dropped_schema)),
            (self.folder / f"kept-{name}", pa.table(_storable(columns), schema=self._schema)),
        ]
        hidden = [self._hide(path) for path, _ in pending]
        try:
            for (_, table), temporary in zip(pending, hidden, strict=True):
                with open(temporary, "wb") as file:
                    pq.write_table(table, file, compression="zstd")
                    file.flush()
                    os.fsync(file.fileno())
            for (path, _), temporary in zip(pending, hidden, strict=True):
                os.rename(temporary, path)
            self._written.append(pending[-1][0])
        except OSError as error:
            for temporary in hidden:
                temporary.unlink(missing_ok=True)
            raise RunFolderError(
                f"cannot write to {self.folder}: {error.strerror or error}; make room or choose another --out, then "
                "run the same command to resume"
            ) from error

    def rows(self, part: Partition | None = None) -> Iterator[R]:
        """Yield all kept rows, or those of a partition, shard by shard."""
        for path in self._kept_files():
            with _reading(path):
                for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS):
                    if part is not None:
                        assert self.row is not None
                        batch = batch.filter(pa.array(part.mask(_numbers(batch.column(self.row.id_field)))))
                    yield from self._rows_of(batch)

    def sorted_rows(self, connection: duckdb.DuckDBPyConnection, *order: str, drops: Sequence[str] = ()) -> Iterator[R]:
        """Yield all kept rows, and those that were dropped for a reason in `drops`, ordered by these columns; the sort
        spills to disk. Drops for these reasons must hold all fields of a row."""
        files = [str(path) for path in self._kept_files()]
        if not files:
            return
        names = ", ".join(f'"{field.name}"' for field in self._schema)
        query, given = f"SELECT {names} FROM read_parquet(?)", [files]
        if drops:
            query += f" UNION ALL SELECT {names} FROM read_parquet(?) WHERE list_contains(?, reason)"
            given += [[str(_twin(path)) for path in self._kept_files()], list(drops)]
        query = f"SELECT {names} FROM ({query}) ORDER BY {', '.join(order)}"
        try:
            yield from self._sorted(connection, query, given)
        except duckdb.Error as error:
            raise RunFolderError(f"cannot sort the rows of {self.folder}: {str(error).splitlines()[0]}") from error

    def _sorted(self, connection: duckdb.DuckDBPyConnection, query: str, given: list[list[str]]) -> Iterator[R]:
        reader: pa.RecordBatchReader = connection.sql(query, params=given).to_arrow_reader(BATCH_ROWS)  # pyrefly: ignore
        for batch in reader:
            yield from self._rows_of(batch)

    def parents(self, *, own: bool = False) -> np.ndarray:
        """Return the ids (uint64, sorted, distinct) of the rows that entered the stage and whose outcome is on disk.

        `own`: only those that have been written through this object.
        """
        files = self._parents_in(self._written) if own else self.parents_by_file()
        return np.unique(np.concatenate([np.empty(0, np.uint64), *(ids for _, ids in files)]))

    def parents_by_file(self) -> Iterator[tuple[Path, np.ndarray]]:
        """Yield each kept file with the ids (uint64, with repetitions) of the parents of its pair."""
        return self._parents_in(self._kept_files())

    def _parents_in(self, kept: Sequence[Path]) -> Iterator[tuple[Path, np.ndarray]]:
        for path in kept:
            found = []
            for file, column in ((path, self.parent_field), (_twin(path), "parent")):
                with _reading(file):
                    ids = pq.read_table(file, columns=[column]).column(0)
                found.append(_numbers(ids))
            yield path, np.concatenate(found)

    def column(self, name: str) -> list[str]:
        """One text column of all kept rows."""
        found: list[str] = []
        for path in self._kept_files():
            with _reading(path):
                found += pq.read_table(path, columns=[name]).column(0).to_pylist()
        return found

    def ids(self, parents: np.ndarray) -> np.ndarray:
        """Return the ids (uint64) of the kept rows whose parent is in `parents`."""
        assert self.row is not None
        found = [np.empty(0, np.uint64)]
        for path in self._kept_files():
            with _reading(path):
                table = pq.read_table(path, columns=list({self.row.id_field, self.parent_field}))
            own, above = (_numbers(table.column(name)) for name in (self.row.id_field, self.parent_field))
            found.append(own[np.isin(above, parents)])
        return np.concatenate(found)

    def row_ids(self) -> np.ndarray:
        """Return the ids (uint64, sorted, distinct) of the kept rows."""
        assert self.row is not None
        found = [np.empty(0, np.uint64)]
        for path in self._kept_files():
            with _reading(path):
                found.append(_numbers(pq.read_table(path, columns=[self.row.id_field]).column(0)))
        return np.unique(np.concatenate(found))

    def first_ids(self, count: int) -> list[int]:
        """Return the `count` smallest ids of the kept rows, in order."""
        assert self.row is not None
        found = np.empty(0, np.uint64)
        for path in self._kept_files():
            with _reading(path):
                own = pq.read_table(path, columns=[self.row.id_field]).column(0)
            found = np.unique(np.concatenate([found, _numbers(own)]))[:count]
        return found.tolist()

    def rows_of(self, wanted: np.ndarray) -> Iterator[R]:
        """Yield the kept rows whose id is in `wanted`."""
        for path in self._kept_files():
            with _reading(path):
                for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS):
                    assert self.row is not None
                    mask = np.isin(_numbers(batch.column(self.row.id_field)), wanted)
                    if mask.any():
                        yield from self._rows_of(batch.filter(pa.array(mask)))

    def sizes(self) -> tuple[int, int]:
        """Return the numbers of kept and dropped rows, from the files' metadata."""
        files = self._kept_files()
        with _reading(self.folder):
            kept = sum(pq.read_metadata(path).num_rows for path in files)
            dropped = sum(pq.read_metadata(_twin(path)).num_rows for path in files)
        return kept, dropped

    def counts(self) -> tuple[int, dict[str, int]]:
        """Return the number of kept rows, and of dropped rows by reason."""
        kept = sum(pq.read_metadata(path).num_rows for path in self._kept_files())
        reasons: dict[str, int] = {}
        for path in self._kept_files():
            twin = _twin(path)
            with _reading(twin):
                for reason in pq.read_table(twin, columns=["reason"]).column(0).to_pylist():
                    reasons[reason] = reasons.get(reason, 0) + 1
        return kept, dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))

    def drops_of_parents(self, own: Sequence[str]) -> dict[str, int]:
        """Return by reason how many drops are of the row that entered: those where the fields `own` are all null."""
        reasons: Counter[str] = Counter()
        for path in self._kept_files():
            twin = _twin(path)
            with _reading(twin):
                table = pq.ParquetFile(twin).read(columns=["reason", *own])
            columns = [table.column(name).to_pylist() for name in own]
            for reason, *values in zip(table.column("reason").to_pylist(), *columns, strict=True):
                reasons[reason] += all(value is None for value in values)
        return dict((+reasons).most_common())

    def tally(
        self,
        connection: duckdb.DuckDBPyConnection,
        field: str,
        without: Sequence[str] = (),
        below: tuple[str, int] | None = None,
    ) -> dict[str, tuple[int, int]]:
        """Return for each value of a field the number of outcomes with it and of those that were kept.

        Drops for a reason in `without` are not counted, and with `below` only outcomes whose field of this name is
        below this number.
        """
        kept = [str(path) for path in self._kept_files()]
        if not kept:
            return {}
        dropped = [str(_twin(path)) for path in self._kept_files()]
        counts = f'"{below[0]}" < {below[1]}' if below else "true"
        query = f"""
            SELECT id, count(*), count(*) FILTER (kept) FROM (
                SELECT "{field}" AS id, true AS kept FROM read_parquet(?) WHERE {counts}
                UNION ALL SELECT "{field}", false FROM read_parquet(?) WHERE NOT list_contains(?, reason) AND {counts}
            ) GROUP BY id"""
        found = connection.execute(query, [kept, dropped, list(without)]).fetchall()
        return {one: (drawn, good) for one, drawn, good in found}

    def outcomes(self, columns: Sequence[str]) -> Iterator[tuple[bool, dict[str, Any]]]:
        """Yield every row with whether it was kept, as a dictionary of those `columns` that its file has.

        The files may be those of an earlier version.
        """
        for path in self._kept_files():
            yield from self._outcomes_of(path, columns)

    def outcomes_by_pair(self, columns: Sequence[str]) -> Iterator[list[tuple[bool, dict[str, Any]]]]:
        """The same, a list for every pair: all rows that its parents gave."""
        for path in self._kept_files():
            yield list(self._outcomes_of(path, columns))

    def _outcomes_of(self, path: Path, columns: Sequence[str]) -> Iterator[tuple[bool, dict[str, Any]]]:
        for file in (path, _twin(path)):
            with _reading(file):
                reader = pq.ParquetFile(file)
                found = [name for name in columns if name in reader.schema_arrow.names]
                for batch in reader.iter_batches(BATCH_ROWS, columns=found):
                    yield from ((file is path, row) for row in batch.to_pylist())

    def pairs(self) -> Iterator[tuple[list[R], list[Dropped]]]:
        """Yield every pair as rows, for rewriting a stage."""
        yield from map(self.pair, self._kept_files())

    def pair(self, path: Path) -> tuple[list[R], list[Dropped]]:
        """Return the rows of one pair, which its kept file names."""
        with _reading(path):
            kept = list(self._rows_of(pq.read_table(path)))
        with _reading(_twin(path)):
            told = pq.read_table(_twin(path)).to_pylist()
        return kept, [
            Dropped(parent=row.pop("parent"), reason=row.pop("reason"), detail=row.pop("detail"), row=row)
            for row in told
        ]

    def _hide(self, path: Path) -> Path:
        """The path of a file until it is whole."""
        if self._unfinished is None:
            return path.with_name(f".{path.name}.tmp")
        return self._unfinished / f"{self.folder.name}.{path.name}"

    def _kept_files(self, writer: str = "*") -> list[Path]:
        return sorted(self.folder.glob(f"kept-{writer}-*.parquet"))

    def _rows_of(self, batch: pa.RecordBatch | pa.Table) -> Iterator[R]:
        columns = [batch.column(name).to_pylist() for name in self._schema.names]
        names = self._schema.names
        assert self.row is not None, "rows can be read only where their type is known"
        for values in zip(*columns, strict=True):
            yield self.row(**dict(zip(names, values, strict=True)))


class _reading:
    """Turns a reader's error about a damaged shard into one line with the fix."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowException | OSError | KeyError):
            name = self.path.name.removeprefix("kept-").removeprefix("dropped-")
            raise RunFolderError(
                f"{self.path} is damaged ({str(error).splitlines()[0]}): delete kept-{name} and dropped-{name} in that "
                "folder, and the same command makes their rows again"
            ) from error


def _numbers(ids: Any) -> np.ndarray:
    """Convert a column of ids to uint64."""
    texts = ids.to_pylist()
    joined = "".join(texts)
    if len(joined) == 16 * len(texts) and all(len(one) == 16 for one in texts):
        # Four times as fast as one by one, and every partition of a flow reads all ids.
        return np.frombuffer(bytes.fromhex(joined), ">u8").astype(np.uint64)
    return np.fromiter((int(one, 16) for one in texts), np.uint64, len(texts))


def _twin(path: Path) -> Path:
    """Return the dropped file that belongs to a kept file."""
    return path.with_name(path.name.replace("kept-", "dropped-", 1))


def schema_of(row: type[Row]) -> pa.Schema:
    """Return the Parquet schema of a row type. Raises `RecipeError` for a field that has no column type."""
    hints = get_type_hints(row)
    for name in row.field_names():
        if hints[name] not in _ARROW:
            kinds = (
                ", ".join(getattr(kind, "__name__", str(kind)) for kind in (str, int, float))
                + ", list[str] and bool | None"
            )
            raise RecipeError(f"{row.__name__}.{name} is of a type that rows cannot hold: they hold {kinds}")
    return pa.schema([pa.field(name, _ARROW[hints[name]]) for name in row.field_names()])


def _storable(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Replace lone surrogates, which a program may print and UTF-8 cannot hold, by "?"."""
    return {
        name: [
            value.encode("utf-8", "replace").decode() if isinstance(value, str) and not _is_utf8(value) else value
            for value in values
        ]
        for name, values in columns.items()
    }


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
