"""A model behind HTTP servers: requests, retries, and the effect of a dead server on a run."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, RequestFailed, Sampling
from selfcodealign.models.server import ServerModel
from tests.support.faulty_server import (
    FaultyServer,
    Plan,
    answer,
    ask,
    ask_once,
    break_off,
    drop,
    fail,
    refuse,
    refused_port,
    say,
    settings,
    show_page,
    stay_silent,
)


def test_request_carries_seed_stop_and_sampling():
    """Everything that decides a completion is sent; vLLM's default samplers are turned off."""
    with FaultyServer(card={"max_model_len": 4096}) as server:
        got = ask(server, Sampling(temperature=0.3, top_p=0.9, max_tokens=17, stop=("</a>", "\n#")))
    assert got == Completion("hello:11", "stop", prompt_tokens=7, completion_tokens=3)
    wanted = {"model": "demo", "prompt": "hello", "seed": 11, "temperature": 0.3, "top_p": 0.9, "max_tokens": 17}
    assert (
        server.bodies[0].items() >= (wanted | {"stop": ["</a>", "\n#"], "top_k": 0, "repetition_penalty": 1.0}).items()
    )


def test_unknown_engines_get_openai_fields_only():
    """Fields outside OpenAI's protocol go to engines known to take them; others may refuse them."""
    with FaultyServer(card={"owned_by": "somebody"}) as server:
        ask(server)
    openai = {"model", "prompt", "seed", "temperature", "top_p", "max_tokens", "stream", "stream_options"}
    assert set(server.bodies[0]) == openai


def test_identity_names_engine_and_version():
    """A run records model, revision, engine, version, context and sampler."""

    async def enter(server: FaultyServer) -> dict[str, str]:
        async with ServerModel(settings(server, revision="abc")) as model:
            return model.identity()

    with FaultyServer(card={"max_model_len": 512, "root": "/weights"}, version="0.32.0") as server:
        identity = asyncio.run(enter(server))
    assert identity == {
        "name": "demo",
        "revision": "abc",
        "engine": "vllm",
        "engine_version": "0.32.0",
        "sampler": "temperature and top_p alone",
        "root": "/weights",
        "context": "512",
    }


@pytest.mark.parametrize(
    "fault",
    [
        refuse(429),
        refuse(500),
        refuse(503, "loading"),
        show_page(502),
        stay_silent(1.0),
        drop,
        break_off,
        say("", None),
        say("half", "abort"),
    ],
    ids=["429", "500", "503", "502 page", "time-out", "reset", "half a body", "unfinished", "aborted"],
)
def test_passing_faults_are_tried_again(fault: Plan):
    """Transient faults are retried with the same seed until there is an answer."""
    with FaultyServer(fault, fault) as server:
        got = ask(server, request_seconds=0.3)
    assert got.text == "hello:11"
    assert [body["seed"] for body in server.bodies] == [11, 11, 11]


def test_retry_after_is_kept_to():
    """Retry-After is respected, even if the back-off is shorter."""
    with FaultyServer(refuse(429, headers={"Retry-After": "1"})) as server:
        ask(server)
    assert server.times[1] - server.times[0] >= 1.0


def test_retry_after_longer_than_patience_ends_at_once():
    """A Retry-After beyond `retry_seconds` ends the run at once."""
    begun = time.monotonic()
    with FaultyServer(always=refuse(429, "come back tomorrow", {"Retry-After": "86400"})) as server:
        message = fail(server, retry_seconds=60.0)
    assert "come back tomorrow" in message
    assert time.monotonic() - begun < 30
    assert len(server.bodies) == 1


def test_gives_up_after_retry_seconds():
    """A lasting fault ends the run with the server's message."""
    with FaultyServer(always=refuse(500, "CUDA error")) as server:
        message = fail(server, retry_seconds=0.2)
    assert "no answer for 0.2 s" in message
    assert "500: CUDA error" in message
    assert "finished rows are kept" in message
    assert len(server.bodies) > 1


def test_no_patience_means_one_try():
    """retry_seconds = 0 asks once."""
    with FaultyServer(always=refuse(500)) as server:
        fail(server, retry_seconds=0.0)
    assert len(server.bodies) == 1


