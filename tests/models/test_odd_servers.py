"""Servers that answer oddly: one odd answer costs one row, and what holds a completion is read."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, RequestFailed, Sampling, endpoints
from selfcodealign.models.moods import TRIES
from selfcodealign.models.server import ServerModel
from tests.support.faulty_server import FaultyServer, Plan, answer, ask, fail, refuse, say, settings, show_page
from tests.support.odd_server import FAULTS, PASSING, USABLE, echo, few_stops, send, unless

REFUSALS = [
    ("seed", "Unsupported parameter: 'seed'", 400),
    ("seed", "[{'loc': ['body', 'seed'], 'msg': 'Extra inputs are not permitted'}]", 422),
    ("seed", "Unrecognized request argument supplied: seed", 400),
    ("seed", "seed is not supported by this model", 422),
    ("top_p", "this server does not support top_p", 400),
    ("min_p", "Additional properties are not allowed ('min_p' was unexpected)", 400),
]


def poison(plan: Plan) -> Plan:
    """Answer well, but for requests whose prompt is "poison"."""

    def answer_others(handler: Any, body: dict[str, Any]) -> None:
        (plan if body["prompt"] == "poison" else answer)(handler, body)

    return answer_others


async def complete(model: ServerModel, *prompts: str) -> list[Completion | BaseException]:
    calls = (model.complete(prompt, Sampling(), seed=number) for number, prompt in enumerate(prompts))
    return await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("name", FAULTS)
def test_a_lasting_fault_costs_one_row(name: str):
    """Asked a few times, then the row has its reason and the server's words; the others are answered.

    A refusal is plain after `TRIES`; what cannot be read may be the server's mood while few other requests are known.
    """
    plan, reason = FAULTS[name]

    async def run(server: FaultyServer) -> list[Completion | BaseException]:
        async with ServerModel(settings(server)) as model:
            return await complete(model, "a", "poison", "b", "c")

    with FaultyServer(always=poison(plan)) as server:
        a, failed, b, c = asyncio.run(run(server))
    assert [one.text for one in (a, b, c) if isinstance(one, Completion)] == ["a:0", "b:2", "c:3"]
    assert isinstance(failed, RequestFailed)
    assert failed.reason == reason
    assert str(failed)
    assert server.url not in str(failed)
    tries = sum(body["prompt"] == "poison" for body in server.bodies)
    assert tries == TRIES if reason == "model_refused" else tries >= TRIES


def test_a_request_that_a_living_server_cannot_do_costs_one_row():
    """500 for one prompt, as from an engine that fails on it: the run goes on, since others are answered."""

    async def run(server: FaultyServer) -> Completion:
        async with ServerModel(settings(server, retry_seconds=1.0)) as model:
            failing = asyncio.create_task(model.complete("poison", Sampling(), seed=0))
            while not failing.done():
                await model.complete("a", Sampling(), seed=1)
                await asyncio.sleep(0.05)
            return await failing

    with FaultyServer(always=poison(refuse(500))) as server, pytest.raises(RequestFailed) as raised:
        asyncio.run(run(server))
    assert raised.value.reason == "no_answer"


@pytest.mark.parametrize("name", [*FAULTS, *PASSING])
def test_a_fault_that_passes_costs_nothing(name: str):
    """The same request is asked again, with the same seed."""
    plan = FAULTS[name][0] if name in FAULTS else PASSING[name]

    async def run(server: FaultyServer) -> list[Completion]:
        async with ServerModel(settings(server)) as model:
            return [await model.complete("p", Sampling(), seed=number) for number in range(3)]

    with FaultyServer(answer, plan, plan) as server:
        assert [one.text for one in asyncio.run(run(server))] == ["p:0", "p:1", "p:2"]


@pytest.mark.parametrize(
    "name", [name for name in FAULTS if name not in ("finish_reason abort", "finish_reason error")]
)
def test_a_server_that_never_answered_is_the_wrong_one(name: str, monkeypatch: pytest.MonkeyPatch):
    """Before any good answer a fault ends the run, with one line that names the server: a refusal at once, half an
    answer or a page when it comes again."""
    monkeypatch.setattr(endpoints, "FIRST_PAUSE", 0.02)
    with FaultyServer(always=FAULTS[name][0]) as server:
        assert fail(server).startswith(server.url)
    assert len(server.bodies) <= TRIES


def test_a_bad_first_answer_waits_for_the_others_first():
    """If others are under way, they decide whether the server is wrong."""
    with FaultyServer(show_page()) as server:

        async def run() -> list[Completion | BaseException]:
            async with ServerModel(settings(server)) as model:
                return await complete(model, *"abc")

        assert all(isinstance(one, Completion) for one in asyncio.run(run()))


@pytest.mark.parametrize("name", USABLE)
def test_odd_and_usable(name: str):
    """The text is taken."""
    with FaultyServer(always=USABLE[name]) as server:
        got = ask(server)
    assert (got.text, got.finish_reason) == ("hello:11", "stop")


@pytest.mark.parametrize("reason", [None, "max_new_tokens"])
def test_an_unknown_reason_and_all_tokens_written_is_a_cut(reason: str | None):
    """The usage says whether a text without a known reason was cut."""
    body = {"choices": [{"text": "half", "finish_reason": reason}], "usage": {"completion_tokens": 16}}
    with FaultyServer(always=send(body)) as server:
        assert ask(server, Sampling(max_tokens=16)).finish_reason == "length"
        assert ask(server, Sampling(max_tokens=17)).finish_reason == "stop"


def test_half_a_surrogate_pair_is_replaced():
    """JSON may hold what no file takes."""
    with FaultyServer(always=say("a\ud83d")) as server:
        assert ask(server).text == "a\ufffd"


@pytest.mark.parametrize(("name", "message", "status"), REFUSALS)
def test_a_refused_field_is_left_out(name: str, message: str, status: int, caplog: pytest.LogCaptureFixture):
    """Also by the first request; it is said once, and in the identity."""

    async def run(server: FaultyServer) -> dict[str, str]:
        async with ServerModel(settings(server)) as model:
            answers = await complete(model, *["p"] * 5)
            assert all(isinstance(one, Completion) for one in answers), answers
            return model.identity()

    with FaultyServer(always=unless(name, message, status)) as server, caplog.at_level(logging.WARNING):
        identity = asyncio.run(run(server))
    assert identity["asked"] == f"without {name}"
    assert [line for line in caplog.messages if "asked without" in line] == [
        f"{server.url}: it refuses {name}: asked without"
    ]
    assert len(server.bodies) <= 10


def test_a_wrong_value_is_no_unknown_field():
    """What the user set wrongly is not left out in silence."""
    with FaultyServer(always=unless("top_p", "top_p must be in (0, 1], got 7.0")) as server:
        assert "top_p must be in" in fail(server)


@pytest.mark.parametrize(
    ("most", "message"),
    [
        (4, "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length 6."),
        (4, "too many stop sequences"),
        (2, "stop: List should have at most 2 items after validation, not 6"),
        (1, "stop must be a string"),
        (1, "only one stop sequence is supported"),
        (0, "stop is not supported"),
    ],
)
def test_stop_strings_beyond_the_limit_are_cut_here(most: int, message: str):
    """The server gets as many as it takes; the text ends at any of them."""
    stop = ("</a>", "</b>", "</c>", "</d>", "</e>", "</f>")

    def write(body: dict[str, Any]) -> dict[str, Any]:
        return {"choices": [{"text": "one</f>two</a>three", "finish_reason": "length"}]}

    with FaultyServer(always=few_stops(most, message, write)) as server:
        got = ask(server, Sampling(stop=stop))
    assert (got.text, got.finish_reason) == ("one", "stop")
    sent = server.bodies[-1].get("stop", [])
    assert sent == (stop[0] if most == 1 else list(stop[:most]))


def test_an_echo_of_the_prompt_is_cut(caplog: pytest.LogCaptureFixture):
    """Stop strings in the prompt do not cut the answer to nothing; said once, and in the identity."""
    prompt = "<a>\nworked example\n</a>\n" * 20

    async def run(server: FaultyServer) -> tuple[list[Completion], dict[str, str]]:
        async with ServerModel(settings(server)) as model:
            calls = [model.complete(prompt, Sampling(stop=("</b>",)), seed=seed) for seed in range(3)]
            return list(await asyncio.gather(*calls)), model.identity()

    with FaultyServer(always=echo) as server, caplog.at_level(logging.WARNING):
        answers, identity = asyncio.run(run(server))
    assert [one.text for one in answers] == [f"{prompt[-40:]}:{seed}" for seed in range(3)]
    assert sum("repeats the prompt" in line for line in caplog.messages) == 1
    assert identity["asked"] == "its echo of the prompt cut off"


@pytest.mark.parametrize(
    "listed",
    [
        ["demo", "other"],
        [{"id": "demo"}],
        {"models": [{"name": "demo", "size": 7}]},
        {"models": [{"name": "demo:latest", "model": "demo:latest"}]},
        {"models": ["demo"]},
        {"data": ["demo"]},
        {"data": [{"id": "demo", "max_model_len": "many", "owned_by": None, "root": 7}]},
        {"data": None},
    ],
)
def test_lists_of_models_in_other_forms(listed: Any):
    """Names are found where servers put them."""
    with FaultyServer(list_plan=send(listed)) as server:
        assert ask(server).text == "hello:11"


@pytest.mark.parametrize("plan", [refuse(404), refuse(405), refuse(501), show_page(404)])
def test_servers_without_a_list_are_asked_by_name(plan: Plan):
    """A page that says "not found" is no list either."""
    with FaultyServer(list_plan=plan) as server:
        assert ask(server).text == "hello:11"
        assert "does not tell which models it holds; set model.name" in fail(server, name="")


def test_a_high_share_of_failed_requests_ends_the_run(monkeypatch: pytest.MonkeyPatch):
    """The error has the server's words, the setting, and says that rows are kept."""
    monkeypatch.setattr(endpoints, "FIRST_PAUSE", 0.02)

    async def run(server: FaultyServer, share: float) -> list[Completion | BaseException]:
        async with ServerModel(settings(server, failed_share=share, concurrency=8, retry_seconds=0.5)) as model:
            await complete(model, *["a"] * 30)
            return await complete(model, *["poison"] * 12)

    with FaultyServer(always=poison(refuse(400, "no such token"))) as server:
        for share, too_many in ((0.05, 2), (0.06, 0), (1.0, 0)):
            errors = [one for one in asyncio.run(run(server, share)) if isinstance(one, ModelError)]
            assert len(errors) == too_many
            for error in errors:
                assert "of the last" in str(error)
                for words in ("no such token", "finished rows are kept", "model.failed_share"):
                    assert words in str(error)


