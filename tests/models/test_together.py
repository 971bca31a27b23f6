"""Calls that wait together go to the server as one request; each has the text that it would have had alone."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from selfcodealign import ScriptedModel
from selfcodealign.models import Completion, Sampling
from selfcodealign.models.on_demand import OnDemandModel
from selfcodealign.models.server import ServerModel
from selfcodealign.models.together import divide
from selfcodealign.models.usage import Usage
from tests.support.faulty_server import FaultyServer, Handler, Plan, answer, refuse, settings
from tests.support.several_texts import answer_whole, event, texts_of, write_texts
from tests.support.streams import begin, send_events, send_parts


def model_of(*servers: FaultyServer, **values: Any) -> ServerModel:
    return ServerModel(settings(*servers, **{"group": 16} | values))


async def complete(model: Any, prompts: Iterable[str], seeds: Iterable[int], **sampling: Any) -> list[Completion]:
    calls = (
        model.complete(prompt, Sampling(**sampling), seed=seed) for prompt, seed in zip(prompts, seeds, strict=True)
    )
    return list(await asyncio.gather(*calls))


def check_nothing_is_kept(model: ServerModel) -> None:
    """Nothing of a request stays behind."""
    assert not model._sent
    assert not model._reading
    assert not model._turns._open
    for endpoint in model._endpoints:
        assert endpoint.outstanding == endpoint.silence.writing == 0
        assert not endpoint.silence._watched


def run(server: FaultyServer, prompts: Iterable[str], seeds: Iterable[int], **values: Any) -> list[Completion]:
    """Ask all at one moment."""
    sampling = values.pop("sampling", {})

    async def ask() -> list[Completion]:
        async with model_of(server, **values) as model:
            found = await complete(model, prompts, seeds, **sampling)
            check_nothing_is_kept(model)
            return found

    return asyncio.run(asyncio.wait_for(ask(), 60))


@pytest.mark.parametrize("form", [write_texts(), answer_whole], ids=["streamed", "whole"])
def test_consecutive_seeds_of_a_prompt_are_one_request(form: Any):
    """The texts are those of single requests, and the tokens sum up to what the server counts."""
    with FaultyServer(always=form) as server:
        found = run(server, ["prompt"] * 5, range(7, 12))
        alone = run(server, ["prompt"] * 5, range(7, 12), group=1)
    assert [one.text for one in found] == [one.text for one in alone] == [f"prompt:{seed}" for seed in range(7, 12)]
    together, *single = server.bodies
    assert (together["n"], together["seed"], together["prompt"]) == (5, 7, "prompt")
    assert len(single) == 5
    assert not any("n" in body for body in single)
    assert sum(one.completion_tokens for one in found) == 15
    assert sum(one.prompt_tokens for one in found) == len("prompt")


@pytest.mark.parametrize(
    ("prompts", "seeds", "values"),
    [
        (["a", "b", "c"], [1, 2, 3], {}),
        (["a"] * 3, [1, 3, 5], {}),
        (["a"] * 3, [3, 2, 1], {}),
        (["a"] * 3, [4, 4, 4], {}),
        (["a"] * 3, [1, 2, 3], {"group": 1}),
        (["a"] * 3, [1, 2, 3], {"sampling": {"temperature": 0.0}}),
    ],
    ids=["prompts", "gaps", "backwards", "equal", "switched off", "greedy"],
)
def test_other_calls_with_seeds_are_single_requests(prompts: list[str], seeds: list[int], values: dict[str, Any]):
    """Where a text would depend on what goes with it."""
    with FaultyServer(always=write_texts()) as server:
        found = run(server, prompts, seeds, **values)
    assert [one.text for one in found] == [f"{prompt}:{seed}" for prompt, seed in zip(prompts, seeds, strict=True)]
    assert len(server.bodies) == 3


def test_engines_that_are_not_known_get_single_requests_with_seeds():
    """How they seed the texts of a request is not known."""
    with FaultyServer(always=write_texts(), card={"owned_by": "somebody"}) as server:
        found = run(server, ["a"] * 3, [1, 2, 3])
    assert [one.text for one in found] == ["a:1", "a:2", "a:3"]
    assert len(server.bodies) == 3


def test_a_request_has_a_bounded_size():
    """The rest of the calls is a further request."""
    with FaultyServer(always=write_texts()) as server:
        found = run(server, ["a"] * 10, range(10), group=4)
    assert [one.text for one in found] == [f"a:{seed}" for seed in range(10)]
    assert sorted(body.get("n", 1) for body in server.bodies) == [2, 4, 4]


@pytest.mark.parametrize("owner", ["vllm", "somebody"])
def test_without_seeds_prompts_go_as_a_list(owner: str):
    """No seed is sent, and the identity says so; calls of one prompt go as `n` texts."""

    async def ask(server: FaultyServer) -> tuple[list[Completion], list[Completion], dict[str, str]]:
        async with model_of(server, seeds=False) as model:
            same = await complete(model, ["same"] * 3, [5, 9, 1])
            greedy = await complete(model, ["a", "bb", "ccc"], [1, 1, 1], temperature=0.0)
            check_nothing_is_kept(model)
            return same, greedy, model.identity()

    with FaultyServer(always=write_texts(), card={"owned_by": owner}) as server:
        same, other, identity = asyncio.run(ask(server))
    assert [body["prompt"] for body in server.bodies] == ["same", ["a", "bb", "ccc"]]
    assert server.bodies[0]["n"] == 3
    assert not any("seed" in body for body in server.bodies)
    assert identity["seeds"] == "not sent: the same request gives another text"
    assert {one.text for one in same} == {"same:1000", "same:1001", "same:1002"}
    assert [one.text for one in other] == ["a:1000", "bb:1000", "ccc:1000"]
    assert sum(one.completion_tokens for one in same + other) == 18


def test_calls_join_those_that_wait_for_their_turn():
    """Also when they come later."""
    gate = threading.Event()

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        gate.wait(60)
        write_texts()(handler, body)

    async def ask(server: FaultyServer) -> list[Completion]:
        async with model_of(server, concurrency=1) as model:
            first = asyncio.create_task(model.complete("first", Sampling(), seed=0))
            while not server.bodies:
                await asyncio.sleep(0.01)
            others = []
            for seed in range(4):
                others.append(asyncio.create_task(model.complete("later", Sampling(), seed=seed)))
                await asyncio.sleep(0.01)
            gate.set()
            return await asyncio.gather(first, *others)

    with FaultyServer(always=plan) as server:
        found = asyncio.run(asyncio.wait_for(ask(server), 60))
    assert [one.text for one in found] == ["first:0", *(f"later:{seed}" for seed in range(4))]
    assert [body.get("n", 1) for body in server.bodies] == [1, 4]


def held(gate: threading.Event, places: set[int]) -> Any:
    """Texts of these places are written to their end only when the gate is open."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        texts = texts_of(body)

        def events() -> Iterable[bytes]:
            for place, text in enumerate(texts):
                yield event({"index": place, "text": text[0]})
                if place not in places or gate.is_set():
                    yield event({"index": place, "text": "".join(text[1:]), "finish_reason": "stop"})
            if not gate.is_set():
                assert gate.wait(60), "the gate stays closed"
                for place in sorted(places):
                    yield event({"index": place, "text": "".join(texts[place][1:]), "finish_reason": "stop"})
            yield b"data: [DONE]\n\n"

        begin(handler)
        send_events(handler, events())

    return plan


