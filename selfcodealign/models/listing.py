"""Ask a server which models it holds, and read the list in the forms that servers give it."""

from __future__ import annotations

from typing import Any

from selfcodealign.errors import ModelError, did_you_mean
from selfcodealign.models.completions_api import is_passing, read_json, read_message
from selfcodealign.models.faults import PassingFault, RequestFault
from selfcodealign.models.http_client import CONNECT_SECONDS, HttpClient

#: Fields beyond OpenAI's that turn off the samplers which engines enable by default (vLLM and SGLang read top_k and
#: penalties from the model's generation_config.json; llama.cpp defaults to top_k 40, min_p 0.05).
EXTRA_FIELDS: dict[str, dict[str, float]] = {
    "vllm": {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
    "sglang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
    "llamacpp": {"top_k": 0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0},
}
#: Statuses of a server that does not have what it is asked for; without a list, the name in the settings is taken.
NO_LIST = frozenset({404, 405, 410, 501})


async def list_models(client: HttpClient, url: str, seconds: float, key_advice: str) -> dict[str, dict[str, Any]]:
    """Ask the server at `url` for its models, by name; {} if it has no list.

    `seconds` is its longest silence. Raises `PassingFault`, or `ModelError` without the server's name.
    """
    answer = await client.get(f"{url}/models", seconds)
    if is_passing(answer.status):
        raise PassingFault(f"{answer.status}: {read_message(answer)}")
    if answer.status in (401, 403):
        raise ModelError(f"it refuses to list its models ({answer.status}); {key_advice}")
    if answer.status in NO_LIST:
        return {}
    held = read_models(read_json(answer))
    if held is None:
        raise ModelError("what it lists at /models is no OpenAI model list")
    return held


async def answers_at(client: HttpClient, url: str, path: str) -> bool:
    """Whether the server has `path`, found by a request without fields, which it refuses in some other way if so."""
    try:
        async with client.post(f"{url}/{path}", {}) as reply:
            return reply.head.status not in NO_LIST
    except (PassingFault, RequestFault):
        return False


async def ask_version(client: HttpClient, url: str) -> str:
    """Read `/version` (vLLM, SGLang); "unknown" elsewhere. No behaviour depends on the version."""
    try:
        answer = await client.get(f"{url.rpartition('/')[0]}/version", CONNECT_SECONDS)
        return str(answer.json()["version"])
    except (PassingFault, ModelError, ValueError, KeyError, TypeError, RecursionError):
        return "unknown"


def read_models(body: Any) -> dict[str, dict[str, Any]] | None:
    """Return the models' cards by name; None if `body` is no list of models.

    OpenAI: {"data": [{"id": ...}]}. Ollama, TabbyAPI, LM Studio: {"models": [{"name": ...}]}. Others: a bare list, or
    names alone.

    >>> read_models({"models": [{"name": "llama3:latest"}]})
    {'llama3:latest': {'name': 'llama3:latest'}}
    >>> sorted(read_models(["a", {"id": "b"}]))
    ['a', 'b']
    """
    if isinstance(body, dict):
        body = next((body[key] for key in ("data", "models") if key in body), body)
        body = [] if body is None else body
    if not isinstance(body, list):
        return None
    found: dict[str, dict[str, Any]] = {}
    for one in body:
        card = one if isinstance(one, dict) else {"id": one}
        name = next((card[key] for key in ("id", "name", "model") if isinstance(card.get(key), str)), "")
        if not name:
            return None
        found[name] = card
    return found


def holds_model(held: dict[str, dict[str, Any]], name: str) -> bool:
    """Return whether a server holds a model; Ollama lists `name:latest` where it answers to `name`."""
    return name in held or f"{name}:latest" in held


def context_of(card: dict[str, Any]) -> int | None:
    """The context in tokens that a model's card states (`max_model_len`), if it states one."""
    length = card.get("max_model_len")
    return length if isinstance(length, int) and length > 1 else None


def name_models(name: str, held: list[str]) -> str:
    """Say why `name` is not among a server's models, and what to write instead."""
    shown = ", ".join(held[:8]) + (" ..." if len(held) > 8 else "")
    if not held:
        return "does not tell which models it holds; set model.name"
    if not name:
        return f"holds {len(held)} models; set model.name to one of {shown}"
    return f'holds no model "{name}"; it holds {shown}{did_you_mean(name, held)}'