@pytest.mark.parametrize(("status", "words"), [(401, "environment variable"), (404, "holds no model")])
def test_a_key_or_a_model_that_is_gone_ends_the_run(status: int, words: str):
    """Not by one request: by several in a row, with no answer between them."""

    async def run(server: FaultyServer) -> None:
        async with ServerModel(settings(server)) as model:
            await model.complete("p", Sampling(), seed=0)
            server.options["always"] = refuse(status, "gone")
            server.models = ("other",)
            for number in range(2):
                with pytest.raises(RequestFailed):
                    await model.complete("p", Sampling(), seed=number)
            with pytest.raises(ModelError, match=words):
                await model.complete("p", Sampling(), seed=3)

    with FaultyServer() as server:
        asyncio.run(run(server))


def test_another_server_is_asked_at_once():
    """One server that talks nonsense costs nothing while another one answers."""

    async def run(*servers: FaultyServer) -> list[Completion | BaseException]:
        async with ServerModel(settings(*servers)) as model:
            await model.complete("first", Sampling(), seed=0)
            return await complete(model, *["p"] * 60)

    with FaultyServer(answer, always=show_page()) as one, FaultyServer() as other:
        answers = asyncio.run(run(one, other))
    assert all(isinstance(answer, Completion) for answer in answers)


def test_requests_that_were_not_sent_decide_nothing():
    """With a cap, the wrong server is said by the first answer, not after all requests have had their turn."""

    async def run(server: FaultyServer) -> list[Completion | BaseException]:
        async with ServerModel(settings(server, requests_per_minute=1)) as model:
            first, *others = (asyncio.create_task(model.complete("p", Sampling(), seed=seed)) for seed in range(5))
            (failed,) = await asyncio.gather(first, return_exceptions=True)
            for other in others:
                other.cancel()
            return [failed]

    with FaultyServer(always=refuse(401, "who are you?")) as server:
        (failed,) = asyncio.run(asyncio.wait_for(run(server), 20))
    assert "who are you?" in str(failed)