def test_dead_server_at_start_is_said_at_once():
    """A run does not wait for a server that is missing at the start."""
    with refused_port() as port:
        message = fail(f"127.0.0.1:{port}", retry_seconds=60.0)
    assert f"no server can be reached (http://127.0.0.1:{port}/v1: no connection" in message
    assert "correct model.urls" in message


def test_server_that_dies_half_way_and_comes_back():
    """Requests wait for a server that restarts in time; none is lost."""

    async def run() -> list[str]:
        first = FaultyServer().start()
        async with ServerModel(settings(first)) as model:
            before = await model.complete("before", Sampling(), seed=1)
            first.die()
            waiting = [asyncio.create_task(model.complete("after", Sampling(), seed=seed)) for seed in range(20)]
            await asyncio.sleep(0.2)
            with FaultyServer(port=first.server_address[1]):
                after = await asyncio.gather(*waiting)
        return [before.text, *(completion.text for completion in after)]

    assert asyncio.run(run()) == ["before:1", *(f"after:{seed}" for seed in range(20))]


def test_server_that_dies_for_good():
    """If the server does not return, the run ends with one line that names it."""

    async def run() -> None:
        server = FaultyServer().start()
        async with ServerModel(settings(server, retry_seconds=0.3)) as model:
            await model.complete("before", Sampling(), seed=1)
            server.die()
            with pytest.raises(ModelError, match=r"no answer for 0.3 s \(http://127.0.0.1:\d+/v1: no connection"):
                await asyncio.gather(*(model.complete("after", Sampling(), seed=seed) for seed in range(20)))

    asyncio.run(run())


def test_several_servers_share_the_load():
    """Requests go to the server with the fewest in flight."""

    async def run(*servers: FaultyServer) -> None:
        async with ServerModel(settings(*servers)) as model:
            await asyncio.gather(*(model.complete("p", Sampling(), seed=seed) for seed in range(40)))

    with FaultyServer(always=stay_silent(0.02)) as one, FaultyServer(always=stay_silent(0.02)) as other:
        asyncio.run(run(one, other))
    assert len(one.bodies) + len(other.bodies) == 40
    assert min(len(one.bodies), len(other.bodies)) >= 10
    assert max(one.most_at_once, other.most_at_once) <= 20


def test_one_dead_server_among_several_is_said_once(caplog: pytest.LogCaptureFixture):
    """Other servers are used; the loss is reported in one line, not once per request."""

    async def run(alive: FaultyServer, dying: FaultyServer) -> list[Completion]:
        async with ServerModel(settings(alive, dying)) as model:
            await asyncio.gather(*(model.complete("p", Sampling(), seed=seed) for seed in range(4)))
            dying.die()
            return await asyncio.gather(*(model.complete("p", Sampling(), seed=seed) for seed in range(60)))

    with caplog.at_level(logging.WARNING, "selfcodealign"), FaultyServer() as alive:
        answers = asyncio.run(run(alive, FaultyServer().start()))
    assert [completion.text for completion in answers] == [f"p:{seed}" for seed in range(60)]
    assert sum("using the other servers" in line for line in caplog.messages) == 1


def test_server_missing_at_start_is_left_out_until_it_comes(caplog: pytest.LogCaptureFixture):
    """Entering succeeds if one server answers."""
    with refused_port() as port, FaultyServer() as server, caplog.at_level(logging.WARNING, "selfcodealign"):
        got = asyncio.run(ask_once(ServerModel(settings(f"127.0.0.1:{port}", server))))
    assert got.text == "hello:11"
    assert sum("using the other servers" in line for line in caplog.messages) == 1


