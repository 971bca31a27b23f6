"""Source files from the rows of a data set: JSON Lines, Parquet, a saved data set, or what `datasets` can load.

Data sets are streamed: memory holds one row (JSON Lines), one batch (Parquet, Arrow) or the buffers of `datasets`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from selfcodealign.errors import SourceError, reason_of
from selfcodealign.rows import Dropped, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.arrow import parquet_columns, parquet_rows, saved_columns, saved_files, saved_rows
from selfcodealign.sources.hub import stream_hub
from selfcodealign.sources.layouts import (
    Layout,
    cell,
    find_files_of_row,
    find_layout,
    find_row_role,
    name_row_licence,
    strip_markers,
)
from selfcodealign.sources.place import Place
from selfcodealign.sources.software_heritage import Blobs, Missing
from selfcodealign.sources.unpacking import UNPACK_ERRORS, open_unpacked

DATA_ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
Numbered = Iterator[tuple[int, dict[str, Any] | Dropped]]

_HEAD_ROWS = 128
_ESCAPED = 6  # one byte of text takes at most six bytes in JSON (\u0000)
_LINE_SLACK = 1 << 20  # room for the other columns


def open_table(path: Path, settings: SeedSettings, origin: str | None = None) -> Iterator[SourceFile | Dropped]:
    """Read the rows of a .jsonl (also .gz, .zst) or .parquet file; the columns are those of `find_layout`."""
    place = Place(settings, origin or path.name)
    if path.name.endswith(".parquet"):
        layout = _find_columns(parquet_columns(path), settings, str(path))
        rows = parquet_rows(path, layout.columns(), place.most_read)
        return _read_each(place, path.name, layout, enumerate(rows, start=1))
    return _read_checked(place, path.name, jsonl_rows(path, place), str(path))


def open_saved(folder: Path, settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read the rows of a data set that `datasets` saved with `save_to_disk`."""
    files = saved_files(folder, settings.split)
    layout = _find_columns(next(filter(None, map(saved_columns, files)), []), settings, str(folder))
    columns = layout.columns()
    name = folder.resolve().name
    place = Place(settings, name)
    rows = chain.from_iterable(saved_rows(file, columns, place.most_read) for file in files)
    return _read_each(place, name, layout, enumerate(rows, start=1))


