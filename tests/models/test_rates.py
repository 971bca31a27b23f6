"""Rate limits: a server that refuses some requests slows the client down; caps of the settings are kept evenly."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from typing import Any

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models import Sampling, endpoints, patience
from selfcodealign.models.endpoints import Endpoint
from selfcodealign.models.pacing import Pacer
from selfcodealign.models.server import ServerModel
from tests.support.faulty_server import FaultyServer, Handler, Plan, answer, fail, refuse, settings, stay_silent


def limit(most: int, seconds: float, retry_after: str | None) -> Plan:
    """At most `most` answers in each window of `seconds`."""
    lock, window = threading.Lock(), [0.0, 0.0]

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        with lock:
            now = time.monotonic()
            if now - window[0] >= seconds:
                window[:] = [now, 0]
            window[1] += 1
            refused = window[1] > most
        headers = {"Retry-After": retry_after} if retry_after else {}
        (refuse(429, "slow down", headers) if refused else answer)(handler, body)

    return plan


async def ask_many(model: ServerModel, count: int, prompt: str = "p") -> list[str]:
    answers = await asyncio.gather(*(model.complete(prompt, Sampling(), seed=seed) for seed in range(count)))
    return [one.text for one in answers]


@pytest.mark.parametrize("retry_after", [None, "0.3", "7", "3600"])
def test_a_rate_limit_ends_no_run_while_requests_are_answered(retry_after: str | None, monkeypatch: pytest.MonkeyPatch):
    """Whatever Retry-After says and however short the patience is: every request is answered in the end."""
    monkeypatch.setattr(endpoints, "LONGEST_RETRY_AFTER", 0.5)

    async def run(server: FaultyServer) -> list[str]:
        async with ServerModel(settings(server, retry_seconds=0.2)) as model:
            return await ask_many(model, 60)

    with FaultyServer(always=limit(20, 0.3, retry_after)) as faulty:
        assert asyncio.run(run(faulty)) == [f"p:{seed}" for seed in range(60)]


def test_a_limit_that_lets_nothing_through_ends_the_run(monkeypatch: pytest.MonkeyPatch):
    """Once no request is answered any more, the patience is that of the settings or a minute."""
    monkeypatch.setattr(patience, "_LIMITED_SECONDS", 0.3)

    async def run(faulty: FaultyServer) -> None:
        async with ServerModel(settings(faulty, retry_seconds=0.1)) as model:
            await model.complete("p", Sampling(), seed=0)
            with pytest.raises(ModelError, match=r"429: quota exceeded.*set model.requests_per_minute"):
                await ask_many(model, 20)

    with FaultyServer(answer, always=refuse(429, "quota exceeded")) as faulty:
        asyncio.run(run(faulty))


def test_some_refusals_do_not_stop_the_queue():
    """A request that is refused waits alone; the others go on, and fewer are under way at once."""
    count = 0

    def refuse_some(handler: Handler, body: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        (refuse(429, "busy", {"Retry-After": "1.5"}) if count % 25 == 0 else answer)(handler, body)

    async def run(faulty: FaultyServer) -> tuple[list[str], float]:
        async with ServerModel(settings(faulty, concurrency=32)) as model:
            answers = await ask_many(model, 200)
            return answers, model._endpoints[0].limit

    with FaultyServer(always=refuse_some) as faulty:
        answers, most = asyncio.run(run(faulty))
    assert len(answers) == 200
    assert most < 32
    # Refused about eight times; with the whole queue held for each, nothing would be asked for 1.5 s.
    first_tries = faulty.times[:190]
    assert max(later - one for one, later in itertools.pairwise(first_tries)) < 1.4


def test_the_limit_falls_once_a_round_and_grows_slowly():
    """Requests that were under way when it fell do not lower it again."""
    one = Endpoint("http://h/v1", most=64, outstanding=63)
    one.window.limit = 64.0
    sent_at = time.monotonic()
    one.note_limit("429", None, sent_at)
    one.note_limit("429", None, sent_at)
    assert one.limit == pytest.approx(44.8)
    for _ in range(45):
        one.note_answer(streamed=True)
    assert one.limit == pytest.approx(46.8, abs=0.1)
    one.note_limit("429", None, time.monotonic())
    assert one.limit == pytest.approx(32.7, abs=0.1)
    for _ in range(20):
        one.note_limit("429", None, time.monotonic())
    assert one.limit == 1


def test_no_more_requests_than_the_limit_are_under_way():
    """After refusals the server sees fewer at once, and all are answered."""

    async def run(faulty: FaultyServer) -> None:
        async with ServerModel(settings(faulty)) as model:
            model._endpoints[0].window.limit = 3.0
            model._endpoints[0].window.most = 3
            assert len(await ask_many(model, 40)) == 40

    with FaultyServer(always=stay_silent(0.01)) as faulty:
        asyncio.run(run(faulty))
    assert faulty.most_at_once <= 3


def test_retry_after_of_a_day_ends_a_run_that_has_not_begun():
    """A quota that is used up is said at once."""
    begun = time.monotonic()
    with FaultyServer(always=refuse(429, "daily quota", {"Retry-After": "86400"})) as faulty:
        assert "daily quota" in fail(faulty, retry_seconds=60.0)
    assert time.monotonic() - begun < 20


def test_requests_per_minute_are_kept_evenly():
    """As the server sees it: no window holds many more than its share; retries count, too."""

    async def run(faulty: FaultyServer) -> None:
        async with ServerModel(settings(faulty, requests_per_minute=1200)) as model:  # one in 50 ms
            assert len(await ask_many(model, 50)) == 50

    with FaultyServer(answer, refuse(500), refuse(400), always=answer) as faulty:
        asyncio.run(run(faulty))
    times = [one - faulty.times[0] for one in faulty.times]
    assert len(times) == 52
    assert times[-1] >= 0.9 * 51 * 0.05
    for start in range(int(times[-1] / 0.5)):
        assert sum(start * 0.5 <= one < (start + 1) * 0.5 for one in times) <= 15


def test_tokens_per_minute_are_kept():
    """By the server's usage: 10 tokens each at 12,000 a minute are 20 requests a second."""

    async def run(faulty: FaultyServer) -> None:
        async with ServerModel(settings(faulty, tokens_per_minute=12_000)) as model:
            await asyncio.gather(*(model.complete("p", Sampling(max_tokens=20), seed=seed) for seed in range(40)))

    with FaultyServer() as faulty:
        asyncio.run(run(faulty))
    times = [one - faulty.times[0] for one in faulty.times]
    assert 0.8 * 39 * 0.05 <= times[-1] <= 6
    assert sum(one < 0.5 for one in times) <= 15


