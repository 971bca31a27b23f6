"""Time-outs by the silence of a server: a request that waits in a server's queue is not late.

A server under load works on some requests and lets others wait. What tells a dead server from a busy one is whether
anything comes from it, so a request is given up

    when nothing at all has come from its server for `seconds`,
    when it has begun to be answered, and nothing more has come of it for `seconds`,
    when a request sent after it has begun to be answered, and nothing has come of it for `seconds` since.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

#: Time for what has come to be read before a request is given up.
HEARING_SECONDS = 0.05


@dataclass(eq=False)
class Watched:
    """A request under way; `since` is the last sign of it, or the time when a later request overtook it."""

    seconds: float
    ended: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))
    begun: bool = False
    since: float | None = None


class Silence:
    """The requests under way at one server. Times are on the monotonic clock."""

    def __init__(self) -> None:
        self._heard_at = float("-inf")
        self._watched: dict[Watched, None] = {}  # in the order of sending
        self._waiting: dict[Watched, None] = {}  # of these, the ones of which nothing has come
        self._timer: asyncio.TimerHandle | None = None

    @property
    def writing(self) -> int:
        """Requests that are being answered."""
        return len(self._watched) - len(self._waiting)

    @property
    def lasts(self) -> bool:
        """Whether nothing at all has come of the requests under way for as long as they wait."""
        first = next(iter(self._watched), None)
        return first is not None and self._heard_at + first.seconds <= time.monotonic() + 0.001

    @contextmanager
    def watch(self, seconds: float) -> Iterator[Watched]:
        """Count a request as under way; `Watched.ended` has to be entered, and ends it with `TimeoutError`."""
        one = Watched(seconds)
        if not self._watched:
            self._heard_at = time.monotonic()
        self._watched[one] = self._waiting[one] = None
        if self._timer is None:
            self._wake_at(time.monotonic() + seconds)
        try:
            yield one
        finally:
            del self._watched[one]
            self._waiting.pop(one, None)
            if not self._watched and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def hear(self, one: Watched, *, answering: bool = True) -> bool:
        """Something has come of a request; returns whether it is the first part of its answer.

        It is no answer yet if it is not `answering`: servers keep the connections of their queue alive with comments.
        """
        self._heard_at = one.since = now = time.monotonic()
        if one.begun or not answering:
            return False
        one.begun = True
        for other in self._waiting:
            if other is one:
                break
            if other.since is None:
                other.since = now
        del self._waiting[one]
        return True

    def _wake_at(self, moment: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, moment - time.monotonic()), self._let_hear)

    def _let_hear(self) -> None:
        """What has come while this process was held up is heard first."""
        self._timer = asyncio.get_running_loop().call_later(HEARING_SECONDS, self._end_late)

    def _end_late(self) -> None:
        """End the requests that are late, and come back when the next one may be."""
        self._timer = None
        loop, now, next_at = asyncio.get_running_loop(), time.monotonic(), float("inf")
        for one in self._watched:
            late_at = (self._heard_at if one.since is None else one.since) + one.seconds
            if late_at <= now + 0.001:
                if one.ended.when() is None:
                    one.ended.reschedule(loop.time())
            else:
                next_at = min(next_at, late_at)
        if self._watched:
            self._wake_at(min(next_at, now + next(iter(self._watched)).seconds))