def test_several_dead_servers_do_not_stand_in_for_each_other(caplog: pytest.LogCaptureFixture):
    """Nobody is told to expect another server where none answers, at the start or later."""

    async def run(one: FaultyServer, other: FaultyServer) -> None:
        async with ServerModel(settings(one, other, retry_seconds=0.5)) as model:
            await model.complete("p", Sampling(), seed=1)
            one.die()
            other.die()
            await model.complete("p", Sampling(), seed=2)

    with caplog.at_level(logging.WARNING, "selfcodealign"):
        with refused_port() as one, refused_port() as other, pytest.raises(ModelError, match="no server can be"):
            asyncio.run(ask_once(ServerModel(settings(f"127.0.0.1:{one}", f"127.0.0.1:{other}"))))
        assert caplog.messages == []
        with pytest.raises(ModelError, match="start the server again"):
            asyncio.run(run(FaultyServer().start(), FaultyServer().start()))
    assert sum("using the other servers" in line for line in caplog.messages) == 1
    assert sum("trying again" in line for line in caplog.messages) == 1


def test_servers_must_hold_the_same_model():
    """A server with another model would mix two models' rows."""
    with FaultyServer() as one, FaultyServer(models=("other",)) as other:
        with pytest.raises(ModelError, match='holds no model "demo"; it holds other'):
            asyncio.run(ask_once(ServerModel(settings(one, other))))


def test_key_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """The key is sent in the header only: errors, logs, identity and repr never show it."""
    key = "sk-secret-0123456789"
    monkeypatch.setenv("MY_KEY", key)
    seen: list[str] = []

    async def run(server: FaultyServer, **values: Any) -> None:
        model = ServerModel(settings(server, api_key_env="MY_KEY", retry_seconds=0.05, **values))
        try:
            async with model:
                seen.extend([str(model.identity()), repr(model), str(model.__dict__["_client"])])
                await model.complete("p", Sampling(), seed=1)
        except ModelError as error:
            seen.append(str(error))

    echo = f"Incorrect API key provided: {key}"
    with caplog.at_level(logging.DEBUG):
        for plan in (answer, refuse(401, echo), refuse(429, echo), refuse(500, echo), refuse(400, echo)):
            with FaultyServer(always=plan) as server:
                asyncio.run(run(server))
            assert server.headers[0]["Authorization"] == f"Bearer {key}"
    with FaultyServer(list_plan=refuse(401, echo)) as server:
        asyncio.run(run(server))
    assert len(seen) >= 10
    assert "the key is read from the environment variable MY_KEY, and the key in it is refused" in seen[-1]
    assert key not in "".join(seen) + caplog.text


def test_missing_key_names_the_variable():
    """If a server requires a key, the error names the environment variable."""
    with FaultyServer(refuse(401, "Unauthorized")) as server:
        assert "environment variable OPENAI_API_KEY, and it is not set" in fail(server)
        assert "Authorization" not in server.headers[0]


def test_password_in_an_address_is_not_shown():
    """Addresses with a password are used, but shown without."""
    with refused_port() as port:
        message = fail(f"http://user:hunter2@127.0.0.1:{port}/v1")
    assert "hunter2" not in message


def test_poisoned_request_does_not_hold_up_the_others():
    """A request that fails repeatedly does not hold up other requests."""

    async def run(server: FaultyServer) -> tuple[int, bool]:
        async with ServerModel(settings(server, retry_seconds=4.0)) as model:
            poisoned = asyncio.create_task(model.complete("poison", Sampling(), seed=0))
            answers = await asyncio.gather(*(model.complete("p", Sampling(), seed=seed) for seed in range(50)))
            held_up = poisoned.done()
            with pytest.raises((RequestFailed, ModelError), match="500: poison"):
                await poisoned
            return len(answers), held_up

    def refuse_poison(handler: Any, body: dict[str, Any]) -> None:
        (refuse(500, "poison") if body["prompt"] == "poison" else answer)(handler, body)

    with FaultyServer(always=refuse_poison) as server:
        assert asyncio.run(run(server)) == (50, False)


def test_what_was_sent_is_named_when_it_is_refused(monkeypatch: pytest.MonkeyPatch):
    """User and password of an address are sent instead of the key."""
    monkeypatch.setenv("MY_KEY", "secret-key")
    with FaultyServer(list_plan=refuse(401, "no")) as server:
        url = server.url.replace("//", "//someone:hushed@")
        message = fail(server, urls=[url], api_key_env="MY_KEY")
    assert "the user and password in its address are refused" in message
    assert "hushed" not in message
