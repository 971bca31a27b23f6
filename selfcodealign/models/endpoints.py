"""One server of a model: how many requests it has and may get, what it answered last, and when it gets more."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from selfcodealign.addresses import hide_address
from selfcodealign.models.dialect import Dialect
from selfcodealign.models.metrics import Queue
from selfcodealign.models.silence import Silence
from selfcodealign.models.window import Window

_log = logging.getLogger(__name__)

#: Back-off in seconds after an endpoint's first fault; doubled with every further fault.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0

#: A longer Retry-After is asked about after this many seconds, once the server has answered.
LONGEST_RETRY_AFTER = 120.0
#: Refusals for the rate, with no answer between them, after which the server gets nothing for a while; and responses
#: that are no completions after which another server is preferred.
LIMITED_IN_A_ROW, BAD_IN_A_ROW = 3, 3
#: Faults in a row after which a server is probed instead of getting requests, and few of them when it is back.
FAULTS_IN_A_ROW = 2
#: Seconds without a fault after which the next fault is reported again.
SILENCE = 60.0


@dataclass(frozen=True, slots=True)
class ServerState:
    """What is known of a server now: `faults` are all transient ones so far, `waiting` is the queue that it tells."""

    address: str
    limit: int
    under_way: int
    served: int
    faults: int
    waiting: int | None
    state: Literal["ready", "backing off", "limited", "refused"]


@dataclass(eq=False)
class Endpoint:
    """One server. Times are on the monotonic clock; `fault` is the last fault, "" after a success; `pause` is the
    Retry-After of the last refusal for the rate; `told` tells that a fault was reported, and no return since; `lost`
    that a connection broke, and no probe was answered since.

    The server gets no request before `ready_at`, the latest of `asked_until` (its Retry-After), `limited_until` (after
    refusals for the rate) and `backing_off_until` (after other faults), nor while it is `away` (it has to answer a
    probe first) or `refused` (it holds another model; the text says which), and never more than `limit` at once.
    """

    url: str
    most: int = 256
    outstanding: int = 0
    assigned: int = 0
    served: int = 0
    faults: int = 0
    all_faults: int = 0
    limited: int = 0
    bad: int = 0
    pause: float = 0.0
    asked_until: float = 0.0
    limited_until: float = 0.0
    backing_off_until: float = 0.0
    shunned_until: float = 0.0
    away_since: float | None = None
    lost: bool = False
    refused: str = ""
    fault: str = ""
    said_at: float = float("-inf")
    told: bool = False
    dialect: Dialect = field(default_factory=Dialect)
    silence: Silence = field(default_factory=Silence)
    queue: Queue | None = None
    window: Window = field(init=False)
    shown: str = field(init=False)

    def __post_init__(self) -> None:
        self.shown = hide_address(self.url)
        self.window = Window(self.most)

    @property
    def limit(self) -> float:
        """Requests that it may have at once."""
        return self.window.limit

    @property
    def away(self) -> bool:
        """Whether it gets no request before it has answered a probe."""
        return self.away_since is not None

    @property
    def ready_at(self) -> float:
        return max(self.asked_until, self.limited_until, self.backing_off_until)

    @property
    def usable(self) -> bool:
        """Whether it gets requests now, as far as there is room."""
        return not (self.refused or self.away) and self.ready_at <= time.monotonic()

    @property
    def limits(self) -> bool:
        """Whether it limits the rate now: answers to earlier requests may still come in."""
        return self.limited > 0 or self.limited_until > time.monotonic()

    @property
    def room(self) -> int:
        """Requests that it may get now."""
        room = int(self.window.limit) - self.outstanding
        return room if room > 0 and self.usable else 0

    def describe(self) -> ServerState:
        """What is known of it now."""
        state: Literal["ready", "backing off", "limited", "refused"] = "ready"
        if self.refused:
            state = "refused"
        elif self.away or self.backing_off_until > time.monotonic():
            state = "backing off"
        elif self.limits or self.asked_until > time.monotonic():
            state = "limited"
        waiting = None if self.queue is None else int(self.queue.waiting)
        limit = int(self.window.limit)
        return ServerState(self.shown, limit, self.outstanding, self.served, self.all_faults, waiting, state)

    def note_fault(self, fault: str, pause: float | None, *, lost: bool = False) -> None:
        """Back off for `pause` seconds, or exponentially if `pause` is None; `lost` tells that the connection broke."""
        now = time.monotonic()
        self.fault = fault
        self.all_faults += 1
        self.window.note_fault()
        if pause is not None:
            self.asked_until = max(self.asked_until, now + pause)
            return
        # Hundreds of requests fail together when a server dies; they count as one fault.
        if now >= self.backing_off_until:
            self.faults += 1
            self.backing_off_until = now + grow_pause(self.faults)
            if self.faults >= FAULTS_IN_A_ROW:
                self.window.begin_again()
        if (lost or self.faults >= FAULTS_IN_A_ROW) and self.away_since is None:
            self.away_since = now
        self.lost = self.lost or lost

    def note_absence(self, fault: str) -> None:
        """A probe found nothing: the next one comes later."""
        self.fault = fault
        self.faults += 1
        self.backing_off_until = time.monotonic() + grow_pause(self.faults)
        if self.away_since is None:
            self.away_since = time.monotonic()

    def note_return(self) -> None:
        """It has answered a probe. The next fault backs off for longer, unless an answer comes before."""
        self.away_since, self.lost, self.refused, self.backing_off_until = None, False, "", 0.0
        self.window.begin_again()

    def begin_again(self) -> None:
        """A request has got no answer in time; if no other one has either, few are sent next, after a probe."""
        if self.silence.lasts:
            self.window.begin_again()
            self.away_since = self.away_since or time.monotonic()

    def note_limit(self, fault: str, pause: float | None, sent_at: float) -> None:
        """Slow down. Only a server that refuses one request after the other is left alone for `pause` seconds."""
        self.fault = fault
        self.limited += 1
        self.window.note_refusal(sent_at, self.outstanding + 1)
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
        self.window.note_begun(self.silence.writing)

    def note_answer(self, *, streamed: bool) -> None:
        """Reset the back-off after a successful request. Once a connection broke, the answer may be that of a process
        that was started since: only a probe tells which model it holds."""
        self.served += 1
        self.faults = self.limited = self.bad = 0
        self.backing_off_until = self.shunned_until = 0.0
        if not self.lost:
            self.away_since = None
        self.fault = ""
        self.window.note_answer(queued=streamed and self.silence.writing < self.outstanding)

    def note_queue(self, queue: Queue | None) -> None:
        """The server tells its queue; None if it does not any more."""
        self.queue = queue
        if queue is None:
            self.window.forget_queue()
        else:
            self.window.note_queue(queue.running, queue.waiting, self.outstanding)

    def say(self, consequence: str) -> None:
        """Report the fault and what follows from it: the first time, and again after `SILENCE`."""
        now = time.monotonic()
        quiet, self.said_at = now - self.said_at > SILENCE, now
        self.told = self.told or quiet
        if quiet:
            _log.warning("%s fails (%s); %s", self.shown, self.fault, consequence)

    def learn(self, told: str, sent: dict[str, Any]) -> bool:
        """Whether a refusal tells what to leave out of the request `sent`; said the first time."""
        learnt, said = self.dialect.learn(told, sent)
        self.say_learnt(said)
        return learnt

    def say_learnt(self, said: str) -> None:
        """Report what its dialect has learnt; "" if it knew that."""
        if said:
            _log.warning("%s: %s", self.shown, said)


def grow_pause(faults: int) -> float:
    """Seconds to wait after so many faults in a row."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(faults - 1, 16))
