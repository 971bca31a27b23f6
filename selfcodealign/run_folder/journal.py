"""Answers of a model that no row on disk holds yet: written as they come, so that a kill loses none of them.

    RUN/journal/000001.jsonl ...    segments, one line for each answer; a run appends to a new one

A row's outcome is written when all of its answers are in, minutes after the first of them. Until then each answer
stands here, under a key that names all that decided it, with the row that asked for it. A resumed run finds it by
the key and does not ask again. Once the row's outcome is in a shard, its answers here are dead, and a segment whose
answers are all dead is deleted: the folder holds about what is under way, however long the run.

A line is one write, and carries a checksum. The last line of a segment may be torn by a kill; any line that is not
whole is skipped. Lines are not synced: a kill of the process loses none, a power failure those that the system had
not yet written (on Linux about the last 30 s).
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from selfcodealign.errors import RunFolderError

#: Bytes after which a new segment begins.
SEGMENT_BYTES = 4 * 2**20
_CHECK = b', "check": '

#: The stage and the id (as a number) of the row that the present task works on.
_owner: ContextVar[tuple[str, int] | None] = ContextVar("owner", default=None)


@dataclass
class _Segment:
    path: Path
    live: int = 0
    own: bool = True  # else another process may write it


@dataclass(frozen=True, slots=True)
class Uncounted:
    """An answer that came after the last time a run recorded what it had asked."""

    stage: str
    answer: Mapping[str, Any]


class Journal:
    """The journal in `folder`, which one process at a time uses; answers are found in the folders `others` as well.

    Memory holds some hundred bytes for each answer of a row without an outcome on disk, and no text.
    """

    def __init__(self, folder: Path, others: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._others = others
        self._segments: dict[int, _Segment] = {}
        #: By stage and row: the segment of each answer, and its key if an earlier run wrote it.
        self._open: dict[str, dict[int, list[tuple[int, str | None]]]] = {}
        self._places: dict[str, tuple[int, int, int]] = {}  # key: segment, first byte, length
        self._number = self._size = 0
        self._file: int | None = None
        self._lock = Lock()
        self.damaged = 0

    def __len__(self) -> int:
        """Answers of earlier runs that can be found."""
        return len(self._places)

    @property
    def position(self) -> list[int]:
        """How far the journal is written: the number of the segment, and its bytes."""
        return [self._number, self._size]

    def open(self, counted: Iterable[int] = (0, 0)) -> list[Uncounted]:
        """Read what earlier runs have left, and begin a segment; return the answers behind the position `counted`,
        without their texts. Raises `RunFolderError` if the journal cannot be written."""
        since = tuple(counted)
        uncounted: list[Uncounted] = []
        self._segments, self._open, self._places = {}, {}, {}
        self._number = max(self._number, since[0])
        with self._writing():
            self._folder.mkdir(exist_ok=True)
            self._read_others()
            for path in sorted(self._folder.glob("*.jsonl")):
                number = int(path.stem)
                self._number = max(self._number, number)
                self._segments[number] = _Segment(path)
                for start, length, entry in self._read_segment(path):
                    self._note(number, entry["stage"], int(entry["row"], 16), entry["key"])
                    self._places[entry["key"]] = number, start, length
                    if (number, start) >= since:
                        uncounted.append(_without_text(entry))
                if not self._segments[number].live:
                    self._delete(number)
            self._begin_segment()
        return uncounted

    def _read_others(self) -> None:
        """Learn where the answers of other journals stand; their segments have numbers below 0."""
        paths = [path for folder in self._others for path in sorted(folder.glob("*.jsonl"))]
        for number, path in enumerate(paths, 1):
            self._segments[-number] = _Segment(path, own=False)
            for start, length, entry in self._read_segment(path):
                self._note(-number, entry["stage"], int(entry["row"], 16), entry["key"])
                self._places[entry["key"]] = -number, start, length

    def close(self) -> None:
        """Write no more; segments without a live answer go."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
            for number in [number for number, one in self._segments.items() if not one.live]:
                self._delete(number)
            with suppress(OSError):  # it holds answers
                self._folder.rmdir()

    @contextmanager
    def working_on(self, stage: str, row_id: str) -> Iterator[None]:
        """Answers that come in the block, and in tasks that it begins, belong to this row."""
        token = _owner.set((stage, int(row_id, 16)))
        try:
            yield
        finally:
            _owner.reset(token)

    def find(self, key: str) -> dict[str, Any] | None:
        """The answer that an earlier run got under this key; None if there is none."""
        with self._lock:
            if (place := self._places.get(key)) is None:
                return None
            number, start, length = place
            path = self._segments[number].path
        try:
            with open(path, "rb") as file:
                file.seek(start)
                entry = _parse(file.read(length))
        except OSError:
            return None  # it is asked again
        return entry["answer"] if entry is not None and entry["key"] == key else None

    def add(self, key: str, answer: Mapping[str, Any]) -> None:
        """Keep an answer for the row that is worked on. Raises `RunFolderError` if it cannot be written."""
        owner = _owner.get()
        if owner is None:
            return
        stage, row = owner
        line = _format({"stage": stage, "row": f"{row:016x}", "key": key, "answer": dict(answer)})
        with self._lock, self._writing():
            if self._file is None or self._size >= SEGMENT_BYTES:
                self._begin_segment()
            self._append(line)
            self._note(self._number, stage, row, None)

    def settle(self, stage: str, rows: Iterable[int]) -> None:
        """The outcomes of these rows are in shards: their answers are dead."""
        with self._lock:
            known = self._open.get(stage, {})
            for row in rows:
                for number, key in known.pop(row, ()):
                    self._segments[number].live -= 1
                    if key is not None:
                        self._places.pop(key, None)
            for number in [number for number, one in self._segments.items() if not one.live]:
                if number != self._number or self._size:
                    self._delete(number)

    def settle_known(self, stage: str, done: np.ndarray) -> None:
        """The same for all open rows of a stage that are among `done` (ids as uint64)."""
        rows = np.array(list(self._open.get(stage, ())), np.uint64)
        self.settle(stage, rows[np.isin(rows, done)].tolist())

    def finish(self, stage: str) -> None:
        """All rows of a stage have outcomes: no answer of it is wanted any more, those of other settings included."""
        self.settle(stage, list(self._open.get(stage, ())))

    def _note(self, number: int, stage: str, row: int, key: str | None) -> None:
        self._open.setdefault(stage, {}).setdefault(row, []).append((number, key))
        self._segments[number].live += 1

    def _begin_segment(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        number = self._number + 1
        path = self._folder / f"{number:06d}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._number, self._size = number, 0
        self._segments[number] = _Segment(path)

    def _append(self, line: bytes) -> None:
        """One write; what a full disk took of it is taken back, so that the next line begins at its place."""
        assert self._file is not None
        try:
            left = line
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def _delete(self, number: int) -> None:
        if number == self._number and self._file is not None:
            os.close(self._file)
            self._file = None
        segment = self._segments.pop(number)
        if segment.own:
            segment.path.unlink(missing_ok=True)

    def _read_segment(self, path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """The whole lines of a segment: first byte, length, entry. Damaged ones are counted, a torn last one is not."""
        start = 0
        with open(path, "rb") as lines:
            for line in lines:
                entry = _parse(line)
                if entry is not None:
                    yield start, len(line), entry
                elif line.endswith(b"\n"):
                    self.damaged += 1
                start += len(line)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunFolderError(
                f"cannot write to {self._folder}: {error.strerror or error}; make room or choose another --out, then "
                "run the same command to resume"
            ) from error


def read_uncounted(folder: Path, counted: Iterable[int]) -> Iterator[Uncounted]:
    """The answers behind the position `counted` of a journal that no process uses, without their texts."""
    since = tuple(counted)
    for number, path in list_segments(folder):
        for start, _, entry in Journal(folder)._read_segment(path):
            if (number, start) >= since:
                yield _without_text(entry)


def list_segments(folder: Path) -> list[tuple[int, Path]]:
    """The segments of a journal with their numbers, in order."""
    return sorted((int(path.stem), path) for path in folder.glob("*.jsonl"))


def _without_text(entry: Mapping[str, Any]) -> Uncounted:
    return Uncounted(entry["stage"], {name: value for name, value in entry["answer"].items() if name != "text"})


def _format(entry: Mapping[str, Any]) -> bytes:
    text = json.dumps(entry).encode()
    return text[:-1] + _CHECK + f"{zlib.crc32(text)}}}\n".encode()


def _parse(line: bytes) -> dict[str, Any] | None:
    """The entry of a line; None if the line is not whole."""
    text, found, check = line.rpartition(_CHECK)
    text += b"}"
    if not found or check != f"{zlib.crc32(text)}}}\n".encode():
        return None
    return json.loads(text)
