"""A request that fails beside others that fail is asked again more often than one that fails alone."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import Any

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, RequestFailed, Sampling, endpoints
from selfcodealign.models.moods import RARE, TRIES, Moods
from selfcodealign.models.server import ServerModel
from selfcodealign.rows import digest
from tests.support.faulty_server import FaultyServer, answer, settings, show_page


def moods(bad: int, good: int) -> Moods:
    """A request has met a bad first response, `bad` others too, and `good` others an answer."""
    found = Moods(concurrency=64)
    for one in (*[False] * good, *[True] * (bad + 1)):
        found.note(bad=one)
    return found


def test_a_request_that_fails_alone_is_asked_a_few_times() -> None:
    """Whatever its number among the requests of a run."""
    assert [moods(0, good).tries(refused=True) for good in (0, 1, 199)] == [TRIES] * 3


@pytest.mark.parametrize("per_cent", [1, 5, 25, 50, 90])
def test_tries_grow_with_the_share_of_others_that_fail(per_cent: int) -> None:
    """So many that hardly any request that is as good as the others is given up."""
    found = moods(per_cent, 100 - per_cent)
    tries = found.tries(refused=True)
    assert found.share**tries <= RARE < found.share ** (tries - 2)
    assert found.tries() >= tries >= TRIES


def test_where_every_other_request_fails_none_is_given_up_for_its_own_fault() -> None:
    """Time decides then."""
    assert moods(50, 0).tries() == math.inf


def test_a_server_of_bad_mood_costs_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of all responses are pages, at random: every request is answered in the end."""
    monkeypatch.setattr(endpoints, "FIRST_PAUSE", 0.001)
    tries: Counter[int] = Counter()

    def moody(handler: Any, body: dict[str, Any]) -> None:
        tries[body["seed"]] += 1
        bad = int(digest(body["seed"], tries[body["seed"]]), 16) % 2
        (show_page() if bad else answer)(handler, body)

    async def run(server: FaultyServer) -> list[Completion]:
        async with ServerModel(settings(server, concurrency=16, retry_seconds=60.0)) as model:
            return list(await asyncio.gather(*(model.complete("p", Sampling(), seed=seed) for seed in range(150))))

    with FaultyServer(always=moody) as server:
        assert [one.text for one in asyncio.run(run(server))] == [f"p:{seed}" for seed in range(150)]
    assert max(tries.values()) > TRIES


def test_a_server_that_answers_nobody_any_more_ends_the_run_and_costs_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy shows its page to everybody: not the fault of these requests."""
    monkeypatch.setattr(endpoints, "FIRST_PAUSE", 0.01)

    async def run(server: FaultyServer) -> list[Completion | BaseException]:
        async with ServerModel(settings(server, concurrency=8, retry_seconds=0.5)) as model:
            await model.complete("p", Sampling(), seed=0)
            server.options["always"] = show_page()
            calls = (model.complete("p", Sampling(), seed=seed) for seed in range(1, 9))
            return list(await asyncio.gather(*calls, return_exceptions=True))

    with FaultyServer() as server:
        ends = asyncio.run(run(server))
    assert all(isinstance(one, ModelError) for one in ends), ends
    assert not any(isinstance(one, RequestFailed) for one in ends)
    assert "web page" in str(ends[0])
    assert "finished rows are kept" in str(ends[0])
