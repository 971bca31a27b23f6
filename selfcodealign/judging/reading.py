"""Where rows come from: JSON Lines (plain or gzip, told apart by their content), Parquet, standard input, a pipe."""

from __future__ import annotations

import gzip
import io
import os
import select
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from selfcodealign.errors import UserError, did_you_mean, reason_of
from selfcodealign.files import READ_ERRORS
from selfcodealign.judging.rows import LONGEST_LINE_MIB, Fields, Row, read_row

#: The name of standard input, and of standard output.
STANDARD = "-"
#: Names that files of rows may have.
LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
PARQUET = ".parquet"
#: A wrong name of a field is looked for in so many rows.
ROWS_LOOKED_AT = 1000
_MIB_LOOKED_AT = 64
#: Rows that are taken at once have about so many MiB.
_MIB_TAKEN = 4
#: Fewer do not tell how many rows a file has.
_BYTES_OF_AN_ESTIMATE = 1 << 20
_FIELDS_SHOWN = 10


class Stopped(Exception):
    """`Source.stop` was called while a row was waited for."""


class Source:
    """The rows of one input, in order. Used by one thread; only `stop` may be called from another."""

    #: Whether rows may come later than they are asked for.
    is_live = False

    def __init__(self, path: Path, fields: Fields) -> None:
        self.path = path
        self.fields = fields
        self.count = 0  # rows taken
        self._ended = False
        self._failure: UserError | None = None
        self._stopped = False
        self._seen: deque[Row] = deque()
        self._rows = self._read()

    @property
    def name(self) -> str:
        """What messages call it."""
        return "standard input" if str(self.path) == STANDARD else str(self.path)

    def take(self, most: int = 1) -> list[Row]:
        """Return the next rows, fewer where they are large, none at the end.

        Raises `UserError` when they cannot be read, and `Stopped`.
        """
        found: list[Row] = []
        size = 0
        try:
            while len(found) < most and size < _MIB_TAKEN << 20:
                row = self._seen.popleft() if self._seen else self._next()
                if row is None:
                    self._ended = True
                    break
                found.append(row)
                size += row.size
        except UserError:
            if not found:
                raise  # else at the next call
        self.count += len(found)
        return found

    def look(self) -> str:
        """Raise `UserError` if the first rows show that no row has the fields; the rows are still to be taken.

        Return a warning if the tests may be in a field of another name.
        """
        looked = _Looked(self.fields)
        size = 0
        while len(self._seen) < ROWS_LOOKED_AT and size < _MIB_LOOKED_AT << 20 and not looked.found:
            if self.is_live and looked.may_do:
                break
            row = self._next()
            if row is None:
                looked.ended = True
                break
            self._seen.append(row)
            size += row.size
            looked.note(row)
        if complaint := looked.complaint():
            raise UserError(f"{self.name}: {complaint}")
        warning = looked.warning()
        return f"{self.name}: {warning}" if warning else ""

    def expected(self) -> int | None:
        """Estimate how many rows there are; None if nothing tells."""
        return None

    def stop(self) -> None:
        """Make `take` raise `Stopped`."""
        self._stopped = True

    def check(self) -> None:
        """Raise `Stopped` after `stop`."""
        if self._stopped:
            raise Stopped

    def close(self) -> None:
        """Give back what was opened."""

    def _next(self) -> Row | None:
        self.check()
        if self._failure is not None:
            raise self._failure
        try:
            return next(self._rows, None)
        except READ_ERRORS as error:
            self._failure = UserError(f"cannot read {self.name}: {reason_of(error)}; check the path")
        except UserError as error:
            self._failure = error
        raise self._failure from None

    def _read(self) -> Iterator[Row]:
        raise NotImplementedError


