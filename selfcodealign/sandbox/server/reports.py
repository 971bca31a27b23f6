"""The messages that a program's process writes about itself: hostile bytes until they are read.

    secret (16 bytes) ── length (4 bytes, network order) ── JSON object, ASCII

The process that writes them also runs foreign code, which may find the secret. Any bytes are therefore read in bounded
time and memory: JSON, of which no text is executed or rebuilt, with bounds on size, number and depth. Whatever is not a
message in this form is the program's tampering and touches nothing else.
"""

from __future__ import annotations

import json
import re
from typing import Any

from selfcodealign.sandbox.server.frames import HEADER

NONCE_BYTES = 16
#: The first message of every program, written before foreign code runs; no other message means that it began.
BEGUN = {"begun": True}
MOST_REPORT_BYTES = 16 << 20
_MOST_BYTES = 2 * MOST_REPORT_BYTES  # of all messages of a program
_MOST_MESSAGES = 100_000
_DEEPEST = 50
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class ReportReader:
    """Takes the bytes of one program's reports; `broken` says that they are not what the harness writes."""

    def __init__(self, nonce: bytes) -> None:
        self._nonce = nonce
        self._buffer = bytearray()
        self._seen = 0
        self.messages: list[dict[str, Any]] = []
        self.broken = False

    def take(self, chunk: bytes) -> None:
        """Read the messages that are complete; after a broken one nothing is read."""
        if self.broken:
            return
        self._seen += len(chunk)
        self._buffer += chunk
        start = NONCE_BYTES + HEADER.size
        while len(self._buffer) >= start and not self.broken:
            size = HEADER.unpack_from(self._buffer, NONCE_BYTES)[0]
            if self._buffer[:NONCE_BYTES] != self._nonce or size > MOST_REPORT_BYTES or self._seen > _MOST_BYTES:
                self.broken = True
            elif len(self._buffer) < start + size:
                return
            else:
                self._add(decode_report(bytes(self._buffer[start : start + size])))
                del self._buffer[: start + size]

    def _add(self, message: dict[str, Any] | None) -> None:
        if message is None or len(self.messages) >= _MOST_MESSAGES:
            self.broken = True
        elif self.messages:
            self.broken = not message.keys().isdisjoint(("begun", "unready"))
        else:
            self.broken = message != BEGUN and message.keys() != {"unready"}
        if message is not None and not self.broken:
            self.messages.append(message)


def decode_report(body: bytes) -> dict[str, Any] | None:
    """Return the message in `body`; None when there is none. Every text in it can be encoded as UTF-8."""
    try:
        message = json.loads(body.decode("ascii"))
        if _is_deep(body, message):
            return None
        if _SURROGATE.search(body):  # a lone half of a pair cannot be written anywhere
            message = json.loads(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError, MemoryError):
        return None
    return message if type(message) is dict else None


def _is_deep(body: bytes, message: Any) -> bool:
    """Whether containers lie deeper in each other than `_DEEPEST`: others could not write them on."""
    if body.count(b"[") + body.count(b"{") <= _DEEPEST:
        return False
    level = [message]
    for _ in range(_DEEPEST):
        inner = (part.values() if type(part) is dict else part for part in level)
        level = [part for parts in inner for part in parts if type(part) in (list, dict)]
        if not level:
            return False
    return True
