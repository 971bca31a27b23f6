"""Requests under way follow what a server takes: its queue, its faults, and model.concurrency as the ceiling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from selfcodealign.models import Sampling, health
from selfcodealign.models.endpoints import Endpoint
from selfcodealign.models.metrics import Queue, read_queue
from selfcodealign.models.server import ServerModel
from selfcodealign.models.window import FEW, Window
from tests.support.faulty_server import settings
from tests.support.slot_server import SlotServer

ENGINES = {
    "vllm": 'vllm:num_requests_running{engine="0"} 5.0\nvllm:num_requests_waiting{engine="0"} 3.0\n',
    "vllm replicas": 'vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_running{engine="1"} 3.0\n'
    'vllm:num_requests_waiting{engine="0"} 3.0\nvllm:num_requests_waiting{engine="1"} 0.0\n'
    'vllm:num_requests_waiting_by_reason{reason="capacity"} 9.0\n',
    "sglang": 'sglang:num_running_reqs{model_name="m",tp_rank="0"} 5.0\nsglang:num_queue_reqs{model_name="m"} 3.0\n',
    "sglang ranks": 'sglang:num_running_reqs{tp_rank="0"} 5.0\nsglang:num_running_reqs{tp_rank="1"} 5.0\n'
    'sglang:num_queue_reqs{tp_rank="0"} 3.0\nsglang:num_queue_reqs{tp_rank="1"} 3.0\n',
    "llama.cpp": "# TYPE llamacpp:requests_processing gauge\n"
    "llamacpp:requests_processing 5\nllamacpp:requests_deferred 3\n",
    "tgi": "tgi_batch_current_size 5\ntgi_queue_size 3\n",
}


@pytest.mark.parametrize("name", ENGINES)
def test_gauges_of_each_engine_are_read(name: str):
    """Requests at work and waiting; replicas are summed, ranks that repeat each other are not."""
    assert read_queue(ENGINES[name]) == Queue(5.0, 3.0)


@pytest.mark.parametrize("text", ["", "<html>", "process_cpu_seconds_total 3\n", "vllm:num_requests_running 3\n"])
def test_other_text_is_no_queue(text: str):
    """A page without both gauges of one engine says nothing."""
    assert read_queue(text) is None


def test_the_window_comes_back_to_what_the_server_works_on():
    """A queue of our own is taken back at once, and not again before it has drained."""
    window = Window(256)
    window.limit = 64.0
    window.note_queue(16, 48, under_way=64)
    assert window.limit == 18  # 16 and a short queue
    window.note_queue(16, 40, under_way=56)
    assert window.limit == 18
    window.note_queue(16, 2, under_way=18)
    for _ in range(200):
        window.note_answer(queued=False)
    assert window.limit == 18  # short enough to stay, too long for more


def test_a_queue_of_several_clients_is_taken_back_in_steps():
    """Where most of the queue is not ours, each client gives way by x 0.7."""
    window = Window(256)
    window.limit = 20.0
    window.note_queue(16, 100, under_way=20)
    assert window.limit == pytest.approx(14.0)


def test_an_empty_queue_lets_the_window_grow_by_a_quarter_between_two_looks():
    """Additive growth with each answer, bounded until the queue is looked at again; never above the ceiling."""
    window = Window(64)
    window.limit = 40.0
    window.note_queue(16, 24, under_way=40)
    assert window.limit == 18
    window.note_queue(18, 0, under_way=18)
    for _ in range(1000):
        window.note_answer(queued=False)
    assert window.limit == 22.5
    for _ in range(20):
        window.note_queue(int(window.limit), 0, under_way=int(window.limit))
        for _ in range(1000):
            window.note_answer(queued=False)
    assert window.limit == 64


def outcomes(window: Window, *faults: bool) -> None:
    for fault in faults:
        if fault:
            window.note_fault()
        else:
            window.note_answer(queued=False)


def test_faults_lower_the_window_once_for_a_round():
    """Not once for each request that fails; and not where few of them fail."""
    window = Window(64)
    window.limit, window.growing = 40.0, False
    outcomes(window, *[True] * 39)
    assert window.limit == 40
    outcomes(window, True)
    assert window.limit == pytest.approx(28.0)
    window = Window(64)
    outcomes(window, *([True] + [False] * 9) * 40)
    assert window.limit == 64


def test_silence_of_one_request_is_no_silence_of_the_server():
    """A request that times out alone lowers nothing; when nothing has come of any, few are sent next."""

    async def run() -> None:
        one = Endpoint("http://h/v1", most=64)
        one.window.limit = 40.0
        with one.silence.watch(60.0):
            one.begin_again()
            assert (one.limit, one.away) == (40.0, False)
        with one.silence.watch(0.0):
            one.begin_again()
            assert (one.limit, one.away) == (FEW, True)

    asyncio.run(run())


async def keep_busy(model: ServerModel, count: int, until: Callable[[], bool]) -> None:
    """Ask with `count` tasks, each for one answer after the other, until something is so."""
    seeds = iter(range(10**9))
    over = False

    async def ask() -> None:
        while not over:
            await model.complete("p", Sampling(), seed=next(seeds))

    tasks = [asyncio.create_task(ask()) for _ in range(count)]
    begun = time.monotonic()
    while not until():
        assert time.monotonic() - begun < 120, model.state()
        for task in tasks:
            assert not task.done() or not task.exception()
        await asyncio.sleep(0.01)
    over = True
    await asyncio.gather(*tasks)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at queues every few hundredths of a second."""
    monkeypatch.setattr(health, "POLL_SECONDS", 0.3)
    monkeypatch.setattr(health, "FIRST_POLL", 0.02)


