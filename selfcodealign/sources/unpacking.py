"""Decompress a file as a stream, in bounded memory and up to a multiple of its size."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

#: More than this is a bomb: source code shrinks to a fifth, text of one repeated character to a thousandth.
MOST_TIMES = 200
_ALWAYS = 256 << 20  # bytes that any file may unpack to
_CHUNK = 1 << 16
_XZ_MEMORY = 192 << 20  # `xz -9` needs 65 MiB

COMPRESSED = (".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst")


class Bomb(OSError):
    """A file unpacks to more than a file of its size holds."""


class _Counted(io.RawIOBase):
    """What `read` gives, forward only; raises `Bomb` when it is too much for the bytes of `file` read so far."""

    def __init__(self, file: Any, read: Callable[[int], bytes]) -> None:
        self._file = file
        self._read = read
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(min(len(buffer), 1 << 20))
        buffer[: len(data)] = data
        self._given += len(data)
        if self._given > max(_ALWAYS, MOST_TIMES * self._file.tell()):
            raise Bomb(f"it unpacks to more than {MOST_TIMES} times its size")
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Xz:
    """Like `lzma.LZMAFile`, with a bound on the memory that a file may ask for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stream = self._start()

    @staticmethod
    def _start() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        while True:
            if self._stream.eof:
                data = (self._stream.unused_data or self._file.read(_CHUNK)).lstrip(b"\0")  # padding
                if not data:
                    return b""
                self._stream = self._start()
            else:
                data = self._file.read(_CHUNK) if self._stream.needs_input else b""
                if not data and self._stream.needs_input:
                    raise EOFError("Compressed file ended before the end-of-stream marker was reached")
            if found := self._stream.decompress(data, size):
                return found


#: Raised while reading when the disk or the compression is at fault.
UNPACK_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file for reading and decompress it by its ending. Opening and reading raise `UNPACK_ERRORS`."""
    if path.suffix not in COMPRESSED:
        return path.open("rb")
    if path.suffix == ".zst":
        import pyarrow as pa

        packed = pa.OSFile(str(path))
        return io.BufferedReader(_Counted(packed, pa.CompressedInputStream(packed, "zstd").read), 1 << 17)
    file = path.open("rb")
    if path.suffix in (".xz", ".txz"):
        read = _Xz(file).read
    else:  # `read1` gives what there is before a torn end
        read = (bz2.BZ2File(file) if path.suffix in (".bz2", ".tbz2") else gzip.GzipFile(fileobj=file)).read1
    return io.BufferedReader(_Counted(file, read), 1 << 17)
