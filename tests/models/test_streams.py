"""Streamed answers: time-outs by a server's silence, few requests at first, tokens under way, texts that repeat."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, RequestFailed, Sampling, UnderWay, receiving, silence, window
from selfcodealign.models.server import ServerModel
from selfcodealign.models.silence import Silence
from tests.support.faulty_server import FaultyServer, Handler, Plan, answer, ask, refuse, settings, stay_silent
from tests.support.odd_server import unless
from tests.support.streams import begin, chunk, send_events, send_parts, write

DONE = b"data: [DONE]\n\n"


async def ask_many(model: ServerModel, count: int) -> list[Completion]:
    return list(await asyncio.gather(*(model.complete("p", Sampling(), seed=seed) for seed in range(count))))


def whole_only(plan: Plan) -> Plan:
    """A server that knows nothing of streams."""
    return lambda handler, body: plan(handler, {key: value for key, value in body.items() if key != "stream"})


class Clock:
    """The clock of time-outs under the test's control: a busy machine does not make a server silent."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def pass_time(self, seconds: float, model: ServerModel) -> None:
        """Let time pass, and end the requests that are late then."""
        self.now += seconds
        for endpoint in model._endpoints:
            endpoint.silence._end_late()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(silence, "time", clock)
    return clock


class Turns:
    """One request at a time, in the order of their seeds; the next one's turn comes when the test says so."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0

    @contextmanager
    def of(self, seed: int) -> Iterator[None]:
        with self._changed:
            assert self._changed.wait_for(lambda: self._next >= seed, 60)
        yield

    def go_on(self) -> None:
        with self._changed:
            self._next += 1
            self._changed.notify_all()


@pytest.mark.parametrize("form", [lambda plan: plan, whole_only], ids=["streamed", "whole"])
def test_a_queue_at_the_server_is_no_time_out(form: Any, clock: Clock):
    """Forty requests of 0.1 s each, one after the other, with a time-out of 0.8 s: each is asked once."""
    turns = Turns()

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        write("ab", 0, turns.of(body["seed"]))(handler, body)

    async def ask_one(model: ServerModel, seed: int) -> Completion:
        answer = await model.complete("p", Sampling(), seed=seed)
        clock.pass_time(0.1, model)
        turns.go_on()
        return answer

    async def run(server: FaultyServer) -> list[Completion]:
        async with ServerModel(settings(server, request_seconds=0.8)) as model:
            return list(await asyncio.gather(*(ask_one(model, seed) for seed in range(40))))

    with FaultyServer(always=form(plan)) as server:
        answers = asyncio.run(run(server))
    assert [one.text for one in answers] == ["ab"] * 40
    assert len(server.bodies) == 40


def test_a_silent_server_is_asked_by_few_again(clock: Clock):
    """When it stops in the middle, all requests are given up, and it is not flooded when it comes back."""
    back = threading.Event()

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        if body["seed"] < 30 or back.is_set():
            write("ab", 0.02)(handler, body)
        else:
            back.wait(60)
            handler.close_connection = True

    async def run(server: FaultyServer) -> list[Completion]:
        async with ServerModel(settings(server, request_seconds=0.4)) as model:
            answers = await ask_many(model, 30)
            assert model._endpoints[0].limit > 8
            waiting = [asyncio.create_task(model.complete("p", Sampling(), seed=seed)) for seed in range(30, 60)]
            while len(server.bodies) <= 30:
                await asyncio.sleep(0.01)
            clock.pass_time(0.5, model)
            while not model._endpoints[0].faults:
                await asyncio.sleep(0.01)
            assert model._endpoints[0].limit == 8
            back.set()
            return answers + list(await asyncio.gather(*waiting))

    with FaultyServer(always=plan) as server:
        assert [one.text for one in asyncio.run(run(server))] == ["ab"] * 60


def test_a_lost_request_is_given_up_while_others_are_answered(clock: Clock):
    """One that later ones have overtaken, and one whose stream stops."""
    over = threading.Event()

    def hang(handler: Handler, body: dict[str, Any]) -> None:
        assert over.wait(60), "the request was not given up"
        handler.close_connection = True

    def stop_writing(handler: Handler, body: dict[str, Any]) -> None:
        begin(handler)
        event = chunk("half")
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        hang(handler, body)

    async def run(server: FaultyServer) -> tuple[list[Completion], float]:
        async with ServerModel(settings(server, request_seconds=0.5)) as model:
            lost = [asyncio.create_task(model.complete("lost", Sampling(), seed=seed)) for seed in range(2)]
            while len(server.bodies) < 2:
                await asyncio.sleep(0.01)
            while not all(one.done() for one in lost):
                await model.complete("p", Sampling(), seed=7)
                clock.pass_time(0.1, model)
            over.set()
            return [await one for one in lost], clock.now

    with FaultyServer(hang, stop_writing, always=write("ab", 0.02)) as server:
        answers, seconds = asyncio.run(run(server))
    assert [one.text for one in answers] == ["ab", "ab"]
    assert seconds > 0.4


def test_few_requests_at_first_and_more_while_they_are_taken_up():
    """A server that works on four at once gets eight; one that works on all gets all."""

    async def run(server: FaultyServer) -> None:
        async with ServerModel(settings(server, concurrency=48)) as model:
            await ask_many(model, 96)

    with FaultyServer(always=write("abcd", 0.02, threading.Semaphore(4))) as slow:
        asyncio.run(run(slow))
    assert slow.most_at_once < 40  # a handler ends later than its answer, much later on a busy machine
    with FaultyServer(always=write("abcd", 0.15)) as fast:
        asyncio.run(run(fast))
    assert 24 <= fast.most_at_once <= 49
    with FaultyServer(always=stay_silent(0.3)) as whole:
        asyncio.run(run(whole))
    assert 24 <= whole.most_at_once <= 49


def test_what_is_under_way_is_known():
    """Requests, prompts, prompts read and tokens, while they are written; afterwards nothing."""
    gate = threading.Event()

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        begin(handler)
        if body["prompt"] == "waits" * 64:
            gate.wait(60)

        def events() -> Any:
            yield from (chunk(token) for token in "abcde")
            gate.wait(60)
            yield chunk("", "stop")
            yield DONE

        send_events(handler, events())

    async def run(server: FaultyServer) -> tuple[UnderWay, UnderWay]:
        async with ServerModel(settings(server)) as model:
            assert model.under_way() == UnderWay()
            prompts = "reads" * 64, "waits" * 64
            asked = [asyncio.create_task(model.complete(prompt, Sampling(), seed=0)) for prompt in prompts]
            while model.under_way().completion_tokens < 5:
                await asyncio.sleep(0.01)
            seen = model.under_way()
            gate.set()
            await asyncio.gather(*asked)
            return seen, model.under_way()

    with FaultyServer(always=plan) as server:
        seen, after = asyncio.run(asyncio.wait_for(run(server), 60))
    assert seen == UnderWay(requests=2, prompt_tokens=200, prompt_tokens_read=100, completion_tokens=5)
    assert after == UnderWay()


def test_a_text_that_repeats_itself_is_ended_where_it_is_asked_for():
    """The connection is closed, so the server stops; without `stop_loops` the text goes on."""
    sent = itertools.count()
    stopped = threading.Event()

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        def events() -> Any:
            for _ in range(body["max_tokens"]):
                next(sent)
                time.sleep(0.002)
                yield chunk("again ")
            yield chunk("", "length", usage={"prompt_tokens": 5, "completion_tokens": body["max_tokens"]})
            yield DONE

        begin(handler)
        try:
            send_events(handler, events())
        except OSError:
            stopped.set()
            raise

    with FaultyServer(always=plan) as server:
        whole = ask(server, Sampling(max_tokens=300))
        assert (whole.finish_reason, whole.completion_tokens) == ("length", 300)
        cut = ask(server, Sampling(max_tokens=3000, stop_loops=True))
        assert stopped.wait(60)
    assert cut.finish_reason == "loop"
    assert cut.text.startswith("again " * 30)
    assert 30 <= cut.completion_tokens < 300
    assert next(sent) < 2000


@pytest.mark.parametrize(("usage", "prompt_tokens"), [(None, 100), ({"prompt_tokens": 5}, 5), ("much", 100)])
def test_the_prompt_of_an_ended_text_is_counted(usage: Any, prompt_tokens: int):
    """By the server where its chunks tell, else by the length of the prompt."""
    more = {} if usage is None else {"usage": usage}

    async def run(server: FaultyServer) -> Completion:
        async with ServerModel(settings(server)) as model:
            return await model.complete("reads" * 64, Sampling(max_tokens=3000, stop_loops=True), seed=0)

    events = [chunk("again ", **more) for _ in range(200)]
    with FaultyServer(always=send_parts(*events, DONE)) as server:
        ended = asyncio.run(run(server))
    assert ended.finish_reason == "loop"
    assert ended.prompt_tokens == prompt_tokens
    assert 30 <= ended.completion_tokens < 200


def test_a_text_that_repeats_itself_is_named_where_the_server_does_not_stream():
    """It has cost its tokens, and has the same reason as a streamed one."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        handler.send_json({"choices": [{"text": "the same again " * 50, "finish_reason": "length"}]})

    with FaultyServer(always=plan) as server:
        assert ask(server, Sampling(stop_loops=True)).finish_reason == "loop"
        assert ask(server, Sampling()).finish_reason == "length"


