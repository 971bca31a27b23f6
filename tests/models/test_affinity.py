"""Prompts that begin alike go to one server while loads are balanced."""

from __future__ import annotations

import asyncio

from selfcodealign.models.affinity import BLOCK, Affinity, split
from selfcodealign.models.balancing import MARGIN, Endpoints
from selfcodealign.models.endpoints import Endpoint

HEAD = "The same for all. " * 30


def draw(number: int) -> str:
    """A long beginning of its own after a head that all have."""
    return HEAD + f"examples of draw {number} " * 200


def bear(until: float) -> None:
    """Wait as long as it takes."""


async def take(servers: Endpoints, prompt: str) -> Endpoint:
    return await asyncio.wait_for(servers.take(prompt, None, bear), 10)


async def settle() -> None:
    """Let all tasks go on until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


def make(count: int, most: int = 64, limit: float | None = None) -> Endpoints:
    servers = Endpoints([f"http://h{number}/v1" for number in range(count)], most)
    for one in servers:
        one.window.limit = most if limit is None else limit
    return servers


def test_prompts_of_a_draw_stay_at_a_server():
    """Whatever comes in between; and draws are spread over the servers."""

    async def run() -> None:
        servers = make(4)
        homes = {}
        for round_ in range(5):
            for number in range(16):
                home = await take(servers, draw(number) + f"row {round_}" * 100)
                assert homes.setdefault(number, home) is home
                servers.release(home)
        assert sorted(list(homes.values()).count(one) for one in servers) == [4, 4, 4, 4]

    asyncio.run(run())


def test_a_busy_server_gives_its_draw_away():
    """Beyond the margin the least busy server gets the request, and keeps the draw."""

    async def run() -> None:
        servers = make(2)
        first = await take(servers, draw(0))
        taken = [await take(servers, draw(0)) for _ in range(MARGIN)]
        assert all(one is first for one in taken)
        other = await take(servers, draw(0))
        assert other is not first
        assert await take(servers, draw(0)) is other

    asyncio.run(run())


def test_without_a_known_beginning_the_least_busy_server_is_taken():
    """By requests, then by what it has been given: a head that all prompts have binds nothing."""

    async def run() -> None:
        servers = make(3)
        taken = [await take(servers, draw(number)) for number in range(9)]
        assert [taken.count(one) for one in servers] == [3, 3, 3]
        for one in taken:
            servers.release(one)
        servers[0].assigned += 10**6
        assert await take(servers, "short") is not servers[0]

    asyncio.run(run())


def test_a_server_with_room_takes_the_waiting_request_that_it_knows():
    """Requests that wait are not handed out in their order where another one fits better; none waits for ever."""

    async def run() -> None:
        servers = make(2, limit=1.0)
        one, other = await take(servers, draw(1)), await take(servers, draw(2))
        waiting = [asyncio.create_task(take(servers, draw(number))) for number in (1, 1, 2, 2)]
        await settle()
        servers.release(other)
        await settle()
        assert [task.done() for task in waiting] == [False, False, True, False]
        assert await waiting[2] is other
        servers.release(one)
        assert await waiting[0] is one
        tasks = {asyncio.create_task(take(servers, draw(2))) for _ in range(200)}
        while not waiting[1].done():
            servers.release(other)
            await settle()
        assert any(not task.done() for task in tasks)
        for task in [*tasks, waiting[3]]:
            task.cancel()

    asyncio.run(run())


def test_the_map_is_bounded_and_forgets_the_oldest():
    """Its end first: what is left of a prompt is its beginning."""
    known = Affinity(capacity=10)
    old, new = split("a" * BLOCK * 8), split("b" * BLOCK * 8)
    known.note(old, 0)
    known.note(new, 1)
    assert len(known._read) == 10
    assert known.home(new) == 1
    assert known.home(old) is None  # two blocks of eight: too little
    known.note(split("c" * BLOCK * 4), 2)
    assert known.home(new) == 1


def test_blocks_follow_each_other():
    """A block counts only together with all that comes before."""
    one, other = split("x" * BLOCK * 3), split("y" + "x" * (BLOCK * 3 - 1))
    assert not set(one) & set(other)
    assert split("x" * (BLOCK - 1)) == []
