"""Ctrl-C, SIGTERM and a closed terminal stop a command that resumes: in one line, with what is done on disk."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from selfcodealign.errors import UserError
from selfcodealign.judging.stopping import StoppedBySignal, cancelled_by_signals
from selfcodealign.progress import Progress

Result = TypeVar("Result")


def run_stoppable(work: Coroutine[Any, Any, Result], progress: Progress, done: str) -> Result:
    """Return what a coroutine returns. A signal cancels it; then the progress says that what is `done` is on disk.

    Raises `KeyboardInterrupt` after Ctrl-C, and `StoppedBySignal` after SIGTERM, which batch systems send before they
    kill, and after SIGHUP: a closed terminal.
    """

    async def watched() -> Result:
        with cancelled_by_signals((signal.SIGTERM, signal.SIGHUP)) as stop:
            try:
                return await work
            except (asyncio.CancelledError, UserError):  # the same signal may have ended a server or a child before
                if not stop.number:
                    raise
                raise StoppedBySignal(stop.number, f"stopped by {signal.Signals(stop.number).name}") from None

    try:
        return asyncio.run(watched())
    except (KeyboardInterrupt, StoppedBySignal):
        with suppress(OSError):  # the terminal may be closed
            progress.say(f"stopped; {done} on disk, and the same command resumes")
        raise


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Within the context, SIGTERM and SIGHUP raise `StoppedBySignal` in the main thread, as Ctrl-C raises
    `KeyboardInterrupt`: work without an event loop removes what it has begun. A second one ends the process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    taken = [number for number in before if before[number] is not signal.SIG_IGN]  # `nohup` stays in force

    def restore() -> None:
        for number in taken:
            signal.signal(number, before[number])

    def stop(number: int, _: object) -> None:
        restore()
        raise StoppedBySignal(number, f"stopped by {signal.Signals(number).name}")

    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()
