"""Watch the servers of a model beside its requests: probe those that are away, and read the queues of those at work.

A server that fails gets no requests until it has answered a probe: the list of its models, because a server that was
started again may hold another model. Probes come after growing pauses. A queue is read every few seconds while requests
are under way; a server that does not tell it is not asked again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from selfcodealign.errors import ModelError
from selfcodealign.models import endpoints
from selfcodealign.models.endpoints import Endpoint
from selfcodealign.models.faults import PassingFault
from selfcodealign.models.listing import holds_model, name_models
from selfcodealign.models.metrics import read_queue

_log = logging.getLogger(__name__)

#: Seconds between two looks at a server's queue, before the first one, and at most where the server is slow to answer.
POLL_SECONDS, FIRST_POLL, LONGEST_POLL = 2.0, 0.25, 60.0
#: How long a probe waits.
PROBE_SECONDS = 10.0

#: What a model's card says of the weights. `created` is the time of the question in vLLM, SGLang and llama.cpp, and
#: `max_model_len` an option of the server: both differ between two starts with one model.
_OF_WEIGHTS = ("root", "parent", "digest")
_OF_WEIGHTS_IN_META = ("n_params", "n_vocab", "n_embd", "size")

#: Asks for a server's models by name; raises `PassingFault` or `ModelError`.
AskModels = Callable[[Endpoint], Awaitable[dict[str, dict[str, Any]]]]
#: Reads an address within some seconds: status and text; raises `PassingFault`.
Get = Callable[[str, float], Awaitable[tuple[int, str]]]


class Health:
    """Probes and polls. `note_change` is called when a server may get more requests, or none is left."""

    def __init__(self, ask_models: AskModels, get: Get, note_change: Callable[[], None]) -> None:
        self._ask_models = ask_models
        self._get = get
        self._note_change = note_change
        self._name = ""
        self._weights: dict[Endpoint, dict[str, str]] = {}
        self._probes: dict[Endpoint, asyncio.Task[None]] = {}
        self._polls: dict[Endpoint, asyncio.Task[None]] = {}
        self._untold: set[Endpoint] = set()
        self._answered: dict[Endpoint, asyncio.Event] = {}

    def know(self, name: str, met: list[tuple[Endpoint, dict[str, dict[str, Any]]]]) -> None:
        """Remember the model and what each server listed at the start."""
        self._name = name
        for endpoint, held in met:
            self._weights[endpoint] = weights_of(_card(held, name))

    async def close(self) -> None:
        """End all probes and polls."""
        tasks = [*self._probes.values(), *self._polls.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ----------------------------------------------------------------------------------------------------- probes

    def probe(self, endpoint: Endpoint) -> None:
        """Probe a server that is away until it is back; one that is not away is left alone."""
        if endpoint.away and endpoint not in self._probes:
            self._answered[endpoint] = asyncio.Event()
            self._probes[endpoint] = asyncio.create_task(self._probe(endpoint))

    async def confirm(self, endpoint: Endpoint) -> bool:
        """Whether an answer may count that came after a connection to its server broke: not if a probe finds another
        model there, because the answer may be that one's."""
        if endpoint.lost and endpoint in self._probes:
            await self._answered[endpoint].wait()
        return not endpoint.refused

    async def _probe(self, endpoint: Endpoint) -> None:
        try:
            await self._probe_until_back(endpoint)
        finally:
            # At once, and not when the task's callbacks run: a server lost in between would not be probed again.
            self._probes.pop(endpoint, None)
            self._answered[endpoint].set()

    async def _probe_until_back(self, endpoint: Endpoint) -> None:
        left_at = time.monotonic()
        if endpoint.lost and endpoint.faults <= 1:  # mostly one connection, not the server
            endpoint.backing_off_until = 0.0
        while endpoint.away:
            await asyncio.sleep(max(0.0, endpoint.ready_at - time.monotonic()))
            if not endpoint.away:  # an earlier request has been answered
                return
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    held = await self._ask_models(endpoint)
            except TimeoutError:
                endpoint.note_absence("no answer in time")
            except (PassingFault, ModelError) as error:
                endpoint.note_absence(str(error))
            else:
                if problem := self._find_change(endpoint, held):
                    self._refuse(endpoint, problem)
                elif endpoint.away:
                    self._weights.setdefault(endpoint, weights_of(_card(held, self._name)))
                    endpoint.note_return()
                    if endpoint.told:
                        _log.warning("%s is back after %.0f s", endpoint.shown, time.monotonic() - left_at)
                        endpoint.told = False
            self._answered[endpoint].set()
            self._note_change()

    def _find_change(self, endpoint: Endpoint, held: dict[str, dict[str, Any]]) -> str:
        """Say which other model a server holds now; "" if it is the one that it held, or does not tell."""
        if held and not holds_model(held, self._name):
            return name_models(self._name, list(held))
        before, now = self._weights.get(endpoint, {}), weights_of(_card(held, self._name))
        changed = [key for key in before if key in now and before[key] != now[key]]
        return "; ".join(f'lists {key} {now[key]} for "{self._name}", and had {before[key]}' for key in changed)

    def _refuse(self, endpoint: Endpoint, problem: str) -> None:
        """Leave a server out; it is asked again now and then whether it holds the model."""
        if endpoint.refused != problem:
            _log.warning("%s came back with another model and is left out: it %s", endpoint.shown, problem)
        endpoint.refused = endpoint.fault = problem
        endpoint.told = True
        endpoint.backing_off_until = time.monotonic() + endpoints.LONGEST_PAUSE

    # ------------------------------------------------------------------------------------------------------ queues

    def poll(self, endpoint: Endpoint) -> None:
        """Read the queue of a server from now on, while it has requests."""
        if endpoint not in self._polls and endpoint not in self._untold:
            task = self._polls[endpoint] = asyncio.create_task(self._poll(endpoint))
            task.add_done_callback(lambda _: self._polls.pop(endpoint, None))

    async def _poll(self, endpoint: Endpoint) -> None:
        address, pause = f"{endpoint.url.rpartition('/')[0]}/metrics", FIRST_POLL
        while True:
            await asyncio.sleep(pause)
            if not endpoint.outstanding:
                return
            try:
                status, text = await self._get(address, POLL_SECONDS)
            except PassingFault:
                endpoint.note_queue(None)
                pause = min(LONGEST_POLL, 2 * max(pause, POLL_SECONDS))
                continue
            queue = read_queue(text) if status == 200 else None
            if queue is None and (status < 500 or status == 501):
                self._untold.add(endpoint)
                endpoint.note_queue(None)
                return
            endpoint.note_queue(queue)
            self._note_change()
            pause = POLL_SECONDS


def weights_of(card: dict[str, Any]) -> dict[str, str]:
    """What a model's card says of its weights, as far as it does."""
    meta = card.get("meta")
    told = {key: card.get(key) for key in _OF_WEIGHTS}
    told |= {key: meta.get(key) for key in _OF_WEIGHTS_IN_META} if isinstance(meta, dict) else {}
    return {key: str(value) for key, value in told.items() if value not in (None, "")}


def _card(held: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    return held.get(name) or held.get(f"{name}:latest") or {}
