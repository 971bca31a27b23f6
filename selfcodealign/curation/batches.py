"""Many concurrent calls, worked on together: what costs a process per batch costs little per call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batches(Generic[T, R]):
    """A coroutine function of one item that works on all items that wait, at most `most`, one batch at a time.

    `work` returns a result for each item, in order. One of the waiting calls does the work of its batch, so a call
    that is cancelled, or fails, ends the batch it works on; calls that still wait are worked on by the next one.
    """

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[Sequence[R]]], most: int) -> None:
        self._work, self._most = work, most
        self._waiting: dict[asyncio.Future[R], T] = {}
        self._lock = asyncio.Lock()

    async def __call__(self, item: T) -> R:
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting[result] = item
        try:
            async with self._lock:
                if not result.done():
                    await self._run()
        finally:
            self._waiting.pop(result, None)
        return result.result()

    async def _run(self) -> None:
        """Work on the items that have waited longest, the caller's among them: the lock is given in their order."""
        await asyncio.sleep(0)  # calls made together begin together
        batch = dict(islice(self._waiting.items(), self._most))
        results = await self._work(list(batch.values()))
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.done():
                waiting.set_result(result)
            self._waiting.pop(waiting, None)
