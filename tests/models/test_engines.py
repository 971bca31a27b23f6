"""What engines tell, in the shapes of their documentation and sources, through real HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from selfcodealign.models import Completion, PromptTooLong, Sampling
from selfcodealign.models.server import ServerModel
from tests.support.faulty_server import FaultyServer, Handler, Plan, ask, refuse, settings

CHOICE = {"index": 0, "text": "yes", "finish_reason": "stop", "logprobs": None}


def tell(usage: dict[str, Any], **body: Any) -> Plan:
    """An answer with these counts."""
    counts = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, **usage}
    return lambda handler, asked: handler.send_json({"choices": [CHOICE], "usage": counts, **body})


@pytest.mark.parametrize(
    ("plan", "cached"),
    [
        (tell({"prompt_tokens_details": {"cached_tokens": 4}}), 4),
        (tell({"prompt_tokens_details": {"cached_tokens": 0}}), 0),
        (tell({"prompt_tokens_details": None}), None),
        (tell({"prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 3}), 6),
        (tell({}, timings={"cache_n": 5, "prompt_n": 4, "predicted_n": 1}), 5),
        (tell({}, timings={"prompt_n": 2, "predicted_n": 1}), 7),
        (tell({}), None),
    ],
    ids=["vLLM", "vLLM, none", "vLLM without its option", "DeepSeek", "llama.cpp", "older llama.cpp", "TGI, Ollama"],
)
def test_cached_tokens(plan: Plan, cached: int | None):
    """Each engine's figure, None where it tells none."""
    with FaultyServer(always=plan) as server:
        assert ask(server).cached_tokens == cached


def test_an_engine_that_tells_no_zero():
    """SGLang leaves the figure out where nothing was cached: 0 from its first figure on, unknown before."""
    told, none = tell({"prompt_tokens_details": {"cached_tokens": 4}}), tell({"prompt_tokens_details": None})

    async def run(server: FaultyServer) -> list[Completion]:
        async with ServerModel(settings(server)) as model:
            return [await model.complete("p", Sampling(), seed=seed) for seed in range(3)]

    with FaultyServer(none, told, none, card={"owned_by": "sglang"}) as server:
        assert [one.cached_tokens for one in asyncio.run(run(server))] == [None, 4, 0]
    assert (server.bodies[0]["top_k"], server.bodies[0]["min_p"]) == (-1, 0.0)


def test_sglang_refuses_a_sum_that_is_too_long():
    """It is asked again for the tokens that fit; a prompt that is too long drops its row."""
    words = (
        "Requested token count exceeds the model's maximum context length of 512 tokens. You requested a total of 600 "
        "tokens: 400 tokens from the input messages and 200 tokens for the completion."
    )
    with FaultyServer(refuse(400, words), tell({})) as server:
        ask(server, Sampling(max_tokens=200))
    assert [body["max_tokens"] for body in server.bodies] == [200, 112]
    words = "The input (600 tokens) is longer than the model's context length (512 tokens)."
    with FaultyServer(refuse(400, words)) as server, pytest.raises(PromptTooLong):
        ask(server)


def test_tgi_takes_no_limit_that_keeps_every_token():
    """Its refusal of `top_p` = 1 and of a fifth stop string, in its own form."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        def error(words: str) -> None:
            handler.send_json({"error": words, "error_type": "validation"}, 422)

        if body.get("top_p") == 1:
            error("Input validation error: `top_p` must be > 0.0 and < 1.0")
        elif len(body["stop"]) > 4:
            error("Input validation error: `stop` supports up to 4 stop sequences. Given: 5")
        else:
            tell({})(handler, body)

    with FaultyServer(always=plan) as server:
        assert ask(server, Sampling(stop=("<a>", "<b>", "<c>", "<d>", "<e>"))).text == "yes"


def test_llama_cpp_refuses_a_prompt_that_is_too_long():
    """Its error has the counts beside the message."""
    error = {
        "code": 400,
        "message": "request (600 tokens) exceeds the available context size (512 tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 600,
        "n_ctx": 512,
    }
    with (
        FaultyServer(lambda handler, body: handler.send_json({"error": error}, 400)) as server,
        pytest.raises(PromptTooLong),
    ):
        ask(server)
