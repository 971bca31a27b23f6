"""A completions server of known capacity: so many requests at once, the others wait, and `/metrics` tells both.

It runs on an event loop in a thread, cheap enough for hundreds of requests at once, and remembers the beginnings of
prompts as an engine's prefix cache does: blocks of text, those forgotten first that were used longest ago.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from typing import Any, Self

from selfcodealign.models.affinity import BLOCK, split


class SlotServer:
    """`slots` requests at once, each for `seconds`, and `seconds_per_block` for each block of the prompt that is not in
    the cache of `blocks` blocks. `metrics` is the text of `/metrics`, with {running} and {waiting}; None: 404."""

    VLLM = 'vllm:num_requests_running{{engine="0"}} {running}.0\nvllm:num_requests_waiting{{engine="0"}} {waiting}.0\n'

    def __init__(
        self,
        slots: int,
        seconds: float,
        *,
        seconds_per_block: float = 0.0,
        blocks: int = 0,
        metrics: str | None = VLLM,
        card: dict[str, Any] | None = None,
        models: tuple[str, ...] = ("demo",),
        port: int = 0,
        says: str = "",
    ) -> None:
        self.slots, self.seconds, self.seconds_per_block, self.blocks = slots, seconds, seconds_per_block, blocks
        self.metrics, self.models, self.port, self.says = metrics, models, port, says
        self.card = {"owned_by": "vllm", **(card or {})}
        self.running = self.waiting = self.served = self.most_running = self.most_waiting = 0
        self.polls = self.lists = self.blocks_read = self.blocks_cached = 0
        self.busy_seconds = self.full_seconds = 0.0
        self._cache: OrderedDict[int, None] = OrderedDict()
        self._turns: list[asyncio.Future[None]] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def at_once(self) -> int:
        return self.running + self.waiting

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.die()

    def die(self) -> None:
        """Behave like a killed server: cut connections, refuse new ones."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def grow(self, slots: int) -> None:
        """Work on more requests at once, or on fewer."""
        self._loop.call_soon_threadsafe(self._set_slots, slots)

    def _set_slots(self, slots: int) -> None:
        self.slots = slots
        self._admit()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)

    async def _close(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lengths = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
                body = await reader.readexactly(int(lengths[0].split(":")[1])) if lengths else b""
                status, kind, content = await self._answer(head.split(" ", 2)[1], body)
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n".encode()
                    + content
                )
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        if path == "/metrics" and self.metrics is not None:
            self.polls += 1
            return 200, "text/plain", self.metrics.format(running=self.running, waiting=self.waiting).encode()
        if path == "/v1/models":
            self.lists += 1
            listed = {"object": "list", "data": [{"id": name, **self.card} for name in self.models]}
            return 200, "application/json", json.dumps(listed).encode()
        if path != "/v1/completions":
            self.polls += path == "/metrics"
            return 404, "application/json", b'{"detail": "Not Found"}'
        asked = json.loads(body)
        await self._enter()
        try:
            await asyncio.sleep(self.seconds + self.seconds_per_block * self._read(asked["prompt"]))
        finally:
            self.running -= 1
            self._admit()
        self.served += 1
        text = f"{self.says}{asked['prompt'][:8]}:{asked['seed']}"
        answer = {"choices": [{"text": text, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7}}
        return 200, "application/json", json.dumps(answer).encode()

    async def _enter(self) -> None:
        if self.running >= self.slots or self.waiting:
            turn = self._loop.create_future()
            self._turns.append(turn)
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
            await turn
        else:
            self.running += 1
        self.most_running = max(self.most_running, self.running)

    def _admit(self) -> None:
        while self._turns and self.running < self.slots:
            turn = self._turns.pop(0)
            self.waiting -= 1
            if not turn.done():
                self.running += 1
                turn.set_result(None)

    def _read(self, prompt: str) -> int:
        """Blocks of the prompt that are not in the cache; all of them are afterwards. The part of a block at the end
        of a prompt is read and not kept."""
        blocks = split(prompt)
        known = next((place for place, one in enumerate(blocks) if one not in self._cache), len(blocks))
        read = len(blocks) - known + (len(prompt) % BLOCK > 0)
        self.blocks_read, self.blocks_cached = self.blocks_read + read, self.blocks_cached + known
        for one in reversed(blocks):
            self._cache[one] = None
            self._cache.move_to_end(one)
        while len(self._cache) > self.blocks:
            self._cache.popitem(last=False)
        return read
