"""Run a coroutine from code that is not asynchronous, also where an event loop is running, as in a notebook."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_blocking(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Return what the coroutine of `work()` returns, and raise what it raises. Ctrl-C cancels it and is raised.

    Where a loop is running in this thread, the coroutine gets a thread and a loop of its own, because a loop cannot
    run inside another.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    return _run_in_thread(work)


def _run_in_thread(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    outcome: Future[Result] = Future()
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def told() -> Result:
        task = asyncio.current_task()
        assert task is not None
        begun.set_result((asyncio.get_running_loop(), task))
        return await work()

    def body() -> None:
        try:
            outcome.set_result(asyncio.run(told()))
        except BaseException as error:  # re-raised in the waiting thread
            outcome.set_exception(error)

    thread = threading.Thread(target=body, name="selfcodealign")
    thread.start()
    try:
        return outcome.result()
    except KeyboardInterrupt:
        loop, task = begun.result()
        if not outcome.done():
            loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        thread.join()
