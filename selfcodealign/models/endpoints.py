"""Load balancing over servers that hold one model: choose the next server, begin with few requests, back off from
failing servers, slow down for those that limit the rate."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import urlsplit, urlunsplit

from selfcodealign.addresses import hide_address, is_incomplete
from selfcodealign.errors import ModelError
from selfcodealign.models.dialect import Dialect
from selfcodealign.models.silence import Silence

#: Back-off in seconds after an endpoint's first fault; doubled with every further fault.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0

#: A longer Retry-After is asked about after this many seconds, once the server has answered.
LONGEST_RETRY_AFTER = 120.0
#: Refusals for the rate, with no answer between them, after which the server gets nothing for a while; and responses
#: that are no completions after which another server is preferred.
LIMITED_IN_A_ROW, BAD_IN_A_ROW = 3, 3

#: Requests that a server gets at first, and after it has been silent; more while it takes them up.
FEW = 8
#: Faults in a row after which a server gets few requests again.
FAULTS_IN_A_ROW = 2
#: How far the number of requests at once falls after a refusal for the rate, and how fast it grows again. At one random
#: refusal in a hundred, about a fifth of 256 requests remain at once; half and one more would leave a twentieth.
SLOWER, FASTER = 0.7, 32
#: Seconds after which a waiting request looks for room by itself.
POLL = 1.0
#: Seconds without a fault after which the next fault is reported again.
SILENCE = 60.0


def normalize_url(url: str) -> str:
    """Return the base address of `/completions` and `/models`, without a trailing slash.

    >>> normalize_url("localhost:8000")
    'http://localhost:8000/v1'
    >>> normalize_url("https://host/api/v1/completions/")
    'https://host/api/v1'

    Raises `ModelError` for anything but an http(s) address.
    """
    text = url.strip()
    if is_incomplete(text):
        raise ModelError(
            f"model.urls holds {text}: user, password and query are not kept in recipe.toml; give the whole address "
            "again (--set 'model.urls=[\"...\"]'), or put the key in the environment variable of model.api_key_env"
        )
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is not a number
        usable = False
    # A second `//`, or a `@` behind the host, is left of an address that was mistyped: http//me:password@host.
    if not usable or "//" in parts.path or "@" in parts.path:
        raise ModelError(f'"{hide_address(url)}" is no server address; write it like http://localhost:8000/v1')
    path = parts.path.rstrip("/")
    for ending in ("/chat/completions", "/completions", "/models"):
        path = path.removesuffix(ending)
    if not any(re.fullmatch(r"v\d+\w*", segment) for segment in path.split("/")):
        path += "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


@dataclass
class Endpoint:
    """One server. Times are on the monotonic clock; `fault` is the last fault, "" after a success; `pause` is the
    Retry-After of the last refusal for the rate.

    The server gets no request before `ready_at`, the latest of `asked_until` (its Retry-After), `limited_until` (after
    refusals for the rate) and `backing_off_until` (after other faults), and never more than `limit` at once. The limit
    begins at `FEW`, and while `growing` it is twice as many as the server answers at once. After a refusal for the rate
    it is `SLOWER` times as many, and a `FASTER`th of `most` more after each round of answers.
    """

    url: str
    most: int = 256
    outstanding: int = 0
    served: int = 0
    faults: int = 0
    limited: int = 0
    bad: int = 0
    pause: float = 0.0
    slowed_at: float = float("-inf")
    asked_until: float = 0.0
    limited_until: float = 0.0
    backing_off_until: float = 0.0
    shunned_until: float = 0.0
    fault: str = ""
    said_at: float = float("-inf")
    growing: bool = True
    dialect: Dialect = field(default_factory=Dialect)
    silence: Silence = field(default_factory=Silence)
    limit: float = field(init=False)
    shown: str = field(init=False)

    def __post_init__(self) -> None:
        self.shown = hide_address(self.url)
        self.limit = float(min(self.most, FEW))

    @property
    def ready_at(self) -> float:
        return max(self.asked_until, self.limited_until, self.backing_off_until)

    @property
    def limits(self) -> bool:
        """Whether it limits the rate now: answers to earlier requests may still come in."""
        return self.limited > 0 or self.limited_until > time.monotonic()

    @property
    def room(self) -> int:
        """Requests that it may get now."""
        return max(0, int(self.limit) - self.outstanding) if self.ready_at <= time.monotonic() else 0

    def note_fault(self, fault: str, pause: float | None) -> None:
        """Back off for `pause` seconds, or exponentially if `pause` is None."""
        now = time.monotonic()
        self.fault = fault
        if pause is not None:
            self.asked_until = max(self.asked_until, now + pause)
        # Hundreds of requests fail together when a server dies; they count as one fault.
        elif now >= self.backing_off_until:
            self.faults += 1
            self.backing_off_until = now + grow_pause(self.faults)
            if self.faults >= FAULTS_IN_A_ROW:
                self.begin_again()

    def begin_again(self) -> None:
        """Give the server few requests: it has been silent or is starting, and would get all that wait at once."""
        self.limit, self.growing = min(self.limit, float(FEW)), True

    def note_limit(self, fault: str, pause: float | None, sent_at: float) -> None:
        """Slow down. Only a server that refuses one request after the other is left alone for `pause` seconds."""
        self.fault = fault
        self.limited += 1
        self.growing = False
        # Requests that were under way when the limit was lowered say nothing about the lower one.
        if sent_at >= self.slowed_at:
            self.limit = max(1.0, min(self.limit, self.outstanding + 1) * SLOWER)
            self.slowed_at = time.monotonic()
        self.pause = pause or 0.0
        if self.limited >= LIMITED_IN_A_ROW:
            wait = grow_pause(self.limited) if pause is None else pause
            self.limited_until = max(self.limited_until, time.monotonic() + wait)

    def note_bad(self, fault: str) -> None:
        """Remember a response that is no completion; after some in a row, other servers are preferred for a while."""
        self.fault = fault
        self.bad += 1
        if self.bad >= BAD_IN_A_ROW:
            self.shunned_until = time.monotonic() + grow_pause(self.bad)

    def note_begun(self) -> None:
        """The server has begun to write an answer: as many as it writes may wait."""
        if self.growing:
            self.limit = max(self.limit, min(float(self.most), 2.0 * self.silence.writing))

    def note_answer(self, *, streamed: bool) -> None:
        """Reset the back-off after a successful request."""
        self.served += 1
        self.faults = self.limited = self.bad = 0
        self.backing_off_until = self.shunned_until = 0.0
        self.fault = ""
        if not self.growing:
            self.limit = min(float(self.most), self.limit + max(1.0, self.most / FASTER) / self.limit)
        elif not streamed or self.silence.writing >= self.outstanding:  # none is known to wait at the server
            self.limit = min(float(self.most), self.limit + 1.0)

    def worth_saying(self) -> bool:
        """Return whether to report this fault: the first, and the first after `SILENCE`."""
        now = time.monotonic()
        quiet, self.said_at = now - self.said_at > SILENCE, now
        return quiet


def grow_pause(faults: int) -> float:
    """Seconds to wait after so many faults in a row."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(faults - 1, 16))


