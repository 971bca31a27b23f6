"""Rows of Parquet files: read in batches, and written again with all their types and the verdict's columns."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfcodealign.errors import UserError, reason_of
from selfcodealign.judging.reading import Source
from selfcodealign.judging.rows import ADDED_FIELDS, Fields, Row

#: Rows that are read at once, unless they have more MiB: they may hold long texts.
_BATCH_ROWS, _BATCH_MIB = 64, 16
#: A group of rows in the output has so many rows or MiB.
GROUP_ROWS, GROUP_MIB = 10_000, 32
_NO_TEXT = "a text of the row is not UTF-8"

VERDICT_SCHEMA = pa.schema(
    [
        ("status", pa.string()),
        ("error_type", pa.string()),
        ("message", pa.string()),
        ("line", pa.int64()),
        ("output", pa.string()),
        ("seconds", pa.float64()),
        ("peak_memory_mib", pa.float64()),
        ("repairs", pa.string()),
        ("proof", pa.string()),
        ("killed_by_value", pa.bool_()),
        ("mutation_score", pa.float64()),
        ("strength", pa.float64()),
    ]
)


class ParquetRows(Source):
    """The rows of a Parquet file as JSON, or (`for_table`) as their number and what tells whether they have changed."""

    def __init__(self, path: Path, fields: Fields, *, for_table: bool) -> None:
        super().__init__(path, fields)
        self._for_table = for_table
        try:
            self._file = pq.ParquetFile(path, buffer_size=1 << 20)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"cannot read {path}: {reason_of(error)}; check the path") from None
        self.schema = self._file.schema_arrow
        names = self.schema.names
        if twice := [name for number, name in enumerate(names) if name in names[:number]]:
            raise UserError(f'{path} has two columns "{twice[0]}": rename one')
        groups = [self._file.metadata.row_group(number) for number in range(self._file.num_row_groups)]
        self._row_bytes = max((one.total_byte_size // max(one.num_rows, 1) for one in groups), default=0)

    def expected(self) -> int | None:
        return self._file.metadata.num_rows

    def batches(self, rows: int = _BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows. Raises `UserError` when they cannot be read, and `Stopped`."""
        try:
            rows = min(rows, max(1, (_BATCH_MIB << 20) // max(self._row_bytes, 1)))
            for batch in self._file.iter_batches(rows, use_threads=False):
                self.check()
                yield batch
        except pa.ArrowException as error:
            raise UserError(f"cannot read {self.path}: {reason_of(error)}; check the path") from None

    def close(self) -> None:
        self._file.close()

    def _read(self) -> Iterator[Row]:
        names, number = self.schema.names, 0
        for batch in self.batches():
            columns = [_plain(column) for column in batch.columns]
            for values in zip(*columns, strict=True):
                number += 1
                yield self._row(number, dict(zip(names, values, strict=True)))

    def _row(self, number: int, values: dict[str, Any]) -> Row:
        kept = {name: value for name, value in values.items() if name not in ADDED_FIELDS}
        head = json.dumps(kept, ensure_ascii=False, default=_json_value)[:-1]
        if self._for_table:
            digest = hashlib.blake2b(head.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
            head = f'{{"row": {number}, "digest": "{digest}"'
        response, tests = (values.get(name) for name in self.fields)
        fault = _NO_TEXT if isinstance(response, bytes) or isinstance(tests, bytes) else ""
        return Row(head, response, tests, tuple(values), fault)


def add_columns(source: Source, journal: Path, target: Path) -> list[str]:
    """Write the rows of a Parquet file with their verdicts, which a journal holds."""
    assert isinstance(source, ParquetRows)
    kept = [name for name in source.schema.names if name not in ADDED_FIELDS]
    fields = [source.schema.field(name) for name in kept]
    schema = pa.schema([*fields, *VERDICT_SCHEMA], metadata=source.schema.metadata)
    with open(journal, "rb") as lines, TableWriter(target, schema) as writer:
        for batch in source.batches(1024):
            verdicts = verdict_columns([json.loads(lines.readline()) for _ in range(batch.num_rows)])
            columns = [batch.column(name) for name in kept]
            writer.write(pa.RecordBatch.from_arrays([*columns, *verdicts], schema=schema))
    return []


def verdict_columns(rows: list[dict[str, Any]]) -> list[pa.Array]:
    """Return the columns of `VERDICT_SCHEMA`. Half a surrogate pair, which no UTF-8 holds, is written as in JSON."""
    return [pa.array([storable(row[field.name]) for row in rows], field.type) for field in VERDICT_SCHEMA]


class TableWriter:
    """Writes batches in groups of rows that are neither tiny nor larger than the memory allows."""

    def __init__(self, target: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(target, schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        rows, size = sum(one.num_rows for one in self._waiting), sum(one.nbytes for one in self._waiting)
        if rows >= GROUP_ROWS or size >= GROUP_MIB << 20:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema))
            self._waiting = []


def storable(value: Any) -> Any:
    """Return a text with half a surrogate pair, which no UTF-8 holds, written as in JSON; another value unchanged."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _plain(column: pa.Array) -> list[Any]:
    """Return values that JSON has, where there are any; dates, times and decimals as text, bytes as they are."""
    if pa.types.is_temporal(column.type) or pa.types.is_decimal(column.type):
        try:
            column = column.cast(pa.string())
        except pa.ArrowException:  # durations and intervals
            return [_told(one) for one in column]
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):  # texts that are no UTF-8, nanoseconds in lists, late years
        return [_plain_value(one) for one in column]


def _plain_value(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        if hasattr(value, "as_buffer"):
            return value.as_buffer().to_pybytes()
        return _told(value)


def _told(value: pa.Scalar) -> str | None:
    """Return the text of a value; Arrow's own for what Python has no value for, such as the time of an unknown zone."""
    if not value.is_valid:
        return None
    try:
        return str(value)
    except (ValueError, OverflowError, pa.ArrowException):
        return pa.array([value], value.type).to_string(indent=0, window=1 << 30, skip_new_lines=True)[1:-1]


def _json_value(value: Any) -> str:
    """Return the text of a value that JSON lacks: bytes in base64, dates and times in ISO form."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
