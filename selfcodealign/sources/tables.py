"""Source files from the rows of a data set: JSONL, Parquet, or anything that `datasets` can load.

Data sets are streamed: memory holds one row (JSONL), one batch (Parquet) or the buffers of `datasets`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from selfcodealign.errors import SourceError, did_you_mean, reason_of
from selfcodealign.files import READ_ERRORS, open_bytes
from selfcodealign.rows import Dropped, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.hub import stream_hub
from selfcodealign.sources.licences import name_licence
from selfcodealign.sources.place import Place

DATA_ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
Numbered = Iterator[tuple[int, dict[str, Any] | Dropped]]

_BATCH_ROWS = 128
_ESCAPED = 6  # one byte of text takes at most six bytes in JSON (\u0000)
_LINE_SLACK = 1 << 20  # room for the other columns


def open_table(path: Path, settings: SeedSettings, origin: str | None = None) -> Iterator[SourceFile | Dropped]:
    """Read the rows of a .jsonl, .jsonl.gz or .parquet file; the code is in `settings.code_column`."""
    place = Place(settings, origin or path.name)
    rows = _parquet_rows(path, settings) if path.name.endswith(".parquet") else _jsonl_rows(path, place)
    return _read_each(place, path.name, _check_columns(rows, settings, str(path)))


def open_hub(name: str, settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read the rows of `hub:NAME` or `hub:NAME:CONFIGURATION`; the revision becomes the commit of the seeds."""
    hub = stream_hub(name, settings.split)
    place = Place(settings, hub.origin, commit=hub.revision)
    rows = enumerate(hub.rows, start=1)
    return _read_each(place, hub.origin, _check_columns(rows, settings, f'data set "{hub.origin}"'))


def _check_columns(rows: Numbered, settings: SeedSettings, where: str) -> Numbered:
    """Check that the first readable row has the columns that the settings name; return all rows."""
    head: list[tuple[int, dict[str, Any] | Dropped]] = []
    for entry in rows:
        head.append(entry)
        if isinstance(entry[1], dict):
            break
        if len(head) >= _BATCH_ROWS:
            raise SourceError(f"{where} does not look like a data set: its first {len(head)} rows cannot be read")
    if not head:
        raise SourceError(f"{where} is empty: it has no row")
    first = head[-1][1]
    if isinstance(first, dict):
        for setting in ("code_column", "path_column", "licence_column"):
            column = getattr(settings, setting)
            if column is not None and column not in first:
                known = ", ".join(map(str, first))
                raise SourceError(
                    f'{where} has no column "{column}" (it has {known}): set seeds.{setting}'
                    f"{did_you_mean(column, map(str, first))}"
                )
    return chain(head, rows)


def _read_each(place: Place, name: str, rows: Numbered) -> Iterator[SourceFile | Dropped]:
    settings = place.settings
    for number, row in rows:
        if isinstance(row, Dropped):
            yield row
            continue
        path = f"{name}:{number}"
        if settings.path_column is not None and row.get(settings.path_column):
            path = str(row[settings.path_column])
        code = row.get(settings.code_column)
        if not isinstance(code, str | bytes):
            detail = f'"{settings.code_column}" holds {type(code).__name__}, not text'
            yield place.refuse(path, "malformed_row", detail, number)
            continue
        licence = name_licence(row.get(settings.licence_column)) if settings.licence_column else None
        yield place.admit(path, code, licence, number)


def _parquet_rows(path: Path, settings: SeedSettings) -> Numbered:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=False, pre_buffer=False)
        columns = [settings.code_column, settings.path_column, settings.licence_column]
        known = [column for column in columns if column in file.schema_arrow.names]
        if settings.code_column not in known and file.metadata.num_rows:
            yield 1, dict.fromkeys(file.schema_arrow.names)  # refused by _check_columns, which names the columns
            return
        number = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=known):
            for row in _batch_rows(batch, settings.code_column):
                number += 1
                yield number, row
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"cannot read {path} as Parquet: {reason_of(error)}") from None


def _batch_rows(batch: Any, code_column: str) -> Iterator[dict[str, Any]]:
    """Read the rows of a batch; a code cell that is not UTF-8 stays bytes, so that only its row is lost."""
    import pyarrow as pa

    others = batch.drop_columns([code_column]).to_pylist()
    codes = batch.column(code_column)
    if pa.types.is_dictionary(codes.type):
        codes = codes.dictionary_decode()
    if pa.types.is_string(codes.type) or pa.types.is_large_string(codes.type):
        codes = codes.cast(pa.large_binary())
    for index in range(batch.num_rows):
        code = codes[index].as_py()
        if isinstance(code, bytes):
            with suppress(UnicodeDecodeError):  # left as bytes, extract_seeds drops it as not_utf8
                code = code.decode("utf-8")
        yield {**(others[index] if others else {}), code_column: code}


def _jsonl_rows(path: Path, place: Place) -> Numbered:
    limit = place.max_bytes * _ESCAPED + _LINE_SLACK
    number = 0
    try:
        with open_bytes(path) as stream:
            for number, line in enumerate(_lines(stream, limit), start=1):
                where = f"{path.name}:{number}"
                if line is None:
                    yield number, place.refuse(where, "too_large", f"a line of more than {limit:,} bytes", number)
                elif line.strip():
                    yield number, _parse_line(line, place, where, number)
    except READ_ERRORS as error:
        raise SourceError(f"cannot read {path} after line {number}: {reason_of(error)}") from None


def _parse_line(line: bytes, place: Place, where: str, number: int) -> dict[str, Any] | Dropped:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return place.refuse(where, "not_utf8", str(error), number)
    except (ValueError, RecursionError) as error:
        return place.refuse(where, "malformed_row", str(error), number)
    if not isinstance(row, dict):
        return place.refuse(where, "malformed_row", f"a JSON {type(row).__name__}, not an object", number)
    return row


def _lines(stream: BinaryIO, limit: int) -> Iterator[bytes | None]:
    """Read lines of at most `limit` bytes; a longer line is skipped in pieces and yields None."""
    while line := stream.readline(limit):
        if len(line) < limit or line.endswith(b"\n"):
            yield line
            continue
        while (rest := stream.readline(limit)) and not rest.endswith(b"\n"):
            pass
        yield None
