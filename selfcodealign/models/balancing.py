"""Which server gets which request: the one that has read the beginning of its prompt while loads are balanced, else
the one with the fewest requests. Requests that find no room wait, and are handed a server as soon as one has room."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from selfcodealign.models.affinity import Affinity, split
from selfcodealign.models.endpoints import Endpoint

#: Seconds after which waiting requests look for room by themselves.
POLL = 1.0
#: Requests that a server may have more than the least busy one, and as a share of those, to get a prompt that it knows.
MARGIN, MARGIN_SHARE = 4, 0.25
#: Waiting requests among which one is looked for that belongs to the server with room; and how often the first of them
#: is passed over.
LOOKED_AT, PASSED_OVER = 32, 64


@dataclass(eq=False)
class _Turn:
    """A request that waits. `blocked` is told when the first server is ready while none is; it may raise."""

    blocks: list[int]
    length: int
    avoid: Endpoint | None
    blocked: Callable[[float], None]
    given: asyncio.Future[Endpoint] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    passed_over: int = 0


class Endpoints(Sequence[Endpoint]):
    """All servers of a model. A request takes one of them and releases it; those that wait are served in turn."""

    def __init__(self, urls: Sequence[str], most: int) -> None:
        self._all = [Endpoint(url, most) for url in urls]
        self._numbers = {endpoint: number for number, endpoint in enumerate(self._all)}
        self._waiting: OrderedDict[_Turn, None] = OrderedDict()
        self._affinity = Affinity()
        self._timer: asyncio.TimerHandle | None = None

    def __getitem__(self, place: int) -> Endpoint:  # type: ignore[override]
        return self._all[place]

    def __len__(self) -> int:
        return len(self._all)

    @property
    def outstanding(self) -> int:
        """Requests in flight at all servers."""
        return sum(endpoint.outstanding for endpoint in self._all)

    @property
    def gone_since(self) -> float | None:
        """Since when all servers are away; None while one is not."""
        since = [one.away_since for one in self._all if not one.refused]
        return None if None in since else max((moment for moment in since if moment is not None), default=0.0)

    def choose(self, avoid: Endpoint | None = None, blocks: Sequence[int] = ()) -> Endpoint | None:
        """Return the server for a prompt with these blocks; None if none has room.

        `avoid`, and servers that answer nonsense, are chosen only if there is no other.
        """
        ready = [endpoint for endpoint in self._all if endpoint.room]
        if len(ready) < 2:
            return ready[0] if ready else None
        now = time.monotonic()

        def rank(one: Endpoint) -> tuple[bool, bool, int, int, int]:
            return one is avoid, one.shunned_until > now, one.outstanding, one.assigned, one.served

        least = min(ready, key=rank)
        home = self._home(blocks)
        if home is None or home is least or not home.room or rank(home)[:2] > rank(least)[:2]:
            return least
        margin = max(MARGIN, least.outstanding * MARGIN_SHARE)
        return home if home.outstanding <= least.outstanding + margin else least

    async def take(self, prompt: str, avoid: Endpoint | None, blocked: Callable[[float], None]) -> Endpoint:
        """Wait for a server with room and count a request as in flight there, until `release`.

        While no server can be used, `blocked` is called with the time when the first of them may be; it may raise.
        """
        blocks = split(prompt) if len(self._all) > 1 else []
        if not self._waiting and (endpoint := self.choose(avoid, blocks)):
            self._give(endpoint, blocks, len(prompt))
            return endpoint
        if (until := self._blocked_until()) is not None:
            blocked(until)
        turn = _Turn(blocks, len(prompt), avoid, blocked)
        self._waiting[turn] = None
        if avoid is not None:  # it has been asked before, and its patience runs
            self._waiting.move_to_end(turn, last=False)
        self._arm()
        try:
            return await turn.given
        except asyncio.CancelledError:
            if turn.given.done() and not turn.given.cancelled() and turn.given.exception() is None:
                self.release(turn.given.result())
            raise
        finally:
            self._waiting.pop(turn, None)

    def release(self, endpoint: Endpoint) -> None:
        """End a request."""
        endpoint.outstanding -= 1
        self.wake()

    def wake(self) -> None:
        """Something has changed: hand servers with room to requests that wait, or tell them that there is none."""
        while self._waiting:
            ready = [endpoint for endpoint in self._all if endpoint.room]
            if not ready:
                break
            turn, endpoint = self._match(ready)
            del self._waiting[turn]
            if not turn.given.done():  # it is when its task was cancelled
                self._give(endpoint, turn.blocks, turn.length)
                turn.given.set_result(endpoint)
        if self._waiting and (until := self._blocked_until()) is not None:
            self._tell(until)

    def _give(self, endpoint: Endpoint, blocks: list[int], length: int) -> None:
        endpoint.outstanding += 1
        endpoint.assigned += length
        if blocks:
            self._affinity.note(blocks, self._numbers[endpoint])

    def _home(self, blocks: Sequence[int]) -> Endpoint | None:
        if not blocks:
            return None
        number = self._affinity.home(blocks)
        return None if number is None else self._all[number]

    def _match(self, ready: list[Endpoint]) -> tuple[_Turn, Endpoint]:
        """A request that waits and the server that it gets: one whose beginning the server knows, else one whose
        beginning no server knows, else the first."""
        first = next(iter(self._waiting))
        chosen: _Turn | None = None
        if len(self._all) > 1 and first.passed_over < PASSED_OVER:
            for turn in islice(self._waiting, LOOKED_AT):
                home = self._home(turn.blocks)
                if home in ready and home is not turn.avoid:
                    chosen = turn
                    break
                if home is None and chosen is None:
                    chosen = turn
        turn = chosen or first
        first.passed_over += turn is not first
        endpoint = self.choose(turn.avoid, turn.blocks)
        assert endpoint is not None  # some are ready
        return turn, endpoint

    # ------------------------------------------------------------------------------------------- no server is ready

    def _blocked_until(self) -> float | None:
        """When the first server may be ready; None if one is."""
        if any(endpoint.usable for endpoint in self._all):
            return None
        ready_at = [endpoint.ready_at for endpoint in self._all if not endpoint.refused]
        return max(time.monotonic(), min(ready_at, default=0.0))

    def _tell(self, until: float) -> None:
        for turn in list(self._waiting):
            try:
                turn.blocked(until)
            except Exception as error:  # the request's error, raised where it waits
                self._waiting.pop(turn)
                if not turn.given.done():
                    turn.given.set_exception(error)

    def _arm(self) -> None:
        """Look again when a server may be ready, and now and then."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        pause = min([POLL, *(one.ready_at - now for one in self._all if one.ready_at > now)])
        if self._timer is not None:
            if self._timer.when() <= loop.time() + pause:
                return
            self._timer.cancel()
        self._timer = loop.call_later(pause, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self.wake()
        if self._waiting:
            self._arm()
