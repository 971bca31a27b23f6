"""Messages between the user's process and a server: a length (4 bytes, network order), then JSON."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

HEADER = struct.Struct("!I")


def send_frame(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one length-prefixed JSON message."""
    data = json.dumps(message).encode("utf-8", "surrogatepass")
    connection.sendall(HEADER.pack(len(data)) + data)


def receive_frame(connection: socket.socket) -> dict[str, Any] | None:
    """Receive the next message; None when the other side has closed."""
    header = _receive_exactly(connection, HEADER.size)
    if header is None:
        return None
    data = _receive_exactly(connection, HEADER.unpack(header)[0])
    return None if data is None else json.loads(data)


def _receive_exactly(connection: socket.socket, size: int) -> bytes | None:
    chunks = []
    while size:
        chunk = connection.recv(min(size, 1 << 20))
        if not chunk:
            return None
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