def test_without_caps_nothing_waits():
    """No cap, no gate."""

    async def run() -> float:
        pacer, begun = Pacer(None, None), time.monotonic()
        for _ in range(1000):
            async with pacer.turn("p", 512):
                pass
        return time.monotonic() - begun

    assert asyncio.run(run()) < 1


def test_held_back_requests_are_said(caplog: pytest.LogCaptureFixture):
    """A run that waits on purpose says so, once in a while."""

    async def run(faulty: FaultyServer) -> None:
        async with ServerModel(settings(faulty, requests_per_minute=40)) as model:
            await ask_many(model, 3)

    with FaultyServer() as faulty, caplog.at_level(logging.WARNING):
        asyncio.run(run(faulty))
    (line,) = [line for line in caplog.messages if "holds requests back" in line]
    assert line.startswith("model.requests_per_minute = 40 holds requests back: 1 sent in")


def test_a_fault_after_a_long_wait_for_the_rate_is_a_first_fault():
    """Time that a request spent on refusals for the rate does not count as time without a server."""
    slow = refuse(429, "slow down", {"Retry-After": "0.4"})

    async def run(faulty: FaultyServer) -> str:
        async with ServerModel(settings(faulty, retry_seconds=0.3)) as model:
            await model.complete("p", Sampling(), seed=0)
            return (await model.complete("p", Sampling(), seed=1)).text

    with FaultyServer(answer, slow, slow, refuse(500), always=answer) as faulty:
        assert asyncio.run(run(faulty)) == "p:1"
