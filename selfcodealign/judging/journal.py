"""Where judged rows go: OUT grows row by row, and the same command resumes it.

While OUT is unfinished, a file beside it, `OUT.unfinished.json`, holds the settings that decide verdicts, and a lock as
long as a run writes. JSON Lines grow in OUT itself. Rows of other forms grow in `OUT.unfinished.jsonl`, which is
converted at the end. A row is one write at the end of a file: what a kill cuts is the last line, which is judged again.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from selfcodealign.errors import UserError, reason_of
from selfcodealign.files import replace_file
from selfcodealign.judging.reading import LINES, PARQUET, STANDARD, Source, Stopped
from selfcodealign.judging.summary import Summary

#: Makes OUT of a journal: (source, journal, temporary name of OUT) -> what is to be said about it.
Convert = Callable[[Source, Path, Path], list[str]]
_RESUME = "run the same command again to resume"
_FINISHED = "exists and is finished: give --overwrite to replace it, or name another file"
#: Stands in the sidecar of an output that has all its rows.
_COMPLETE = "complete"
_OTHERWISE = "give --overwrite to judge all rows again, or name another OUT"


def check_target(source: Path, target: Path, *, overwrite: bool) -> None:
    """Raise `UserError` if writing `target` would lose something that was not meant to be replaced."""
    if str(target) == STANDARD:
        return
    if target.is_symlink() or (target.exists() and not target.is_file()):
        kind = "a link" if target.is_symlink() else "a folder" if target.is_dir() else "no regular file"
        raise UserError(f"{target} is {kind}: name a file to write, or - for standard output")
    if not target.name.endswith((*LINES, PARQUET)):
        raise UserError(f"{target}: rows are written to files that end in .jsonl, .jsonl.gz or .parquet; rename it")
    for unfinished in (_sidecar(target), _journal(target)):
        if unfinished.is_symlink() or (unfinished.exists() and not unfinished.is_file()):
            raise UserError(f"{unfinished} is in the way: remove it, or name another OUT")
        if unfinished.exists() and source.exists() and unfinished.samefile(source):
            raise UserError(f"{source} would be lost, which OUT needs for its unfinished rows: name another OUT")
    if not target.exists():
        return
    if source.exists() and target.samefile(source):
        raise UserError(f"{target} holds the rows to judge: write the verdicts to another file")
    if not overwrite and not _sidecar(target).exists():
        raise UserError(f"{target} {_FINISHED}")


class Output:
    """Takes the lines of judged rows, in order."""

    #: Whether `write` waits for a reader.
    may_wait = False

    def begin(self, source: Source, summary: Summary) -> None:
        """Take the rows that earlier runs have judged from `source`, and count them. Raises `UserError`, `Stopped`."""

    def write(self, line: bytes) -> None:
        """Write a row. Raises `UserError`."""
        raise NotImplementedError

    def finish(self, source: Source) -> list[str]:
        """Complete the output; return what is to be said about it. Raises `UserError`, `Stopped`."""
        return []

    def stop(self) -> None:
        """Make a `write` that waits raise `Stopped`; called from another thread."""


@contextmanager
def open_output(
    target: Path, settings: dict[str, Any], convert: Convert | None, *, overwrite: bool
) -> Iterator[Output]:
    """Open `target` ("-" is standard output) to write or to resume it, under a lock.

    Raises `UserError` when that is not possible, or when the unfinished rows were judged with other `settings`.
    """
    if str(target) == STANDARD:
        yield StandardOutput()
        return
    with _locked(_sidecar(target), target) as number:
        output = _FileOutput(target, number, convert)
        try:
            output.check(settings, overwrite=overwrite)
            yield output
        finally:
            output.close()


class StandardOutput(Output):
    """Writes what a reader has room for, so that the wait for it can end."""

    may_wait = True

    def __init__(self) -> None:
        self._stopped = False

    def write(self, line: bytes) -> None:
        while line:
            if self._stopped:
                raise Stopped
            if select.select([], [1], [], 0.1)[1]:
                line = line[os.write(1, line[: select.PIPE_BUF]) :]

    def stop(self) -> None:
        self._stopped = True


class _FileOutput(Output):
    """`number` is the open sidecar."""

    def __init__(self, target: Path, number: int, convert: Convert | None) -> None:
        self._target = target
        self._number = number
        self._convert = convert
        self._rows = target if convert is None else _journal(target)
        self._file = -1

    def check(self, settings: dict[str, Any], *, overwrite: bool) -> None:
        """Raise `UserError` if there is something that must stay, or that other settings have made."""
        found = _read_settings(self._number)
        self._settings = settings
        self._is_new = overwrite or found is None
        if overwrite:
            return
        if found is None:
            # A run that was killed before it wrote anything leaves an empty sidecar, and no rows.
            for path in {self._rows, self._target}:
                if path.exists():
                    raise UserError(f"{path} exists, and nothing tells what it was judged with: {_OTHERWISE}")
        elif found.get(_COMPLETE):  # the run was killed while it removed what stands beside its output
            self._clear()
            raise UserError(f"{self._target} {_FINISHED}")
        elif changed := [name for name in settings if found.get(name) != settings[name]]:
            told = ", ".join(f"{name} {_show(found.get(name))} → {_show(settings[name])}" for name in changed)
            raise UserError(
                f"{self._target} is unfinished, and its rows were judged with other settings ({told}): {_OTHERWISE}"
            )

    def begin(self, source: Source, summary: Summary) -> None:
        with _writing(self._target):
            if self._is_new:
                # In this order, so that what a killed run leaves belongs to its sidecar.
                os.ftruncate(self._number, 0)
                self._rows.unlink(missing_ok=True)
                _write_settings(self._number, self._settings)
            self._file = os.open(self._rows, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._take_judged(source, summary)

    def _take_judged(self, source: Source, summary: Summary) -> None:
        whole = 0
        with open(self._rows, "rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                row = next(iter(source.take()), None)
                if row is None:
                    raise UserError(f"{self._target} has more rows than {source.name}, which has changed: {_OTHERWISE}")
                verdict = row.read_verdict(line)
                if verdict is None:
                    raise UserError(
                        f"row {summary.rows + 1} of {self._target} is not that row of {source.name}, which has "
                        f"changed: {_OTHERWISE}"
                    )
                summary.note(verdict["status"], verdict["seconds"])
                whole += len(line)
        os.ftruncate(self._file, whole)
        summary.resumed = summary.rows

    def write(self, line: bytes) -> None:
        with _writing(self._rows):
            while line:
                line = line[os.write(self._file, line) :]

    def finish(self, source: Source) -> list[str]:
        notes: list[str] = []
        with _writing(self._target):
            os.fsync(self._file)
            if self._convert is not None:
                with replace_file(self._target) as unfinished:
                    notes = self._convert(source, self._rows, unfinished)
            # Longer than what is there, so that one write replaces it.
            _write_settings(self._number, self._settings | {_COMPLETE: True})
            self._clear()
        return notes

    def _clear(self) -> None:
        """Remove what stands beside a finished output."""
        if self._convert is not None:
            self._rows.unlink(missing_ok=True)
        _sidecar(self._target).unlink()

    def close(self) -> None:
        if self._file >= 0:
            empty = not os.fstat(self._file).st_size
            os.close(self._file)
            if empty and _sidecar(self._target).exists():  # nothing was judged: leave nothing
                self._rows.unlink(missing_ok=True)
                _sidecar(self._target).unlink()
        elif not os.fstat(self._number).st_size:
            _sidecar(self._target).unlink(missing_ok=True)


def compress(source: Source, journal: Path, target: Path) -> list[str]:
    """Make a gzip file of a journal."""
    with open(journal, "rb") as lines, gzip.open(target, "wb") as file:
        while part := lines.read(1 << 20):
            source.check()
            file.write(part)
    return []


@contextmanager
def _locked(sidecar: Path, target: Path) -> Iterator[int]:
    """Open and lock the sidecar. Raises `UserError` if another run has the lock."""
    while True:
        with _writing(target):
            number = os.open(sidecar, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"another run writes {target} now: wait for it, or name another OUT") from None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(number), os.stat(sidecar)):
                    yield number
                    return
        finally:
            os.close(number)  # the lock goes with it


def _read_settings(number: int) -> dict[str, Any] | None:
    """Read the settings in a sidecar; None if there are none."""
    try:
        found = json.loads(os.pread(number, 1 << 20, 0))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _write_settings(number: int, settings: dict[str, Any]) -> None:
    os.pwrite(number, (json.dumps(settings, indent=1) + "\n").encode(), 0)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not path.parent.is_dir():
            raise UserError(f"cannot write {path}: there is no folder {path.parent}; make it first") from None
        reason = f"{reason_of(error)}; make room or choose another place"
        raise UserError(f"cannot write {path}: {reason}, then {_RESUME}") from None


def _show(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _sidecar(target: Path) -> Path:
    return target.with_name(f"{target.name}.unfinished.json")


def _journal(target: Path) -> Path:
    return target.with_name(f"{target.name}.unfinished.jsonl")
