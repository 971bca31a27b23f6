"""All rows of a filter as a file, streamed: neither the server nor DuckDB holds more than some batches."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
import re
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import web

from selfcodealign.explorer.database import Database
from selfcodealign.explorer.filters import where
from selfcodealign.explorer.listing import Asked
from selfcodealign.explorer.tables import quote

#: By the end of the file's name: what it is called, and its type.
FORMATS: Mapping[str, tuple[str, str]] = {
    "jsonl": ("JSON Lines", "application/x-ndjson"),
    "csv": ("CSV", "text/csv; charset=utf-8"),
    "parquet": ("Parquet", "application/vnd.apache.parquet"),
}
_BATCH_ROWS = 4096
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


class _Writer(Protocol):
    """Turns batches into pieces of a file."""

    def write(self, batch: pa.RecordBatch) -> bytes: ...

    def end(self) -> bytes: ...


async def send_rows(request: web.Request, database: Database, asked: Asked, form: str) -> web.StreamResponse:
    """Answer with the rows of a filter as a file. The client's pace holds DuckDB back."""
    name = _NO_NAME.sub("-", asked.table.name).strip(".-") or "rows"
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"', "Content-Type": FORMATS[form][1]}
    response = web.StreamResponse(headers=headers)
    cursor, loop = database.cursor(), asyncio.get_running_loop()
    pieces = _pieces(cursor, asked, form)
    with ThreadPoolExecutor(1, thread_name_prefix="download") as thread:  # a cursor stays in one thread
        try:
            piece = await loop.run_in_executor(thread, next, pieces, None)
            await response.prepare(request)  # not before: an error of the query is a page
            while piece is not None:
                await response.write(piece)
                piece = await loop.run_in_executor(thread, next, pieces, None)
            await response.write_eof()
        finally:
            cursor.interrupt()
            await asyncio.shield(loop.run_in_executor(thread, pieces.close))
    return response


def _pieces(cursor: duckdb.DuckDBPyConnection, asked: Asked, form: str) -> Generator[bytes]:
    table, chosen = asked.table, asked.chosen
    names = [*table.fields, "kept", "reason", "detail"]
    if not table.pairs:
        yield b""
        return
    source, files = table.select(names)
    condition, given = where(chosen, table, asked.marks)
    listed = ", ".join(map(quote, names))
    query = f"SELECT {listed} FROM {source} WHERE {condition}"
    if chosen.sort:
        query += f" ORDER BY {quote(chosen.sort)} {'DESC' if chosen.down else 'ASC'} NULLS LAST"
    reader: Any = cursor.sql(query, params=[*files, *given]).to_arrow_reader(_BATCH_ROWS)
    writer = _WRITERS[form](reader.schema)
    try:
        for batch in reader:
            yield writer.write(batch)
        yield writer.end()
    finally:
        reader.close()


class _JsonLines:
    def __init__(self, schema: pa.Schema) -> None:
        """A line per row; what was not measured is null."""

    def write(self, batch: pa.RecordBatch) -> bytes:
        lines = (json.dumps({name: _plain(value) for name, value in row.items()}) for row in batch.to_pylist())
        return "".join(f"{line}\n" for line in lines).encode()

    def end(self) -> bytes:
        return b""


class _Csv:
    def __init__(self, schema: pa.Schema) -> None:
        self._head = schema.names

    def write(self, batch: pa.RecordBatch) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        if self._head:
            writer.writerow(self._head)
            self._head = []
        for row in batch.to_pylist():
            writer.writerow([json.dumps(one) if isinstance(one, list) else _plain(one) for one in row.values()])
        return text.getvalue().encode()

    def end(self) -> bytes:
        return (",".join(self._head) + "\r\n").encode() if self._head else b""


class _Parquet:
    def __init__(self, schema: pa.Schema) -> None:
        self._file = _Pieces()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._file, "w"), schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> bytes:
        self._writer.write_table(pa.Table.from_batches([batch]))  # a row group of its own: batches would be collected
        return self._file.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._file.take()


class _Pieces(io.RawIOBase):
    """A file that is taken away while it is written; only its length is remembered."""

    def __init__(self) -> None:
        self._length = 0
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._length

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self._length += len(self._pieces[-1])
        return len(self._pieces[-1])

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


_WRITERS: Mapping[str, Callable[[pa.Schema], _Writer]] = {"jsonl": _JsonLines, "csv": _Csv, "parquet": _Parquet}