def test_nobody_waits_for_the_slowest():
    """A call has its text when the text ends."""
    gate = threading.Event()

    async def ask(server: FaultyServer) -> list[Completion]:
        async with model_of(server) as model:
            calls = [asyncio.create_task(model.complete("p", Sampling(), seed=seed)) for seed in range(3)]
            early = [await calls[0], await calls[2]]
            assert not calls[1].done()
            assert model.under_way().requests == 1
            gate.set()
            late = await calls[1]
            check_nothing_is_kept(model)
            return [early[0], late, early[1]]

    with FaultyServer(always=held(gate, {1})) as server:
        found = asyncio.run(asyncio.wait_for(ask(server), 60))
    assert [one.text for one in found] == ["p:0", "p:1", "p:2"]
    assert len(server.bodies) == 1


def test_a_cancelled_call_ends_no_other_and_the_last_one_ends_the_request():
    """The request goes on while a call needs it; what was written for the others is counted."""
    gate = threading.Event()

    async def ask(server: FaultyServer) -> int:
        async with model_of(server) as model:
            calls = [asyncio.create_task(model.complete("p", Sampling(), seed=seed)) for seed in range(3)]
            await calls[0]
            while model.under_way().completion_tokens < 2:
                await asyncio.sleep(0.01)
            calls[1].cancel()
            await asyncio.sleep(0.05)
            assert not calls[2].done()
            assert model._endpoints[0].outstanding == 2
            calls[2].cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            while model._reading:
                await asyncio.sleep(0.01)
            check_nothing_is_kept(model)
            return model.abandoned_tokens

    with FaultyServer(always=held(gate, {1, 2})) as server:
        assert asyncio.run(asyncio.wait_for(ask(server), 60)) == 2
        gate.set()


async def test_tokens_of_a_single_call_that_is_cancelled_are_counted():
    """What the stream had brought."""
    gate = threading.Event()
    with FaultyServer(always=held(gate, {0})) as server:
        async with OnDemandModel(model_of(server)) as model:
            call = asyncio.create_task(model.complete("p", Sampling(), seed=0))
            while model.under_way().completion_tokens < 1:
                await asyncio.sleep(0.01)
            assert model.abandoned_tokens == 0
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert model.abandoned_tokens == 1
        gate.set()


