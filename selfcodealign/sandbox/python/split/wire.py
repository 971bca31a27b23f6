"""Frames on the socket between the two processes: a JSON message and the bytes of its arrays."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

#: Exit statuses of a response's process: its judge has ended; it was interrupted while the tests ran.
ENDED, INTERRUPTED = 76, 77
_HEADER = struct.Struct("!II")  # bytes of the JSON text, bytes of all blobs
_MOST_BYTES = 256 << 20
_CHUNK = 1 << 16
_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Unsplittable(BaseException):
    """The program cannot be judged in two processes; the message says why.

    Not an `Exception`, so that no `except Exception` of a test takes it for the response's.
    """


class Forged(Unsplittable):
    """The other side wrote what this code does not write."""


class Ended(Unsplittable):
    """The other side has closed the socket."""


class Wire:
    """One end of the socket."""

    def __init__(self, fd: int) -> None:
        self._read, self._write = os.read, os.write
        self._fd = fd
        self._buffer = b""
        self.interrupted = False  # whether an exception of a signal left a message half read

    def send(self, message: Any, blobs: list[bytes]) -> None:
        """Send one message. Raises `Unsplittable` if it is too large or the other side has ended."""
        try:
            text = _ENCODE([[len(blob) for blob in blobs], message]).encode()
        except (ValueError, RecursionError, TypeError) as error:
            raise Unsplittable(f"a value has no form that can be sent: {error}") from None
        size = sum(map(len, blobs))
        if len(text) + size > _MOST_BYTES:
            raise Unsplittable("a value is too large to be sent")
        data = memoryview(_HEADER.pack(len(text), size) + text + b"".join(blobs))
        try:
            while data:
                data = data[self._write(self._fd, data) :]
        except OSError:
            raise Ended("the process of the response has ended") from None

    def receive(self) -> tuple[Any, list[bytes]]:
        """Wait for the next message. Raises `Forged` for anything that is none, `Ended`, or `Unsplittable`."""
        length, size = _HEADER.unpack(self._take(_HEADER.size))
        if length + size > _MOST_BYTES:
            raise Forged("a message of an impossible size")
        data = self._take(length + size)
        try:
            sizes, message = json.loads(data[:length])
            blobs, start = [], length
            for each in sizes:
                blobs.append(data[start : start + each])
                start += each
        except (ValueError, TypeError, RecursionError) as error:
            raise Forged(f"what came is no message: {error}") from None
        return message, blobs

    def _take(self, size: int) -> bytes:
        """Return the next `size` bytes; what was read beyond them is kept."""
        chunks, have = [self._buffer], len(self._buffer)
        while have < size:
            try:
                chunk = self._read(self._fd, max(_CHUNK, min(size - have, 1 << 24)))
            except OSError:
                chunk = b""
            except BaseException:
                self.interrupted = True
                raise
            if not chunk:
                raise Ended("the process of the response has ended")
            chunks.append(chunk)
            have += len(chunk)
        data = b"".join(chunks)
        self._buffer = data[size:]
        return data[:size]