def open_hub(name: str, settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read the rows of `hub:NAME` or `hub:NAME:CONFIGURATION`; the revision becomes the commit of the seeds."""
    hub = stream_hub(name, settings.split)
    place = Place(settings, hub.origin, commit=hub.revision)
    rows = enumerate(hub.rows, start=1)
    return _read_checked(place, hub.origin, rows, f'data set "{hub.origin}"')


def _find_columns(columns: list[str], settings: SeedSettings, where: str) -> Layout:
    if not columns:
        raise SourceError(f"{where} is empty: it has no row")
    return find_layout(columns, settings, where)


def look_at_head(rows: Numbered, where: str) -> tuple[dict[str, Any] | None, Numbered]:
    """The first readable row, and all rows; None for a few rows of which none can be read.

    Raises `SourceError` where there is no row, or none that can be read among many.
    """
    head: list[tuple[int, dict[str, Any] | Dropped]] = []
    for entry in rows:
        head.append(entry)
        if isinstance(entry[1], dict):
            break
        if len(head) >= _HEAD_ROWS:
            raise SourceError(f"{where} does not look like a data set: its first {len(head)} rows cannot be read")
    if not head:
        raise SourceError(f"{where} is empty: it has no row")
    first = head[-1][1]
    return None if isinstance(first, Dropped) else first, chain(head, rows)


def _read_checked(place: Place, name: str, rows: Numbered, where: str) -> Iterator[SourceFile | Dropped]:
    """Read rows whose columns are those of the first readable one, which is looked at before any work."""
    first, rows = look_at_head(rows, where)
    layout = Layout("content") if first is None else _find_columns(list(map(str, first)), place.settings, where)
    return _read_each(place, name, layout, rows)


class _Job(NamedTuple):
    """A file of a row: its text, or where it lies, or why it is dropped."""

    path: str
    number: int | str
    row: Mapping[str, Any]
    dropped: Dropped | None = None


def _read_each(place: Place, name: str, layout: Layout, rows: Numbered) -> Iterator[SourceFile | Dropped]:
    """Make a row of each file. A layout without texts needs `seeds.blob_url`, which is asked for before any work."""
    jobs = _jobs(place, name, layout, rows)
    if layout.blob is None or layout.code is not None:
        return (_admit(place, layout, job, cell(job.row, layout.code)) for job in jobs)
    if not place.settings.blob_url:
        raise SourceError(
            f"{name} has no texts, only the ids under which Software Heritage keeps them (column {layout.blob}): after "
            "reading its terms set seeds.blob_url=https://softwareheritage.s3.amazonaws.com/content/{blob_id}, or give "
            "a data set with the texts"
        )
    return _fetch(place, layout, jobs, Blobs(place.settings.blob_url, place.max_bytes))


def _fetch(place: Place, layout: Layout, jobs: Iterator[_Job], blobs: Blobs) -> Iterator[SourceFile | Dropped]:
    wanted = ((job, None if job.dropped else str(cell(job.row, layout.blob))) for job in jobs)
    with closing(blobs.fetch_all(wanted)) as texts:
        for job, text in texts:
            if isinstance(text, Missing):
                yield place.refuse(job.path, text.reason, text.detail, job.number)
            else:
                yield _admit(place, layout, job, _decode(text, cell(job.row, layout.encoding)))


def _decode(text: bytes | None, encoding: object) -> str | bytes | None:
    """Text in the encoding that its row states; bytes where that fails, which are dropped by their coding line."""
    if text is None or not isinstance(encoding, str) or encoding.lower() in ("idna", "punycode"):  # slow for long texts
        return text
    try:
        return text.decode(encoding)
    except (ValueError, LookupError):
        return text


def _jobs(place: Place, name: str, layout: Layout, rows: Numbered) -> Iterator[_Job]:
    """The files of all rows; what path, size and flags decide is decided before a text is fetched."""
    for number, row in rows:
        if isinstance(row, Dropped):
            yield _Job("", number, {}, row)
            continue
        for below, file in find_files_of_row(row, layout):
            stated = cell(file, layout.path)
            path = str(stated) if stated else f"{name}:{number}" + (f":{below}" if below else "")
            key = f"{number}.{below}" if below else number
            dropped = None
            if role := find_row_role(file, layout, place.settings.skip):
                dropped = place.refuse(path, *role, number=key)
            elif layout.blob:
                size = cell(file, layout.size)
                dropped = place.pass_over(path.lstrip("/"), size if isinstance(size, int) else 0, key)
            yield _Job(path, key, file, dropped)


def _admit(place: Place, layout: Layout, job: _Job, code: object) -> SourceFile | Dropped:
    if job.dropped is not None:
        return job.dropped
    if not isinstance(code, str | bytes):
        detail = f'"{layout.code or layout.blob}" holds {type(code).__name__}, not text'
        return place.refuse(job.path, "malformed_row", detail, job.number)
    if isinstance(code, str):
        code = strip_markers(code, layout)
    repository = str(cell(job.row, layout.repository) or "")
    return place.admit(job.path, code, name_row_licence(job.row, layout), job.number, repository)


def jsonl_rows(path: Path, place: Place) -> Numbered:
    """Stream the rows of a JSON Lines file; a line that is no row is a drop. Raises `SourceError` for a torn file."""
    limit = place.max_bytes * _ESCAPED + _LINE_SLACK
    number = 0
    try:
        with open_unpacked(path) as stream:
            for number, line in enumerate(_lines(stream, limit), start=1):
                where = f"{path.name}:{number}"
                if line is None:
                    yield number, place.refuse(where, "too_large", f"a line of more than {limit:,} bytes", number)
                elif line.strip():
                    yield number, _parse_line(line, place, where, number)
    except UNPACK_ERRORS as error:
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
