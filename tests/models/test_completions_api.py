"""Responses of servers: bad rows, wrong addresses, wrong names, and texts to cut."""

from __future__ import annotations

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models import PromptTooLong, Sampling, addressing
from tests.support.faulty_server import FaultyServer, Plan, ask, fail, refuse, say, show_page


def test_empty_name_takes_the_only_model():
    """Without a name the server's only model is used; with several models, a name is required."""
    with FaultyServer(models=("only",)) as server:
        ask(server, name="")
        assert server.bodies[0]["model"] == "only"
    with FaultyServer(models=("a", "b")) as server:
        assert "holds 2 models; set model.name to one of a, b" in fail(server, name="")


def test_unknown_model_lists_what_there_is():
    """A misspelt name is answered with the server's models and the most similar name."""
    with FaultyServer(models=("coder-7b", "writer-1b")) as server:
        message = fail(server, name="codr-7b")
    assert 'holds no model "codr-7b"; it holds coder-7b, writer-1b; did you mean "coder-7b"?' in message


@pytest.mark.parametrize(
    "plan",
    [
        refuse(400, "This model's maximum context length is 512 tokens. However, your prompt contains at least 513 "
               "input tokens, which exceeds this limit even without any output tokens."),
        refuse(400, "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)"),
        refuse(400, "the request exceeds the available context size, try increasing it"),
        refuse(413, "inputs tokens + max_new_tokens must be <= 2048"),
    ],
    ids=["vllm", "vllm full", "llama.cpp", "tgi"],
)  # fmt: skip
def test_prompt_too_long_is_a_bad_row(plan: Plan):
    """The engines' messages become `PromptTooLong`, which drops a row and does not end the run."""
    with FaultyServer(plan) as server, pytest.raises(PromptTooLong):
        ask(server)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 512 tokens, however you requested 600 tokens (400 in your prompt; 200 "
        "for the completion). Please reduce your prompt; or completion length.",
        "'max_tokens' is too large: 200. This model's maximum context length is 512 tokens and your request has 400 "
        "input tokens (200 > 512 - 400).",
    ],
)
def test_too_many_tokens_asked_for_is_asked_again_with_what_fits(message: str):
    """A prompt that fits is answered up to the end of the context."""
    with FaultyServer(refuse(400, message), say("cut", "length")) as server:
        got = ask(server, Sampling(max_tokens=200))
    assert (got.text, got.finish_reason) == ("cut", "length")
    assert [body["max_tokens"] for body in server.bodies] == [200, 112]


def test_no_more_tokens_are_asked_for_than_the_context_holds():
    """A server that states its context is never asked for more tokens: vLLM refuses them."""
    with FaultyServer(card={"max_model_len": 512}) as server:
        ask(server, Sampling(max_tokens=1536))
    assert server.bodies[0]["max_tokens"] == 511


def test_other_refusals_end_the_run_in_the_servers_words():
    """A 4xx is not repeated; its message is shown."""
    with FaultyServer(refuse(422, "top_p must be in (0, 1], got 7.0.\nline two")) as server:
        message = fail(server)
    assert message.endswith("it refuses the request (422): top_p must be in (0, 1], got 7.0. line two")
    assert len(server.bodies) == 1


@pytest.mark.parametrize("where", ["list", "completion"])
def test_web_page_instead_of_the_api(where: str):
    """A web page means a wrong address."""
    with FaultyServer(always=show_page(), list_plan=show_page() if where == "list" else None) as server:
        message = fail(server)
    assert message == f"{server.url}: it answers with a web page, not with the OpenAI API; check host, port and path"


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (lambda handler, body: handler.send(b"pong", "text/plain"), "its answer is not JSON but 'pong'"),
        (lambda handler, body: handler.send_json({"ok": True}), "JSON without choices[0].text"),
        (lambda handler, body: handler.send_json({"choices": []}), "JSON without choices[0].text"),
        (lambda handler, body: handler.send_json([1]), "JSON without choices[0].text"),
        (say(7), "is not a text"),  # type: ignore[arg-type]
    ],
)
def test_answers_in_no_known_form(plan: Plan, words: str):
    """JSON of another shape, or other text, is named in the error."""
    with FaultyServer(always=plan) as server:
        assert words in fail(server)


def test_model_list_in_no_known_form():
    """A /models that is JSON of another shape is named."""
    with FaultyServer(list_plan=lambda handler, body: handler.send_json({"ok": True})) as server:
        assert "is no OpenAI model list" in fail(server)


def test_server_without_a_model_list_is_asked_by_name():
    """Not every server has /models; a configured name is then used unchanged."""
    with FaultyServer(list_plan=refuse(404)) as server:
        assert ask(server, name="any").text == "hello:11"
        assert "does not tell which models it holds; set model.name" in fail(server, name="")


def test_redirect_is_named():
    """Redirected POSTs lose their body, so the address is to be corrected instead."""
    with FaultyServer(refuse(307, headers={"Location": "https://elsewhere/v1"})) as server:
        assert "redirects to https://elsewhere/v1" in fail(server)


def test_stop_string_left_in_the_text_is_cut():
    """A server that returns the stop string, or ignores `stop`, gives the same rows as any other."""
    with FaultyServer(say("one</a>two", "length")) as server:
        got = ask(server, Sampling(stop=("</a>",)))
    assert (got.text, got.finish_reason) == ("one", "stop")


def test_length_is_told_apart():
    """A completion cut by max_tokens has the finish reason "length"."""
    with FaultyServer(say("one", "length")) as server:
        assert ask(server).finish_reason == "length"


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("https://host/api/v1/completions", "https://host/api/v1"),
        ("https://host/team", "https://host/team/v1"),
        ("https://host/v1beta/openai", "https://host/v1beta/openai"),
        ("http://[::1]:80/v1?x=1", "http://[::1]:80/v1"),
    ],
)
def test_addresses_are_completed(written: str, used: str):
    """With or without scheme, /v1, /completions or a slash: the same server."""
    assert addressing.normalize_url(written) == used


@pytest.mark.parametrize("written", ["", "ftp://host/v1", "http://", "http://host:port/v1", "http://host:99999"])
def test_no_address(written: str):
    """An invalid address is refused before any request."""
    with pytest.raises(ModelError, match="is no server address; write it like"):
        addressing.normalize_url(written)