class Endpoints(Sequence[Endpoint]):
    """All servers of a model. A request takes one of them and releases it; those that wait are served in turn."""

    def __init__(self, urls: Sequence[str], most: int) -> None:
        self._all = [Endpoint(url, most) for url in urls]
        self._waiting: deque[asyncio.Event] = deque()

    def __getitem__(self, place: int) -> Endpoint:  # type: ignore[override]
        return self._all[place]

    def __len__(self) -> int:
        return len(self._all)

    @property
    def outstanding(self) -> int:
        """Requests in flight at all servers."""
        return sum(endpoint.outstanding for endpoint in self._all)

    def choose(self, avoid: Endpoint | None = None) -> Endpoint | None:
        """Return the endpoint with the fewest requests in flight (then fewest served); None if none has room.

        `avoid`, and endpoints that answer nonsense, are chosen only if there is no other.
        """
        now = time.monotonic()
        ready = [endpoint for endpoint in self._all if endpoint.room]
        return min(
            ready,
            key=lambda one: (one is avoid, one.shunned_until > now, one.outstanding, one.served),
            default=None,
        )

    async def take(self, avoid: Endpoint | None, blocked: Callable[[float], None]) -> Endpoint:
        """Wait for an endpoint with room and count a request as in flight there, until `release`.

        While all endpoints back off, `blocked` is called with the time when the first of them is ready; it may raise.
        """
        if not self._waiting and (endpoint := self.choose(avoid)):
            endpoint.outstanding += 1
            return endpoint
        turn = asyncio.Event()
        self._waiting.append(turn)
        try:
            while True:
                now, ready_at = time.monotonic(), min(endpoint.ready_at for endpoint in self._all)
                pause = POLL
                if ready_at > now:
                    blocked(ready_at)
                    # Jitter: hundreds of waiting requests must not hit a recovering server at one instant.
                    pause = (ready_at - now) * random.uniform(1.0, 1.25)
                with suppress(TimeoutError):
                    await asyncio.wait_for(turn.wait(), pause)
                turn.clear()
                if endpoint := self.choose(avoid):
                    endpoint.outstanding += 1
                    return endpoint
        finally:
            self._waiting.remove(turn)

    def release(self, endpoint: Endpoint) -> None:
        """End a request."""
        endpoint.outstanding -= 1
        self.wake()

    def wake(self) -> None:
        """There may be more room: as many waiting requests as there is room for look for it."""
        room = sum(one.room for one in self._all)
        for turn in islice(self._waiting, room):
            turn.set()
