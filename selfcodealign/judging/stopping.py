"""SIGTERM, Ctrl-C and a closed terminal end work cleanly; a second one ends it at once."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from selfcodealign.errors import UserError

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StoppedBySignal(UserError):
    """A signal stopped the work; the message says what is left of it."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class Stop:
    """`number` is the signal that came, 0 before one has."""

    number = 0


@contextmanager
def cancelled_by_signals(numbers: Sequence[signal.Signals] = _SIGNALS) -> Iterator[Stop]:
    """Within the context, the first of these signals cancels the current task. In other threads than the main one, none
    does."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    before = {number: signal.getsignal(number) for number in numbers}
    taken = [number for number in numbers if before[number] not in (signal.SIG_IGN, None)]  # `nohup` stays in force

    def restore() -> None:
        for number in taken:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])

    def cancel(number: int) -> None:
        stop.number = number
        restore()
        task.cancel()

    for number in taken:
        loop.add_signal_handler(number, cancel, number)
    try:
        yield stop
    finally:
        restore()