def test_a_broken_stream_keeps_the_texts_that_ended():
    """The others are asked for again."""
    half = [
        event({"index": 0, "text": "ended", "finish_reason": "stop"}),
        event({"index": 1, "text": "hal"}),
        event({"index": 2, "text": "ha"}),
    ]
    with FaultyServer(send_parts(*half, end=False), always=write_texts()) as server:
        found = run(server, ["p"] * 3, [5, 6, 7])
    assert [one.text for one in found] == ["ended", "p:6", "p:7"]
    assert all(body["seed"] in (6, 7) for body in server.bodies[1:])


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_fault_that_passes_is_waited_for_together(status: int):
    """And the calls go as one request again, or one by one; no text is lost."""
    with FaultyServer(refuse(status), refuse(status), always=write_texts()) as server:
        found = run(server, ["p"] * 3, [5, 6, 7])
    assert [one.text for one in found] == ["p:5", "p:6", "p:7"]


def refuse_several(handler: Handler, body: dict[str, Any]) -> None:
    """A server that knows no `n`, and says so."""
    refuse(400, "n > 1 is not supported")(handler, body) if "n" in body else answer(handler, body)


def ignore_n(plan: Plan) -> Plan:
    """A server that writes one text, however many are asked for."""
    return lambda handler, body: plan(handler, {name: value for name, value in body.items() if name != "n"})


@pytest.mark.parametrize(("plan", "tries"), [(refuse_several, 2), (answer, 1), (ignore_n(write_texts()), 1)])
def test_a_server_that_gives_one_text_only_is_asked_one_by_one(
    plan: Plan, tries: int, caplog: pytest.LogCaptureFixture
):
    """Learnt from an answer, or from two refusals, since one may be about the request; said once."""

    async def ask(server: FaultyServer) -> list[Completion]:
        found = []
        async with model_of(server) as model:
            for begin in range(0, 16, 4):
                found += await complete(model, ["p"] * 4, range(begin, begin + 4))
            check_nothing_is_kept(model)
            return found

    with FaultyServer(always=plan) as server, caplog.at_level(logging.WARNING, "selfcodealign"):
        found = asyncio.run(asyncio.wait_for(ask(server), 60))
    assert [one.text for one in found] == [f"p:{seed}" for seed in range(16)]
    assert sum("n" in body for body in server.bodies) == tries
    assert sum("asked one by one" in line for line in caplog.messages) == 1


def test_tokens_of_a_prefix_cache_are_told_once():
    """The prompt is counted once, and its cached tokens are a part of it."""
    with FaultyServer(always=write_texts(cached=4)) as server:
        found = run(server, ["prompt"] * 4, range(4))
    usage = Usage()
    for one in found:
        usage.add(one)
    assert usage == Usage(requests=4, prompt_tokens=6, told_tokens=6, cached_tokens=4, completion_tokens=12)


def test_texts_that_repeat_themselves_end_and_the_others_go_on():
    """The loop is given at once; the connection is closed when no other text is needed."""

    def tokens(prompt: str, seed: int, place: int) -> Iterable[str]:
        return ["again "] * 3000 if place else ["once "] + [f"{number} " for number in range(50)]

    with FaultyServer(always=write_texts(tokens)) as server:
        found = run(server, ["p"] * 2, [0, 1], sampling={"stop_loops": True, "max_tokens": 4000})
    assert [one.finish_reason for one in found] == ["stop", "loop"]
    assert found[0].completion_tokens == 51
    assert found[1].completion_tokens < 3000


async def test_a_model_that_holds_calls_sees_them_together():
    """`OnDemandModel` lets them through; other models get as many at once as they take."""
    with FaultyServer(always=write_texts()) as server:
        async with OnDemandModel(model_of(server, concurrency=2)) as model:
            await model.open()
            found = await complete(model, ["p"] * 8, range(8))
    assert [one.text for one in found] == [f"p:{seed}" for seed in range(8)]
    assert [body.get("n") for body in server.bodies] == [8]
    at_once = []

    class Counts(ScriptedModel):
        async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
            at_once.append(prompt)
            await asyncio.sleep(0.01)
            assert len(at_once) <= 2
            at_once.remove(prompt)
            return await super().complete(prompt, sampling, seed=seed)

    scripted = Counts(["a"] * 6)
    scripted.concurrency = 2
    async with OnDemandModel(scripted) as model:
        await complete(model, [str(number) for number in range(6)], range(6))


@pytest.mark.parametrize(("total", "weights"), [(10, [1, 1, 1]), (0, [3]), (7, [0, 0]), (5, [0, 9, 1])])
def test_tokens_are_divided_without_a_rest(total: int, weights: list[int]):
    """Sums stay exact."""
    parts = divide(total, weights)
    assert sum(parts) == total
    assert len(parts) == len(weights)
    assert min(parts) >= 0