class JsonLines(Source):
    """Lines of JSON, compressed or not, from an open file."""

    def __init__(self, path: Path, fields: Fields, number: int) -> None:
        super().__init__(path, fields)
        self._raw = _Raw(number)
        self.is_live = self._raw.size is None

    def expected(self) -> int | None:
        if self._ended:
            return self.count
        if self._raw.size is None or self._raw.read_bytes < _BYTES_OF_AN_ESTIMATE:
            return None
        return round((self.count + len(self._seen)) * max(1.0, self._raw.size / self._raw.read_bytes))

    def stop(self) -> None:
        super().stop()
        self._raw.wake()

    def close(self) -> None:
        self._raw.close()

    def _read(self) -> Iterator[Row]:
        stream = self._decompressed()
        most, number = (LONGEST_LINE_MIB << 20) + 1, 0
        while line := stream.readline(most):
            number += 1
            rest = line
            while len(rest) == most and not rest.endswith(b"\n"):
                rest = stream.readline(most)
            if (row := read_row(line, number, self.fields)) is not None:
                yield row

    def _decompressed(self) -> BinaryIO:
        stream = io.BufferedReader(self._raw, 1 << 16)
        begin = stream.peek(4)[:4]
        if begin == b"PAR1":
            raise UserError(f"{self.name}: Parquet is read from a file whose name ends in .parquet")
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream) if begin.startswith(b"\x1f\x8b") else stream)


class _Raw(io.RawIOBase):
    """The bytes of a file. Another thread can end the wait for them."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._woken, self._waker = os.pipe()
        found = os.fstat(number)
        self.size = found.st_size if stat.S_ISREG(found.st_mode) else None
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.size is None:
            # A pipe that nobody has opened for writing yet is at its end for `read`, but not for `select`.
            ready = select.select([self._number, self._woken], [], [])[0]
            if self._woken in ready:
                raise Stopped
        data = os.read(self._number, len(buffer))
        buffer[: len(data)] = data
        self.read_bytes += len(data)
        return len(data)

    def wake(self) -> None:
        with suppress(OSError):
            os.write(self._waker, b"x")

    def close(self) -> None:
        if not self.closed:
            for number in (self._number, self._woken, self._waker):
                os.close(number)
        super().close()


class _Looked:
    """What the first rows have."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._names: dict[str, None] = {}
        self._broken = ""
        self._has_text = False
        self._count = 0
        self.ended = False

    @property
    def found(self) -> bool:
        return self._has_text and self._fields.tests in self._names

    @property
    def may_do(self) -> bool:
        """Whether the rows can be judged: a response may hold its own tests."""
        return self._has_text and (self._fields.tests == Fields().tests or self.found)

    def note(self, row: Row) -> None:
        self._count += 1
        if row.fault:
            self._broken = self._broken or (f"line {row.line}: " if row.line else "") + row.fault
        self._names |= dict.fromkeys(row.names)
        self._has_text = self._has_text or isinstance(row.response, str)

    def complaint(self) -> str:
        """Tell why no row can be judged; empty if rows can be, or may still come."""
        response, tests = self._fields
        rows = "no row" if self.ended else f"none of the first {self._count} rows"
        if self.may_do or not self._count:
            return ""
        if not self._names:
            return f"{rows} has a field" + (f" ({self._broken})" if self._broken else "")
        if response not in self._names:
            hint = self._hint(response, "--response-field")
            return f'{rows} has a text in the field "{response}" ({self._shown()}){hint}'
        if self.ended and not self._has_text:
            return f'{rows} has a text in its field "{response}"'
        if tests != Fields().tests and tests not in self._names:
            return f'{rows} has the field "{tests}" ({self._shown()}){self._hint(tests, "--tests-field")}'
        return ""

    def warning(self) -> str:
        """Tell that the tests may be in a field of another name; empty if they are in theirs, or there is none."""
        others = [name for name in self._names if "test" in name.lower() or "assert" in name.lower()]
        if self.found or not others:
            return ""
        return (
            f'no row so far has the field "{self._fields.tests}" ({self._shown()}), so that only tests inside of a '
            f"response count; if they are in {' or '.join(others)}, name it with --tests-field"
        )

    def _shown(self) -> str:
        more = ", …" if len(self._names) > _FIELDS_SHOWN else ""
        return f"its fields are {', '.join(list(self._names)[:_FIELDS_SHOWN])}{more}"

    def _hint(self, name: str, option: str) -> str:
        return did_you_mean(name, self._names) + f"; name the one that is meant with {option}"
