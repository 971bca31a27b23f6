"""Oddities of real servers, as plans for a `FaultyServer`: each is one way to answer `/v1/completions`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.faulty_server import Handler, Plan, answer, break_off, drop, refuse, say, show_page


def good(body: dict[str, Any]) -> dict[str, Any]:
    """The body of a good response: its text names the prompt and the seed."""
    return {"choices": [{"index": 0, "text": _text(body), "finish_reason": "stop"}]}


def _text(body: dict[str, Any]) -> str:
    return f"{body['prompt'][-40:]}:{body.get('seed', 'no seed')}"


def send(body: Any) -> Plan:
    """A response 200 with this JSON."""
    return lambda handler, asked: handler.send_json(body)


def change(**changes: Any) -> Plan:
    """A good response with other fields."""
    return lambda handler, body: handler.send_json(good(body) | changes)


def choose(**changes: Any) -> Plan:
    """A good response whose choice has other fields; a value `...` takes the field out."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        choice = {**good(body)["choices"][0], **changes}
        handler.send_json({"choices": [{name: value for name, value in choice.items() if value is not ...}]})

    return plan


def send_text(text: str, kind: str = "application/json") -> Plan:
    """A response 200 with this body, JSON or not."""
    return lambda handler, body: handler.send(text.encode(), kind)


def cut_json(handler: Handler, body: dict[str, Any]) -> None:
    """Half of a good response, announced as whole."""
    whole = json.dumps(good(body)).encode()
    handler.send(whole[: len(whole) // 2], "application/json")


def garbled(handler: Handler, body: dict[str, Any]) -> None:
    """A body that is not compressed as its header says."""
    handler.send(b"no gzip", "application/json", headers={"Content-Encoding": "gzip"})


def stream(*, end: bool = True) -> Plan:
    """Server-sent events in chunks of three characters, unasked; without `end`, broken off."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        text = _text(body)
        chunks: list[Any] = [{"choices": [{"text": text[at : at + 3]}]} for at in range(0, len(text), 3)]
        if end:
            chunks.append({"choices": [{"text": "", "finish_reason": "stop"}], "usage": {"completion_tokens": 3}})
        lines = [": a comment", *(f"data: {json.dumps(chunk)}" for chunk in chunks), *["data: [DONE]"] * end]
        handler.send("\n\n".join(lines).encode(), "text/event-stream; charset=utf-8")

    return plan


def echo(handler: Handler, body: dict[str, Any]) -> None:
    """The prompt in front of the completion."""
    handler.send_json({"choices": [{"text": body["prompt"] + _text(body), "finish_reason": "stop"}]})


#: Responses to one request that are no completion, with the reason of the row's drop when they last.
FAULTS: dict[str, tuple[Plan, str]] = {
    "400": (refuse(400, "the prompt holds a token that is out of range"), "model_refused"),
    "422": (refuse(422, "unprocessable"), "model_refused"),
    "403": (refuse(403, "the content filter"), "model_refused"),
    "451": (refuse(451, "for legal reasons"), "model_refused"),
    "error in a 200": (send({"error": {"message": "upstream failed", "code": 502}}), "model_refused"),
    "error as a text": (send({"error": "upstream failed", "choices": []}), "model_refused"),
    "page": (show_page(200), "bad_answer"),
    "page and 400": (show_page(400), "model_refused"),
    "cut JSON": (cut_json, "bad_answer"),
    "text": (send_text("pong", "text/plain"), "bad_answer"),
    "nothing": (send_text(""), "bad_answer"),
    "deep JSON": (send_text("[" * 200_000), "bad_answer"),
    "garbled": (garbled, "bad_answer"),
    "a list": (send([1, 2]), "bad_answer"),
    "null": (send(None), "bad_answer"),
    "no choices": (send({"choices": []}), "bad_answer"),
    "choices null": (send({"choices": None}), "bad_answer"),
    "choices a text": (send({"choices": "text"}), "bad_answer"),
    "a choice null": (send({"choices": [None]}), "bad_answer"),
    "text null": (choose(text=None), "bad_answer"),
    "text a number": (choose(text=7), "bad_answer"),
    "text a list": (choose(text=["a"]), "bad_answer"),
    "text missing": (choose(text=...), "bad_answer"),
    "finish_reason error": (choose(finish_reason="error"), "bad_answer"),
    "finish_reason abort": (choose(finish_reason="abort"), "bad_answer"),
    "nothing written": (say("", None), "bad_answer"),
    "cut stream": (stream(end=False), "bad_answer"),
    "strange stream": (send_text("data: [1]\n\ndata: [DONE]\n", "text/event-stream"), "bad_answer"),
    "error in a stream": (send_text('data: {"error": {"message": "no"}}\n', "text/event-stream"), "model_refused"),
}

#: Responses that are odd and hold a completion.
USABLE: dict[str, Plan] = {
    "usage missing": change(),
    "usage null": change(usage=None),
    "usage a list": change(usage=[1, 2]),
    "usage a text": change(usage="12"),
    "usage of texts": change(usage={"prompt_tokens": "7", "completion_tokens": "three"}),
    "usage of nulls": change(usage={"prompt_tokens": None, "completion_tokens": None}),
    "usage infinite": send_text(
        '{"choices": [{"text": "hello:11", "finish_reason": "stop"}], "usage": {"prompt_tokens": Infinity}}'
    ),
    "error null": change(error=None),
    "finish_reason null": choose(finish_reason=None),
    "finish_reason missing": choose(finish_reason=...),
    "finish_reason unknown": choose(finish_reason="eos_token"),
    "finish_reason a list": choose(finish_reason=["stop"]),
    "stream": stream(),
    "status in a text type": lambda handler, body: handler.send(json.dumps(good(body)).encode(), "text/plain"),
}

#: Faults that pass: the same request is answered when it is asked again.
PASSING: dict[str, Plan] = {
    "429": refuse(429, "slow down"),
    "429 and Retry-After": refuse(429, "slow down", {"Retry-After": "0.1"}),
    "429 in a 200": send({"error": {"message": "slow down", "code": 429}}),
    "500": refuse(500, "CUDA error"),
    "503": refuse(503, "loading"),
    "reset": drop,
    "half a body": break_off,
}


def unless(name: str, message: str, status: int = 400) -> Plan:
    """A server that refuses a field of the request."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        if name in body:
            refuse(status, message)(handler, body)
        else:
            answer(handler, {"seed": "no seed"} | body)

    return plan


def few_stops(most: int, message: str, form: Callable[[dict[str, Any]], Any] = good) -> Plan:
    """A server that refuses more than `most` stop strings; it takes one as a text only."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        stop = body.get("stop", [])
        if (not isinstance(stop, str) if most == 1 and stop else len(stop) > most) or (most == 0 and stop):
            refuse(400, message)(handler, body)
        else:
            handler.send_json(form(body))

    return plan
