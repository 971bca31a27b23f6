"""Several servers: one that fails leaves, is probed and comes back; one with another model is refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models import Sampling, endpoints
from selfcodealign.models.endpoints import Endpoint
from selfcodealign.models.health import Health
from selfcodealign.models.server import ServerModel
from tests.support.faulty_server import refused_port, settings
from tests.support.slot_server import SlotServer

WEIGHTS = {"root": "/weights/one"}


async def ask(model: ServerModel, count: int) -> list[str]:
    answers = await asyncio.gather(*(model.complete("p", Sampling(), seed=seed) for seed in range(count)))
    return [one.text for one in answers]


async def wait_until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def states(model: ServerModel) -> list[str]:
    return [server.state for server in model.state()]


def test_a_server_that_fails_is_probed_and_gets_no_requests(caplog: pytest.LogCaptureFixture):
    """Its work goes to the other one; when it is there again it gets requests again. One line for each."""

    async def run(stays: SlotServer, leaves: SlotServer) -> None:
        async with ServerModel(settings(stays.url, leaves.url, concurrency=16)) as model:
            identity = model.identity()
            await ask(model, 32)
            assert leaves.served > 0
            under_way = asyncio.create_task(ask(model, 64))
            await wait_until(lambda: leaves.at_once)
            leaves.die()
            assert await under_way == [f"p:{seed}" for seed in range(64)]
            assert states(model) == ["ready", "backing off"]
            with SlotServer(8, 0.01, card=WEIGHTS, port=leaves.port) as back:
                await wait_until(lambda: states(model) == ["ready", "ready"])
                assert back.lists > 0
                assert back.served == 0  # asked for its models only
                await ask(model, 64)
                assert back.served > 0
            assert model.identity() == identity

    with caplog.at_level(logging.WARNING, "selfcodealign"), SlotServer(8, 0.01, card=WEIGHTS) as stays:
        with SlotServer(8, 0.01, card=WEIGHTS) as leaves:
            asyncio.run(run(stays, leaves))
    assert sum("using the other servers" in line for line in caplog.messages) == 1
    assert sum("is back after" in line for line in caplog.messages) == 1


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"models": ("other",)}, 'holds no model "demo"; it holds other'),
    "root": ({"card": {"root": "/weights/two"}}, 'lists root /weights/two for "demo", and had /weights/one'),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_server_that_comes_back_with_another_model_is_refused(other: str, caplog: pytest.LogCaptureFixture):
    """It gets no request, in one line; the run goes on with the other servers."""
    options, said = OTHERS[other]

    async def run(stays: SlotServer, leaves: SlotServer) -> None:
        async with ServerModel(settings(stays.url, leaves.url, concurrency=16)) as model:
            under_way = asyncio.create_task(ask(model, 64))
            await wait_until(lambda: leaves.at_once)
            leaves.die()
            await wait_until(lambda: states(model)[1] == "backing off")
            with SlotServer(8, 0.01, port=leaves.port, says="another model: ", **options) as wrong:
                assert await under_way == [f"p:{seed}" for seed in range(64)]
                await wait_until(lambda: states(model) == ["ready", "refused"])
                asked = wrong.served  # before the broken connections were noticed; these answers do not count
                await ask(model, 64)
                assert wrong.served == asked

    with caplog.at_level(logging.WARNING, "selfcodealign"), SlotServer(8, 0.01, card=WEIGHTS) as stays:
        with SlotServer(8, 0.01, card=WEIGHTS) as leaves:
            asyncio.run(run(stays, leaves))
    (line,) = [line for line in caplog.messages if "another model" in line]
    assert line.endswith(f"is left out: it {said}")


def test_the_run_ends_when_no_server_holds_the_model():
    """Requests that wait are told which model is there instead, and what to do."""

    async def run(server: SlotServer) -> str:
        async with ServerModel(settings(server.url, retry_seconds=60.0)) as model:
            under_way = asyncio.create_task(ask(model, 64))
            await wait_until(lambda: server.at_once)
            server.die()
            with SlotServer(8, 0.01, port=server.port, models=("other",)), pytest.raises(ModelError) as caught:
                await under_way
            return str(caught.value)

    with SlotServer(8, 0.05) as server:
        message = asyncio.run(run(server))
    assert "no server holds the model any more" in message
    assert 'holds no model "demo"; it holds other' in message
    assert "finished rows are kept" in message


def test_a_refused_server_comes_back_with_the_right_model(monkeypatch: pytest.MonkeyPatch):
    """A mistake with the model can be corrected while the run goes on."""
    monkeypatch.setattr(endpoints, "LONGEST_PAUSE", 0.05)

    async def run(stays: SlotServer, leaves: SlotServer) -> None:
        async with ServerModel(settings(stays.url, leaves.url)) as model:
            under_way = asyncio.create_task(ask(model, 64))
            await wait_until(lambda: leaves.at_once)
            leaves.die()
            with SlotServer(8, 0.01, port=leaves.port, models=("other",)):
                await under_way
                await wait_until(lambda: states(model) == ["ready", "refused"])
            with SlotServer(8, 0.01, port=leaves.port):
                await wait_until(lambda: states(model) == ["ready", "ready"])

    with SlotServer(8, 0.01) as stays, SlotServer(8, 0.01) as leaves:
        asyncio.run(run(stays, leaves))


@pytest.mark.parametrize("models", [("demo",), ("other",)], ids=["same", "another"])
def test_a_server_missing_at_the_start_is_checked_before_it_gets_requests(models: tuple[str, ...]):
    """It joins the others when it holds the model, and is refused when it does not."""

    async def run(stays: SlotServer, port: int, freed: Any) -> tuple[str, int]:
        async with ServerModel(settings(stays.url, f"127.0.0.1:{port}")) as model:
            await ask(model, 8)
            freed()
            with SlotServer(8, 0.01, port=port, models=models) as late:
                await wait_until(lambda: states(model)[1] != "backing off")
                await ask(model, 64)
                return states(model)[1], late.served

    with SlotServer(8, 0.01) as stays:
        holder = refused_port()
        port = holder.__enter__()
        state, served = asyncio.run(run(stays, port, lambda: holder.__exit__(None, None, None)))
    assert (state, served > 0) == (("ready", True) if models == ("demo",) else ("refused", False))


def test_a_dead_server_is_given_up_also_by_requests_that_it_has_not_failed():
    """Requests that wait for their first try are told, too, when all servers have been away for retry_seconds."""

    async def run(server: SlotServer) -> None:
        async with ServerModel(settings(server.url, retry_seconds=0.5)) as model:
            await ask(model, 8)
            tasks = [asyncio.create_task(model.complete("p", Sampling(), seed=seed)) for seed in range(40)]
            await wait_until(lambda: server.at_once)
            server.die()
            for found in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(found, ModelError)
                assert "no answer for 0.5 s" in str(found)
            assert model.state()[0].under_way == 0

    with SlotServer(4, 0.5) as server:
        server.seconds = 0.01
        asyncio.run(run_slow(server, run))


async def run_slow(server: SlotServer, run: Callable[[SlotServer], Any]) -> None:
    """Let the server take long once its first answers are out."""

    async def slow_down() -> None:
        await wait_until(lambda: server.served >= 8)
        server.seconds = 60.0

    await asyncio.gather(run(server), slow_down())


def test_state_tells_each_server():
    """Address without secrets, limit, requests, answers, faults, queue."""

    async def run(one: SlotServer) -> None:
        async with ServerModel(settings(one.url.replace("//", "//me:hushed@"), concurrency=4)) as model:
            await ask(model, 10)
            (state,) = model.state()
            assert state.address == one.url.replace("//", "//***@") or "hushed" not in state.address
            assert (state.limit, state.under_way, state.served, state.faults) == (4, 0, 10, 0)
            assert (state.waiting, state.state) == (None, "ready")

    with SlotServer(4, 0.001) as one:
        asyncio.run(run(one))


def test_a_server_that_is_lost_as_its_probe_ends_is_probed_again(monkeypatch: pytest.MonkeyPatch):
    """Another connection breaks in the moment in which the answer of a probe is taken up."""
    monkeypatch.setattr(endpoints, "FIRST_PAUSE", 0.001)

    async def run() -> None:
        async def list_models(_: Endpoint) -> dict[str, dict[str, Any]]:
            return {"demo": {}}

        async def get(address: str, seconds: float) -> tuple[int, str]:
            return 404, ""

        health, endpoint = Health(list_models, get, lambda: None), Endpoint("http://localhost:1/v1")
        health.know("demo", [(endpoint, {"demo": {}})])
        try:
            for _ in range(3):
                endpoint.note_fault("broken", None, lost=True)
                health.probe(endpoint)
                assert await health.confirm(endpoint)  # goes on as soon as the probe has its answer
            endpoint.note_fault("broken", None, lost=True)
            health.probe(endpoint)
            await wait_until(lambda: not endpoint.away)
        finally:
            await health.close()

    asyncio.run(run())
