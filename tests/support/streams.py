"""Plans for a `FaultyServer` that streams its answers, as vLLM does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tests.support.faulty_server import Handler, Plan


def chunk(text: str, reason: str | None = None, **more: Any) -> bytes:
    """One server-sent event."""
    body = {"choices": [{"index": 0, "text": text, "finish_reason": reason}], **more}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def usage(body: dict[str, Any], prompt: int, completion: int) -> list[bytes]:
    """The event with the usage, where the request asks for it."""
    if not body.get("stream_options", {}).get("include_usage"):
        return []
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return [b"data: " + json.dumps({"choices": [], "usage": counts}).encode() + b"\n\n"]


def begin(handler: Handler) -> None:
    """The head of a streamed response."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()


def send_events(handler: Handler, events: Iterable[bytes]) -> None:
    """Send events, each as one part of a chunked body, and end the body."""
    for event in events:
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        handler.wfile.flush()
    handler.wfile.write(b"0\r\n\r\n")


def write(tokens: Iterable[str], seconds: float = 0.0, slots: AbstractContextManager[Any] | None = None) -> Plan:
    """Write tokens one by one, `seconds` apart; a request is answered inside `slots`, such as a semaphore.

    A request that is not for a stream gets the same text as a whole.
    """
    tokens = list(tokens)

    def events(body: dict[str, Any]) -> Iterable[bytes]:
        for token in tokens:
            time.sleep(seconds)
            yield chunk(token)
        yield chunk("", "stop")
        yield from usage(body, 5, len(tokens))
        yield b"data: [DONE]\n\n"

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        if body.get("stream"):
            begin(handler)
        with slots or nullcontext():
            if body.get("stream"):
                send_events(handler, events(body))
                return
            time.sleep(seconds * len(tokens))
        handler.send_json({"choices": [{"text": "".join(tokens), "finish_reason": "stop"}]})

    return plan


def send_parts(*parts: bytes, end: bool = True) -> Plan:
    """A stream of these bytes; without `end` the connection is cut."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        begin(handler)
        for part in parts:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            handler.wfile.flush()
            time.sleep(0.005)
        if end:
            handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.close_connection = True

    return plan
