"""Frames on the socket between the two processes: a JSON message and the bytes of its arrays."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

_HEADER = struct.Struct("!II")  # bytes of the JSON text, bytes of all blobs
_MOST_BYTES = 256 << 20
_CHUNK = 1 << 16
_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Unsplittable(BaseException):
    """The program cannot be judged in two processes; the message says why.

    Not an `Exception`, so that no `except Exception` of a test takes it for the response's.
    """


class Wire:
    """One end of the socket."""

    def __init__(self, fd: int) -> None:
        self._read, self._write = os.read, os.write
        self._fd = fd
        self._buffer = b""

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
            raise Unsplittable("the process of the response has ended") from None

    def receive(self) -> tuple[Any, list[bytes]]:
        """Wait for the next message. Raises `Unsplittable` for anything that is no message."""
        length, size = _HEADER.unpack(self._take(_HEADER.size))
        if length + size > _MOST_BYTES:
            raise Unsplittable("a value is too large to be received")
        data = self._take(length + size)
        try:
            sizes, message = json.loads(data[:length])
            blobs, start = [], length
            for each in sizes:
                blobs.append(data[start : start + each])
                start += each
        except (ValueError, TypeError, RecursionError) as error:
            raise Unsplittable(f"what came is no message: {error}") from None
        return message, blobs

    def _take(self, size: int) -> bytes:
        """Return the next `size` bytes; what was read beyond them is kept."""
        chunks, have = [self._buffer], len(self._buffer)
        while have < size:
            try:
                chunk = self._read(self._fd, max(_CHUNK, min(size - have, 1 << 24)))
            except OSError:
                chunk = b""
            if not chunk:
                raise Unsplittable("the process of the response has ended")
            chunks.append(chunk)
            have += len(chunk)
        data = b"".join(chunks)
        self._buffer = data[size:]
        return data[:size]
