"""A `FaultyServer` that has `/v1/chat/completions` alone, and answers as chat models and their servers do."""

from __future__ import annotations

import json
from typing import Any

from tests.support.faulty_server import FaultyServer, Handler, Plan


def chat_server(plan: Plan, *, engine: str = "openai", **options: Any) -> FaultyServer:
    """A server that answers chat requests by `plan` and has no other path; `engine` is what its list says."""

    def only_chat(handler: Handler, body: dict[str, Any]) -> None:
        if handler.path != "/v1/chat/completions":
            handler.send_json({"error": {"message": "Not Found"}}, 404)
        elif "messages" not in body:
            handler.send_json({"error": {"message": "messages: Field required"}}, 400)
        else:
            plan(handler, body)

    return FaultyServer(always=only_chat, card={"owned_by": engine}, **options)


def reply(content: Any, reason: str | None = "stop", usage: dict[str, Any] | None = None, **message: Any) -> Plan:
    """A whole answer; `message` has further fields of the message."""
    return reply_choice(
        {"message": {"role": "assistant", "content": content, **message}, "finish_reason": reason}, usage
    )


def reply_choice(choice: dict[str, Any], usage: dict[str, Any] | None = None) -> Plan:
    """A whole answer with this choice."""
    return lambda handler, body: handler.send_json({"choices": [{"index": 0, **choice}], "usage": usage})


def reply_deltas(*deltas: dict[str, Any], reason: str = "stop", usage: dict[str, Any] | None = None) -> Plan:
    """A stream: the role, these deltas, the reason, the usage."""
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}]
    for delta in deltas:
        likely = delta.get("logprobs")
        told = {name: value for name, value in delta.items() if name != "logprobs"}
        chunks.append({"choices": [{"index": 0, "delta": told, "logprobs": likely, "finish_reason": None}]})
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    chunks.append({"choices": [], "usage": usage})

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        lines = [f"data: {json.dumps(chunk)}" for chunk in chunks] + ["data: [DONE]"]
        handler.send("\n\n".join(lines).encode(), "text/event-stream")

    return plan
