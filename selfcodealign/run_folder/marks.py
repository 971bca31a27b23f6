"""What people have said of single rows: `marks.jsonl` in a run, which selection honours and the report counts.

One line per mark, appended; of several for one row the last one holds:

    {"row": "3f9a…", "label": "drop", "note": "wrong units", "by": "ada", "at": "2026-11-27T08:12:03+00:00"}

`row` is the id of a seed, of concepts, of an instruction or of a response. `label` is "keep", "drop" or "" (a note
alone, or a label that was taken back). The file is never moved or rewritten: marks outlive the rows they speak of, and
hold again once rows with these ids are back. A line without its end was torn by a kill, before anybody was told that
the mark is kept; the next writer removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from selfcodealign import files
from selfcodealign.errors import RunFolderError, reason_of
from selfcodealign.rows import digest

Label = Literal["keep", "drop", ""]
FILE = "marks.jsonl"
#: The name under which a stage that honoured marks records which labels those were, its reason for rows that go because
#: of one, and the name in run.json of how many rows it dropped, and kept, for them.
MARKS, MARKED_DROP, HONOURED = "marks", "marked_drop", "marks_honoured"
#: The ids of an answer that a mark may speak of, the nearest first; those of evolved instructions are in their rows.
ROW_IDS = ("response_id", "instruction_id", "parent_instruction_id", "start_instruction_id", "concepts_id", "seed_id")
#: Bytes that are read at once in the search for the beginning of a torn line.
_BLOCK = 2**16


@dataclass(frozen=True, slots=True)
class Mark:
    """What was said of the row `row`, by whom and when (ISO 8601, UTC)."""

    row: str
    label: Label
    note: str = ""
    by: str = ""
    at: str = ""


def read_marks(run: Path) -> Mapping[str, Mark]:
    """The marks of a run that hold, by row; empty without a file. Raises `RunFolderError` for a damaged line.

    A mark that was taken back, without a note, is none.
    """
    try:
        state = os.stat(run / FILE)
    except OSError:
        return {}
    return _read(run, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(2)
def _read(run: Path, inode: int, size: int, changed: int) -> Mapping[str, Mark]:
    """Read the marks once for each state of the file: a million of them take seconds."""
    found: dict[str, Mark] = {}
    for mark in list_marks(run):
        found.pop(mark.row, None)  # the order is that of the marks that hold
        if mark.label or mark.note:
            found[mark.row] = mark
    return MappingProxyType(found)


def list_marks(run: Path, row: str = "") -> Iterator[Mark]:
    """All marks of a run, or of one row, in the order they were made, those that no longer hold included; as
    `read_marks`."""
    path = run / FILE
    if not path.exists():
        return
    named = row.encode()
    for number, line in enumerate(files.read_lines(path, error=RunFolderError), 1):
        if named not in line:
            continue
        try:
            mark = _parse(line, path, number)
        except RunFolderError:
            if line.endswith(b"\n"):
                raise
            return  # torn by a kill: it is the last one
        if mark is not None and row in ("", mark.row):
            yield mark


def add_mark(run: Path, mark: Mark) -> None:
    """Append a mark, whole and on disk when this returns; several processes may. Raises `RunFolderError`.

    A mark without a time is given the present one.
    """
    if mark.label not in get_args(Label) or not mark.row:
        raise ValueError(f"no mark that could be read again: {mark}")
    made = mark if mark.at else replace(mark, at=datetime.now(UTC).isoformat(timespec="seconds"))
    # Half a surrogate pair has no UTF-8; `backslashreplace` writes it as JSON does.
    line = (json.dumps(asdict(made), ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
    path = run / FILE
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            _append(file, line, path)
        finally:
            os.close(file)  # and with it the lock
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {reason_of(error)}; make room or check its owner") from error


def digest_marks(marks: Mapping[str, Mark]) -> str:
    """Name the labels (not notes, people and times), in any order; "" for none."""
    labels = sorted((mark.row, mark.label) for mark in marks.values() if mark.label)
    return digest(*(part for label in labels for part in label)) if labels else ""


def _parse(line: bytes, path: Path, number: int) -> Mark | None:
    """The mark in a line; None for an empty line."""
    entry = files.parse_json_line(line, path, number, error=RunFolderError)
    if entry is None:
        return None
    values = {name: entry.get(name, "") for name in ("row", "label", "note", "by", "at")}
    if not values["row"] or values["label"] not in get_args(Label) or not all(map(_is_text, values.values())):
        raise RunFolderError(
            f'{path}:{number}: no mark; a line is like {{"row": "3f9a…", "label": "drop"}}, its label "keep", "drop" '
            'or ""'
        )
    return Mark(**values)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _append(file: int, line: bytes, path: Path) -> None:
    """Write a whole line behind the last whole one; what a full disk took of it is taken back."""
    size = os.fstat(file).st_size
    new = not size
    size, missing = _mend(file, size, path)
    left = missing + line
    try:
        while left:
            left = left[os.write(file, left) :]
        os.fsync(file)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise
    if new:
        _sync_folder(path.parent)


def _mend(file: int, size: int, path: Path) -> tuple[int, bytes]:
    """Cut off a torn last line; return the size then, and the line end that a whole one lacks (a person wrote it)."""
    start = size
    last = b""
    while start and b"\n" not in last:
        length = min(_BLOCK, start)
        start -= length
        last = os.pread(file, length, start) + last
    line = last.rpartition(b"\n")[2]
    if not line:
        return size, b""
    try:
        _parse(line, path, 1)
    except RunFolderError:
        os.ftruncate(file, size - len(line))
        return size - len(line), b""
    return size, b"\n"


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
