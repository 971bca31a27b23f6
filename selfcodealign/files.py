"""Read and write text, JSON and JSON Lines: every error names file and line; writes are atomic.

A name that ends in .gz means gzip. Text is UTF-8, with or without a byte order mark. Every function takes the class of
the error to raise (a `UserError`), because the caller knows who has to act. A file is written under a temporary name
and renamed, so that a reader sees either the old file or the complete new one.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from selfcodealign.errors import UserError, reason_of

#: Raised while reading when the disk or the compression is at fault.
READ_ERRORS = (OSError, EOFError, zlib.error)

_ONE_OBJECT = "every line must be one JSON object"


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading and decompress it. Opening and reading raise `READ_ERRORS`."""
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def read_bytes(path: Path, *, error: type[UserError] = UserError, fix: str = "check the path") -> bytes:
    """Read the decompressed bytes of a file; `fix` tells a person what to do if the file cannot be read."""
    with _reading(path, error, fix), open_bytes(path) as stream:
        return stream.read()


def read_text(path: Path, *, error: type[UserError] = UserError, fix: str = "check the path") -> str:
    """Read the text of a file."""
    return decode(read_bytes(path, error=error, fix=fix), path, error=error)


def read_json(path: Path, *, error: type[UserError] = UserError, fix: str = "check the path") -> Any:
    """Read the value of a JSON file; `fix` also tells what to do if the file is not JSON."""
    return parse_json(read_text(path, error=error, fix=fix), path, error=error, fix=fix)


def read_json_lines(path: Path, *, error: type[UserError] = UserError) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stream the objects of a JSON Lines file with their line numbers; empty lines are skipped."""
    yield from parse_json_lines(read_lines(path, error=error), path, error=error)


def read_lines(path: Path, *, error: type[UserError] = UserError) -> Iterator[bytes]:
    """Stream the decompressed lines of a file, with their ends."""
    with _reading(path, error, "check the path"), open_bytes(path) as stream:
        yield from stream


def parse_json_lines(
    lines: Iterable[bytes], path: Path, *, error: type[UserError] = UserError
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Parse lines of JSON into objects, numbered from 1; `path` names the file in errors."""
    for number, line in enumerate(lines, 1):
        row = parse_json_line(line, path, number, error=error)
        if row is not None:
            yield number, row


def parse_json_line(
    line: bytes, path: Path, number: int, *, error: type[UserError] = UserError
) -> dict[str, Any] | None:
    """Parse line `number` of a file into an object; None for an empty line."""
    text = decode(line, path, line=number, error=error)
    if not text.strip():
        return None
    value = parse_json(text, path, line=number, error=error, fix=_ONE_OBJECT)
    if not isinstance(value, dict):
        raise error(f"{path}:{number}: a JSON {type(value).__name__}; {_ONE_OBJECT}")
    return value


def parse_json(text: str, path: Path, *, line: int = 1, error: type[UserError] = UserError, fix: str) -> Any:
    """Parse a JSON text that begins on `line` of a file. Python's `NaN` and `Infinity` are accepted."""
    try:
        return json.loads(text.rstrip())  # otherwise a torn text is reported to end on the line after its last
    except json.JSONDecodeError as found:
        raise error(f"{path}:{line + found.lineno - 1}: not JSON ({found.msg}); {fix}") from None
    except (ValueError, RecursionError) as found:  # a number of too many digits, or too many brackets
        raise error(f"{path}:{line}: not JSON ({reason_of(found)}); {fix}") from None


def decode(data: bytes, path: Path, *, line: int = 1, error: type[UserError] = UserError) -> str:
    """Decode bytes that begin on `line` of a file."""
    try:
        return data.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as found:
        line += data.count(b"\n", 0, found.start)
        raise error(f"{path}:{line}: this line is not UTF-8; save the file as UTF-8") from None


@contextmanager
def _reading(path: Path, error: type[UserError], fix: str) -> Iterator[None]:
    try:
        yield
    except READ_ERRORS as found:
        raise error(f"cannot read {path}: {reason_of(found)}; {fix}") from None


def make_folder(path: Path, *, error: type[UserError] = UserError) -> None:
    """Create a folder and its missing parents."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as found:
        raise error(f"cannot make the folder {path}: {reason_of(found)}; choose another place") from None


@contextmanager
def replace_file(path: Path, *, error: type[UserError] = UserError) -> Iterator[Path]:
    """Yield a temporary name to write to; on success it is renamed to `path`, on an error it is removed."""
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as found:
        raise error(f"cannot write {path}: {reason_of(found)}; make room or choose another place") from found
    finally:
        with suppress(OSError):  # below a file there is nothing to remove, and the first error is the one to tell
            unfinished.unlink(missing_ok=True)


@contextmanager
def write_whole(path: Path, *, error: type[UserError] = UserError) -> Iterator[IO[str]]:
    """Open a text file that appears under its name when the block ends, and not at all if the block raises."""
    with replace_file(path, error=error) as unfinished:
        # A lone surrogate has no UTF-8 encoding; it is written as in JSON: \ud800.
        options: dict[str, Any] = {"mode": "wt", "encoding": "utf-8", "errors": "backslashreplace"}
        with gzip.open(unfinished, **options) if path.suffix == ".gz" else unfinished.open(**options) as file:
            yield cast(IO[str], file)


def write_text(path: Path, text: str, *, error: type[UserError] = UserError) -> None:
    """Write or replace a text file."""
    with write_whole(path, error=error) as file:
        file.write(text)


def write_json(path: Path, value: object, *, error: type[UserError] = UserError) -> None:
    """Write or replace a JSON file; numbers that JSON lacks (NaN, infinities) become null."""
    write_text(path, json.dumps(_finite(value), indent=1, ensure_ascii=False) + "\n", error=error)


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]], *, error: type[UserError] = UserError) -> None:
    """Write or replace a JSON Lines file."""
    with write_whole(path, error=error) as file:
        file.writelines(map(json_line, rows))


def json_line(row: Mapping[str, Any]) -> str:
    """Format a row as a line of JSON, in Python's dialect: NaN stays NaN."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
