"""A completions server that fails requests at random, in every way a server can: fast, in another process.

The fault of a request is drawn from the digest of prompt, seed and how often it was asked, each of `FAULTS` with the
same chance. The server remembers which requests it has answered to the last byte, and when, so that it knows what it
was asked twice. Times are on the monotonic clock, which processes share.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from selfcodealign import Sampling
from selfcodealign.rows import digest
from tests.support.journey import answer as write_answer

#: What can become of a request, besides an answer at once.
FAULTS = (
    "silence",
    "429",
    "5xx",
    "reset",
    "reset in a body",
    "cut JSON",
    "cut stream",
    "garbage",
    "web page",
    "no choices",
    "slow",
)
#: One in so many programs of the answers is run; the other texts hold none, and cost no time in the sandbox.
PROGRAMS, RETRY_AFTER = 30, "0.1"
_SILENT_SECONDS, _SLOW_SECONDS = 60.0, 0.2
#: Addresses under which it is several servers.
_ADDRESSES = 4
#: Asks only how far the server is; anything else is a new `_Server.most`.
_LOOK = "look"


def moody_answer(prompt: str, sampling: Sampling, seed: int) -> str:
    """What every request is answered with in the end: as in `tests.support.journey`, mostly without program."""
    if prompt.endswith(("<concepts>\n", "<instruction>\n", "<judgement>\n")) or seed % PROGRAMS == 0:
        return write_answer(prompt, sampling, seed)
    return "I do not know.\n"


def name_request(prompt: str, seed: int) -> str:
    """The name of a request, the same for each time that it is asked."""
    return digest(prompt, seed)


class _Server:
    def __init__(self, chance: float, seed: int, latency: float) -> None:
        self._chance, self._seed, self._latency = chance, seed, latency
        self._tries: Counter[str] = Counter()
        self._answered: dict[str, float] = {}
        self.kinds: Counter[str] = Counter()
        self.again: list[tuple[str, float, float]] = []
        #: After how many different answers there are no further ones (None: they go on).
        self.most: int | None = None

    def _draw(self, key: str) -> str:
        self._tries[key] += 1
        place = int(digest("fault", self._seed, key, self._tries[key]), 16) % 10_000 / 10_000
        number = int(place / self._chance) if self._chance else len(FAULTS)
        return FAULTS[number] if number < len(FAULTS) else ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(found[1])) if found else b""
                if head.startswith(b"GET"):
                    where = head.split()[1]
                    listed: Any = {"data": [{"id": "demo", "owned_by": "moody"}]} if where == b"/v1/models" else {}
                    _send(writer, json.dumps(listed).encode(), status="200 OK" if listed else "404 Not Found")
                elif not await self._complete(writer, _read(json.loads(body), sum(self.kinds.values()))):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _complete(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> bool:
        """Answer or fail a request; returns whether the connection goes on."""
        key = name_request(body["prompt"], body["seed"])
        if (before := self._answered.get(key)) is not None:
            self.again.append((key, before, time.monotonic()))
        kind = self._draw(key)
        self.kinds[kind] += 1
        stop = body.get("stop", ())
        text = moody_answer(body["prompt"], Sampling(stop=tuple(stop)), body["seed"])
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        chat = "messages" in body
        told = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        whole = {"choices": [{"index": 0, **told, "finish_reason": "stop"}], "usage": usage}
        cuts = [text[at : at + 60] for at in range(0, len(text), 60)]
        parts: list[dict[str, Any]] = [
            {"choices": [{"delta": {"content": cut}} if chat else {"text": cut}]} for cut in cuts
        ]
        parts.append(
            {"choices": [{**({"delta": {}} if chat else {"text": ""}), "finish_reason": "stop"}], "usage": usage}
        )
        plain = json.dumps(whole).encode()
        events = [f"data: {one if isinstance(one, str) else json.dumps(one)}\n\n" for one in (*parts, "[DONE]")]
        if self._latency:
            await asyncio.sleep(self._latency)
        match kind:
            case "silence":
                await asyncio.sleep(_SILENT_SECONDS)
                return False
            case "429":
                return _send(writer, b'{"error": "slow down"}', "429 Slow", {"Retry-After": RETRY_AFTER})
            case "5xx":
                status = ("500 Broken", "502 Bad Gateway", "503 Loading")[self._tries[key] % 3]
                return _send(writer, b'{"error": "CUDA error"}', status)
            case "reset":
                writer.transport.abort()
                return False
            case "reset in a body":
                _send(writer, plain, cut=len(plain) // 2)
                await writer.drain()
                writer.transport.abort()
                return False
            case "cut JSON":
                return _send(writer, plain[: len(plain) // 2])
            case "cut stream":
                return _send(writer, "".join(events[: len(events) // 2]).encode(), kind="text/event-stream")
            case "garbage":
                return _send(writer, b'{"choices": [{]]\x00')
            case "web page":
                return _send(writer, b"<!DOCTYPE html><h1>Bad night</h1>", kind="text/html")
            case "no choices":
                return _send(writer, b'{"choices": []}')
            case "slow":
                await asyncio.sleep(_SLOW_SECONDS)
        while self.most is not None and self.distinct >= self.most:
            await asyncio.sleep(0.002)
        if body.get("stream"):
            _send(writer, "".join(events).encode(), kind="text/event-stream")
        else:
            _send(writer, plain)
        await writer.drain()
        self._answered.setdefault(key, time.monotonic())
        return True

    @property
    def distinct(self) -> int:
        """Requests that were answered at least once."""
        return len(self._answered)


def _read(body: dict[str, Any], number: int) -> dict[str, Any]:
    """A request with the prompt of its messages, if it has some, and with a seed: the number of the request, if none is
    told."""
    messages = body.get("messages", ())
    return {"prompt": "".join(one["content"] for one in messages), "seed": number} | body


def _send(
    writer: asyncio.StreamWriter,
    content: bytes,
    status: str = "200 OK",
    headers: dict[str, str] | None = None,
    *,
    kind: str = "application/json",
    cut: int | None = None,
) -> bool:
    told = {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    writer.write("\r\n".join(lines).encode() + content[:cut])
    return True


async def _serve(connection: Connection, chance: float, seed: int, latency: float) -> None:
    server = _Server(chance, seed, latency)
    listening = [await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**20) for _ in range(_ADDRESSES)]
    connection.send([f"http://127.0.0.1:{one.sockets[0].getsockname()[1]}/v1" for one in listening])
    while True:
        if (most := await asyncio.to_thread(connection.recv)) != _LOOK:
            server.most = most
        connection.send((dict(server.kinds), server.distinct, server.again))


def _run(connection: Connection, chance: float, seed: int, latency: float) -> None:
    asyncio.run(_serve(connection, chance, seed, latency))


class MoodyServer:
    """The server in a process; each fault meets the share `chance` of the requests, and each answer takes `latency`
    seconds. It answers chat requests, too; a request without a seed gets another answer each time."""

    def __init__(self, chance: float, seed: int = 0, latency: float = 0.0) -> None:
        self._here, there = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(target=_run, args=(there, chance, seed, latency), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self.urls: list[str] = self._here.recv()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.die()

    def die(self) -> None:
        self._process.kill()
        self._process.join()

    def look(self) -> tuple[dict[str, int], int, list[tuple[str, float, float]]]:
        """Requests by fault ("": none), how many different ones were answered, and of each that was asked again
        after its answer the name and the times of both."""
        self._here.send(_LOOK)
        return self._here.recv()

    def hold(self, most: int | None) -> None:
        """Give no further answers once `most` different requests are answered, however fast they come; None: go on."""
        self._here.send(most)
        self._here.recv()