@pytest.mark.parametrize(
    ("name", "message", "status"),
    [
        ("stream", "Streaming is not supported by this server", 400),
        ("stream", "stream: Extra inputs are not permitted", 422),
        ("stream", "streaming responses are not implemented", 501),
        ("stream_options", "Unrecognized request argument supplied: stream_options", 400),
    ],
)
def test_a_server_that_refuses_streams_is_asked_without(name: str, message: str, status: int):
    """And no options of a stream go to a server that does not stream."""
    with FaultyServer(always=unless(name, message, status)) as server:
        assert ask(server).text == "hello:11"
    assert len(server.bodies) == 2
    assert name not in server.bodies[1]
    assert "stream" in server.bodies[1] or "stream_options" not in server.bodies[1]


BROKEN = {
    "cut": send_parts(chunk("half"), end=False),
    "cut after its reason": send_parts(chunk("half", "stop"), end=False),
    "no end": send_parts(chunk("half")),
    "cut inside an event": send_parts(chunk("ha"), chunk("lf")[:20], end=False),
    "engine died": send_parts(chunk("half"), b'data: {"error": {"message": "EngineCore died", "code": 500}}\n\n', DONE),
    "aborted": send_parts(chunk("half", "abort"), DONE),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_stream_is_asked_again(name: str):
    """It is never taken for a short answer."""
    with FaultyServer(answer, BROKEN[name], BROKEN[name]) as server:

        async def run() -> list[Completion]:
            async with ServerModel(settings(server)) as model:
                return [await model.complete("p", Sampling(), seed=seed) for seed in range(2)]

        assert [one.text for one in asyncio.run(run())] == ["p:0", "p:1"]
    assert len(server.bodies) == 4


def test_a_stream_is_whole_after_its_last_event():
    """A server that closes the connection after [DONE] is not asked again, nor one that writes a second text beside."""
    other = b'data: {"choices": [{"index": 1, "text": "other"}]}\n\n'
    with FaultyServer(always=send_parts(chunk("who"), other, chunk("le", "stop"), DONE, end=False)) as server:
        assert ask(server).text == "whole"
    assert len(server.bodies) == 1


def test_a_text_that_has_ended_is_no_loop():
    """However the stream is cut, a text is ended for its repetitions only while it is being written."""
    events = [chunk("again and ") for _ in range(200)]
    with FaultyServer(always=send_parts(b"".join([*events, chunk("", "stop"), DONE]))) as server:
        assert ask(server, Sampling(stop_loops=True, max_tokens=500)).finish_reason == "stop"


def test_comments_are_no_answer(clock: Clock):
    """A server that keeps its queue alive with comments writes nothing yet, and is not late."""

    async def run() -> None:
        heard = Silence()
        with heard.watch(0.2) as first, heard.watch(0.2) as second:
            async with second.ended, first.ended:
                for _ in range(4):
                    clock.now += 0.1
                    heard._end_late()
                    await asyncio.sleep(0)
                    assert not heard.hear(first, answering=False)
                    assert not heard.hear(second, answering=False)
                assert heard.writing == 0
                assert heard.hear(first)
                assert heard.writing == 1

    asyncio.run(run())


def test_an_engine_that_died_in_its_streams_ends_the_run_as_a_status_500_would():
    """It is the server's fault, and no row is dropped for it."""
    with FaultyServer(answer, always=BROKEN["engine died"]) as server:

        async def run() -> None:
            async with ServerModel(settings(server, retry_seconds=0.3)) as model:
                await model.complete("p", Sampling(), seed=0)
                await model.complete("p", Sampling(), seed=1)

        with pytest.raises(ModelError, match=r"no answer for 0.3 s .*EngineCore died") as raised:
            asyncio.run(run())
        assert not isinstance(raised.value, RequestFailed)


@pytest.mark.parametrize(
    "cuts", [1, 3, 1000], ids=["byte by byte", "three bytes", "at once"]
)  # fmt: skip
def test_events_are_read_however_they_are_cut(cuts: int):
    """Characters of several bytes, CRLF, comments, other fields, half pairs of surrogates in two chunks."""
    events = (
        b": ping\r\n\r\nevent: completion\r\ndata: "
        + '{"choices": [{"text": "für \u2028"}]}'.encode()
        + b"\r\n\r\n"
        + b'data:{"choices":[{"text":"\\ud83d"}]}\n\n'
        + b'data: {"choices": [{"text": "\\ude00", "finish_reason": "stop"}]}\n\n'
        + b'data: {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 6}}\n\ndata: [DONE]'
    )
    parts = [events[at : at + cuts] for at in range(0, len(events), cuts)]
    with FaultyServer(always=send_parts(*parts)) as server:
        assert ask(server) == Completion("für \u2028\U0001f600", "stop", 4, 6)


def test_a_server_that_writes_fast_is_asked_for_whole_answers(monkeypatch: pytest.MonkeyPatch):
    """Reading chunks must not hold the server up; when fewer come, answers are streamed again."""
    monkeypatch.setattr(receiving, "MOST_CHUNKS", 50.0)
    monkeypatch.setattr(receiving, "_SECONDS", 0.2)

    async def run(server: FaultyServer) -> UnderWay:
        async with ServerModel(settings(server)) as model:
            await ask_many(model, 40)
            await asyncio.sleep(1)
            await ask_many(model, 1)
            return model.under_way()

    with FaultyServer(always=write("abcdefgh", 0.001)) as server:
        assert asyncio.run(run(server)) == UnderWay()
    streamed = ["stream" in body for body in server.bodies]
    assert streamed[0]
    assert not all(streamed[:40])
    assert streamed[40]


def test_faults_of_some_requests_do_not_slow_the_others_down():
    """One refusal in ten leaves the number of requests at once where it was."""
    count = itertools.count(1)

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        (refuse(500, "busy") if next(count) % 10 == 0 else stay_silent(0.01))(handler, body)

    async def run(server: FaultyServer) -> float:
        async with ServerModel(settings(server, concurrency=32)) as model:
            await ask_many(model, 150)
            return model._endpoints[0].limit

    with FaultyServer(always=plan) as server:
        assert asyncio.run(run(server)) > 2 * window.FEW