class Settled:
    """The limit was in a range at so many looks at the queue in a row."""

    def __init__(self, model: ServerModel, server: SlotServer, least: int, most: int, looks: int = 5) -> None:
        self._model, self._server, self._range = model, server, range(least, most + 1)
        self._looks, self._seen, self._in_a_row = looks, server.polls, 0

    def __call__(self) -> bool:
        if self._server.polls > self._seen:
            self._seen = self._server.polls
            (state,) = self._model.state()
            self._in_a_row = self._in_a_row + 1 if state.limit in self._range else 0
        return self._in_a_row >= self._looks


def test_the_limit_settles_near_the_capacity_and_follows_it(often: None):
    """A server that works on 3 of our 16 at once; then on 8, then on 2."""

    async def run(server: SlotServer) -> None:
        async with ServerModel(settings(server.url, concurrency=16)) as model:
            await keep_busy(model, 16, Settled(model, server, 3, 7))
            server.grow(8)
            await keep_busy(model, 16, Settled(model, server, 8, 13))
            server.grow(2)
            await keep_busy(model, 16, Settled(model, server, 2, 6))

    with SlotServer(3, 0.3) as server:
        asyncio.run(run(server))


def test_never_more_than_the_ceiling(often: None):
    """A server with room for a hundred gets as many as model.concurrency says, and its queue stays empty."""

    async def run(server: SlotServer) -> None:
        async with ServerModel(settings(server.url, concurrency=20)) as model:
            await keep_busy(model, 32, Settled(model, server, 20, 20))

    with SlotServer(100, 0.2) as server:
        asyncio.run(run(server))
    assert server.most_running <= 20
    assert server.most_waiting == 0


@pytest.mark.parametrize("metrics", [None, "process_cpu_seconds_total 3\n"], ids=["404", "other gauges"])
def test_a_server_without_a_queue_is_asked_once(often: None, metrics: str | None):
    """What a server does not tell once is not asked again, and costs no request."""

    async def run(server: SlotServer) -> Any:
        async with ServerModel(settings(server.url, concurrency=16)) as model:
            await keep_busy(model, 16, lambda: server.polls > 0 and server.served > 200)
            return model.state()[0]

    with SlotServer(16, 0.02, metrics=metrics) as server:
        state = asyncio.run(run(server))
    assert server.polls == 1
    assert (state.waiting, state.state, state.faults) == (None, "ready", 0)


def test_no_queue_is_read_while_nothing_is_under_way(often: None):
    """A model at rest leaves its servers alone."""

    async def run(server: SlotServer) -> None:
        async with ServerModel(settings(server.url)) as model:
            await keep_busy(model, 4, lambda: server.polls > 2)
            while model._health._polls:
                await asyncio.sleep(0.01)
            polls = server.polls
            await asyncio.sleep(0.3)
            assert server.polls == polls
            await keep_busy(model, 4, lambda: server.polls > polls)

    with SlotServer(16, 0.02) as server:
        asyncio.run(run(server))


def test_freed_places_are_taken_at_once():
    """While requests wait, as many are under way as the limit says: a place that is freed is handed on, also by a
    request that is cancelled."""

    async def run(server: SlotServer) -> None:
        async with ServerModel(settings(server.url, concurrency=8)) as model:
            endpoint = model._endpoints[0]
            tasks = [asyncio.create_task(model.complete("p", Sampling(), seed=seed)) for seed in range(200)]
            for place, task in enumerate(tasks):
                if place % 3 == 0:
                    task.cancel()
            while model._endpoints._waiting or not all(task.done() for task in tasks):
                if model._endpoints._waiting:
                    assert endpoint.outstanding == int(endpoint.limit)
                await asyncio.sleep(0)
            assert endpoint.outstanding == 0

    with SlotServer(8, 0.005) as server:
        asyncio.run(run(server))
