"""Plans for a `FaultyServer` that gives several texts for one request: `n` of a prompt, or one of each prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from tests.support.faulty_server import Handler, Plan
from tests.support.streams import begin, send_events

#: Decides the tokens of a text by its prompt, its seed and its place among the texts.
Tokens = Callable[[str, int, int], Iterable[str]]


def name_it(prompt: str, seed: int, place: int) -> Iterable[str]:
    """A text that names its prompt and its seed."""
    return [prompt, ":", str(seed)]


def texts_of(body: dict[str, Any], tokens: Tokens = name_it) -> list[list[str]]:
    """The tokens of all texts that a request asks for; text i of a prompt has the seed of the request plus i."""
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    seed, count = body.get("seed", 1000), body.get("n", 1)
    return [
        list(tokens(prompt, seed + place, at * count + place))
        for at, prompt in enumerate(prompts)
        for place in range(count)
    ]


def event(*choices: dict[str, Any], **more: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps({"choices": list(choices), **more}).encode() + b"\n\n"


def count_prompts(body: dict[str, Any]) -> int:
    """Tokens of the prompts: their characters, each prompt once."""
    return sum(map(len, body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]))


def write_texts(tokens: Tokens = name_it, cached: int | None = None) -> Plan:
    """Write the texts in turns, token by token, as vLLM does; `cached` prompt tokens came from its cache."""

    def events(body: dict[str, Any]) -> Iterable[bytes]:
        texts = texts_of(body, tokens)
        continuous = body["stream_options"].get("continuous_usage_stats")
        for step in range(1 + max(map(len, texts))):
            for place, text in enumerate(texts):
                if step > len(text):
                    continue
                choice = {"index": place, "text": "", "finish_reason": "stop"}
                if step < len(text):
                    choice = {"index": place, "text": text[step], "finish_reason": None}
                written = min(step + 1, len(text))
                counts = {"prompt_tokens": count_prompts(body), "completion_tokens": written}
                yield event(choice, **({"usage": counts} if continuous else {}))
        counts: dict[str, Any] = {
            "prompt_tokens": count_prompts(body),
            "completion_tokens": sum(map(len, texts)),
        }
        if cached is not None:
            counts["prompt_tokens_details"] = {"cached_tokens": cached}
        yield event(usage=counts)
        yield b"data: [DONE]\n\n"

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        begin(handler)
        send_events(handler, events(body))

    return plan


def answer_whole(handler: Handler, body: dict[str, Any]) -> None:
    """All texts in one body, though a stream was asked for."""
    texts = texts_of(body)
    choices = [{"index": place, "text": "".join(text), "finish_reason": "stop"} for place, text in enumerate(texts)]
    counts = {"prompt_tokens": count_prompts(body), "completion_tokens": sum(map(len, texts))}
    handler.send_json({"choices": choices[::-1], "usage": counts})
