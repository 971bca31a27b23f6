"""What becomes of a response that is no completion: how long its request is asked again, and what ends it.

transient (5xx, timeouts, dropped connections)   retried for `retry_seconds`, on another server at once; then the
                                                 row is dropped if others were answered, else the run ends
429                                              the client slows down, the request waits for its Retry-After
anything else, before any server has answered    the run ends with one line: it is the wrong server
anything else, later                             a few tries, more while other requests fail, too (see `moods`);
                                                 then the row is dropped; the run ends when many are
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from selfcodealign.errors import ModelError
from selfcodealign.models import RequestFailed, endpoints
from selfcodealign.models.balancing import Endpoints
from selfcodealign.models.dialect import ADDED
from selfcodealign.models.endpoints import Endpoint, grow_pause
from selfcodealign.models.faults import PassingFault, Refused, RequestFault
from selfcodealign.models.health import Health
from selfcodealign.models.meeting import Meeting
from selfcodealign.models.moods import TRIES, Moods
from selfcodealign.models.request import Beginning, Request

if TYPE_CHECKING:
    from selfcodealign.settings import ModelSettings

#: Different requests, none answered in between, after whose refusal a key is revoked or a model gone.
_LOCKED_OUT = 3
#: A server that has answered may limit the rate for this long without answering anything, if `retry_seconds` is less.
_LIMITED_SECONDS = 60.0


class Patience:
    """Waits before a request is asked again, or raises what ends it, by what all requests have met so far.

    `check` is called at every fault and may raise an error that makes waiting pointless.
    """

    def __init__(
        self,
        settings: ModelSettings,
        servers: Endpoints,
        meeting: Meeting,
        health: Health,
        check: Callable[[], None],
    ) -> None:
        self._retry_seconds = settings.retry_seconds
        self._endpoints = servers
        self._meeting = meeting
        self._health = health
        self._check = check
        self._moods = Moods(settings.concurrency)
        self._beginning = Beginning()
        self._answered_at = 0.0
        self._locked_out: set[Request] = set()

    def note_answer(self, request: Request) -> None:
        """A server has answered a request."""
        self._answered_at = time.monotonic()
        if not request.tries:
            self._moods.note(bad=False)
        self._beginning.note_answer()
        self._locked_out.clear()

    def note_rest(self) -> None:
        """No request is in flight."""
        self._beginning.note_rest()

    # ----------------------------------------------------------------------------------------- transient faults

    async def pass_over(
        self, request: Request, endpoint: Endpoint, fault: PassingFault, sent_at: float, *, lost: bool = False
    ) -> None:
        """After a transient fault: wait as long as it takes before asking again, or give up. `lost` tells that the
        connection broke."""
        self._check()
        # llama-cpp-python fails with 500 where its model was loaded without them.
        if ADDED in request.body and endpoint.learn(str(fault), {ADDED: request.body[ADDED]}):
            return
        request.avoid = endpoint
        text = self._meeting.hide(str(fault))
        if fault.limited:
            await self._slow_down(request, endpoint, text, fault.pause, sent_at)
            return
        now = time.monotonic()
        request.first_fault = request.first_fault or now
        endpoint.note_fault(text, fault.pause, lost=lost)
        self._health.probe(endpoint)
        others = any(not (one.faults or one.away or one.refused) for one in self._endpoints if one is not endpoint)
        endpoint.say("using the other servers" if others else "trying again")
        if now >= request.first_fault + self._retry_seconds:
            if self._answered_at > request.first_fault:  # the server lives: this request is what it cannot do
                raise RequestFailed(text, "no_answer")
            raise self._give_up(self._retry_seconds)

    async def _slow_down(
        self, request: Request, endpoint: Endpoint, text: str, pause: float | None, sent_at: float
    ) -> None:
        """After a refusal for the rate: the server gets fewer requests, and this one waits."""
        now = time.monotonic()
        # A server that limits the rate is alive: its faults before that are over.
        request.first_fault, request.first_limit = None, request.first_limit or now
        request.limits += 1
        waited_for = self._beginning.answered or self._endpoints.outstanding > 0
        if pause is not None and waited_for:
            pause = min(pause, endpoints.LONGEST_RETRY_AFTER)
        endpoint.note_limit(text, pause, sent_at)
        endpoint.say(f"at most {int(endpoint.limit)} requests at once for now")
        pause = grow_pause(request.limits) if pause is None else pause
        self.bear(request, now if waited_for else now + pause, limited=True)
        if self._endpoints.choose(endpoint) in (None, endpoint):
            await asyncio.sleep(pause * random.uniform(1.0, 1.25))

    def bear(self, request: Request, until: float, *, limited: bool = False) -> None:
        """Raise `ModelError` if a request that has to wait `until` then has waited too long.

        A server that limits the rate is waited for as long as it answers other requests, however long this one waits.
        """
        self._check()
        begun, patience = request.first_fault, self._retry_seconds
        if all(endpoint.refused for endpoint in self._endpoints):
            raise ModelError(self._name_refused())
        gone = self._endpoints.gone_since
        if gone is not None and until >= gone + patience:
            raise self._give_up(patience)
        if begun is not None and self._answered_at > begun:
            return  # the server lives: its next answer to this request decides
        if limited or any(endpoint.limits for endpoint in self._endpoints):
            if self._endpoints.outstanding:
                return
            begun = request.first_limit or time.monotonic()
            if self._beginning.answered:
                begun = max(begun, self._answered_at)
                patience = max(patience, _LIMITED_SECONDS, 3 * max(endpoint.pause for endpoint in self._endpoints))
        if begun is not None and until >= begun + patience:  # faults of other requests are not this one's
            raise self._give_up(patience)

    def _name_refused(self) -> str:
        found = "; ".join(f"{endpoint.shown} {endpoint.refused}" for endpoint in self._endpoints)
        return f"no server holds the model any more ({found}); finished rows are kept: start it again with that model"

    def _give_up(self, patience: float) -> ModelError:
        faults = "; ".join(f"{endpoint.shown}: {endpoint.fault or 'no answer'}" for endpoint in self._endpoints)
        fix = "start the server again and repeat the command"
        if any(endpoint.limits for endpoint in self._endpoints):
            fix = "the server limits the rate; lower model.concurrency or set model.requests_per_minute, and repeat"
        return ModelError(f"no answer for {patience:g} s ({faults}); finished rows are kept: {fix}")

    # --------------------------------------------------------------------------- responses that are no completions

    async def try_again(self, request: Request, endpoint: Endpoint, fault: RequestFault) -> None:
        """After a response that is no completion: prepare another try, or raise what comes of it."""
        status = fault.status if isinstance(fault, Refused) else 0
        refused = isinstance(fault, Refused) and status in (400, 422, 501)
        if refused and endpoint.learn(fault.told, request.body):
            return
        message = self._meeting.hide(str(fault))
        endpoint.note_bad(message)
        request.tries, request.avoid = request.tries + 1, endpoint
        now = time.monotonic()
        request.first_bad = request.first_bad or now
        lasting = status in (401, 403, 404)
        if lasting:
            self._locked_out.add(request)
        elif request.tries == 1:
            self._moods.note(bad=True)
        to_decide = not fault.broken_off or request.tries >= TRIES
        if not self._beginning.answered and to_decide and self._endpoints.outstanding:
            await self._beginning.wait()
        # What says no is believed at once; half an answer or a proxy's page may be an accident.
        if not self._beginning.answered and (isinstance(fault, Refused) or request.tries >= TRIES):
            raise await self._meeting.explain(endpoint, fault)
        if request.tries >= TRIES:
            if lasting and len(self._locked_out) >= _LOCKED_OUT:
                raise await self._meeting.explain(endpoint, fault)
            too_late = now >= request.first_bad + self._retry_seconds
            if too_late and self._answered_at < request.first_bad and self._moods.share >= 0.5:
                raise self._give_up(self._retry_seconds)  # nobody is answered, and most have failed
            if lasting or too_late or request.tries >= self._moods.tries(refused=isinstance(fault, Refused)):
                raise RequestFailed(message, fault.reason)
        if len(self._endpoints) == 1 or request.tries > 1:
            await asyncio.sleep(grow_pause(request.tries) * random.uniform(0.25, 0.75))
