"""An event loop whose clock jumps to the next timer: hours of waiting pass at once, in the same order every time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Nothing may wait for a thread, a process or a socket."""

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self))
        self.now = 0.0

    def time(self) -> float:
        return self.now


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "a task waits for something that no timer brings"
        self._loop.now += timeout
        return super().select(0)


def run_in_virtual_time(work: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """What the work returns, and the seconds that it would have taken."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work), runner.get_loop().time()
