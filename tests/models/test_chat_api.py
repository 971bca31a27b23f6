"""Servers that have `/v1/chat/completions` alone: what is sent, what is read, and what becomes of other answers."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, Sampling, Unanswered
from selfcodealign.models.chat_form import REQUEST
from selfcodealign.models.opening import open_model
from selfcodealign.models.server import ServerModel
from selfcodealign.settings import ModelSettings
from tests.support.chat_server import chat_server, reply, reply_choice, reply_deltas
from tests.support.faulty_server import FaultyServer, Handler, fail, refuse, settings

PROMPT = "<task>\nAdd.\n</task>\n<answer>\n"


def ask(server: FaultyServer, sampling: Sampling | None = None, **values: Any) -> Completion:
    return asyncio.run(ask_once(ServerModel(settings(server, api="chat", **values)), sampling))


async def ask_once(model: ServerModel, sampling: Sampling | None = None) -> Completion:
    async with model:
        return await model.complete(PROMPT, sampling or Sampling(), seed=11)


def identity(server: FaultyServer) -> dict[str, str]:
    async def run() -> dict[str, str]:
        async with ServerModel(settings(server, api="chat")) as model:
            await model.complete(PROMPT, Sampling(), seed=1)
            return model.identity()

    return asyncio.run(run())


def test_the_prompt_is_one_user_message():
    """The request comes first, since it is the same in every prompt; sampling is that of completions."""
    with chat_server(reply("yes", usage={"prompt_tokens": 9, "completion_tokens": 2})) as server:
        got = ask(server, Sampling(temperature=0.5, max_tokens=40, stop=("</answer>", "\n\n")))
    assert (got.text, got.finish_reason, got.prompt_tokens, got.completion_tokens) == ("yes", "stop", 9, 2)
    (body,) = server.bodies
    assert body["messages"] == [{"role": "user", "content": REQUEST + PROMPT}]
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.5, 40, 11)
    assert body["stop"] == ["</answer>"]  # an empty line stands after a greeting
    assert not {"prompt", "continue_final_message", "add_generation_prompt"} & body.keys()


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llamacpp"])
def test_the_open_section_begins_the_answer(engine: str):
    """Engines that can continue a message of the assistant get the prompt's last line as its beginning."""
    with chat_server(reply("yes"), engine=engine) as server:
        ask(server)
    body = server.bodies[0]
    assert [one["role"] for one in body["messages"]] == ["user", "assistant"]
    assert "".join(one["content"] for one in body["messages"]) == REQUEST + PROMPT
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


@pytest.mark.parametrize(
    "message",
    [
        "continue_final_message is set but the final message does not appear in the chat",
        "Assistant response prefill is incompatible with enable_thinking.",
    ],
)
def test_a_server_that_cannot_continue_gets_one_message(message: str):
    """It is asked again at once, and the identity says so."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        (refuse(400, message) if "continue_final_message" in body else reply("yes"))(handler, body)

    with chat_server(plan, engine="vllm") as server:
        assert identity(server)["asked"] == "without continue_final_message"
    assert [len(body["messages"]) for body in server.bodies] == [2, 1]
    assert "add_generation_prompt" not in server.bodies[1]


def test_an_answer_that_is_all_reasoning_is_asked_without_the_beginning():
    """Some parsers of reasoning take a continued answer for reasoning without an end."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        lost = "continue_final_message" in body
        (reply(None, reasoning_content="yes") if lost else reply("yes"))(handler, body)

    with chat_server(plan, engine="vllm") as server:
        assert ask(server).text == "yes"


def test_a_stream_is_joined():
    """Reasoning in a stream is not part of the text, but counts as work."""
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
    plan = reply_deltas(
        {"reasoning": "Hm, "}, {"reasoning_content": "so"}, {"content": "ye"}, {"content": "s"}, usage=usage
    )
    with chat_server(plan) as server:
        got = ask(server)
    assert (got.text, got.finish_reason, got.cached_tokens) == ("yes", "stop", 4)
    assert server.bodies[0]["stream"]


@pytest.mark.parametrize(
    ("content", "message", "text"),
    [
        ("yes", {"reasoning_content": "no"}, "yes"),
        ("yes", {"reasoning": "no"}, "yes"),
        ("<think>\nno</think>\n\nyes", {}, "yes"),
        ("no</think>\nyes", {}, "yes"),
        ("a <think>b</think>", {}, "a <think>b</think>"),
        (
            [{"type": "thinking", "thinking": []}, {"type": "text", "text": "ye"}, {"type": "text", "text": "s"}],
            {},
            "yes",
        ),
        ("yes", {"refusal": None, "tool_calls": []}, "yes"),
    ],
)
def test_what_is_the_text(content: Any, message: dict[str, Any], text: str):
    """Reasoning is kept out of it, wherever a server puts it; parts are joined."""
    with chat_server(reply(content, **message)) as server:
        assert ask(server).text == text


def test_reasoning_up_to_the_limit_is_a_cut_text():
    """A model that has thought for `max_tokens` has written nothing: cut, not a broken answer."""
    with chat_server(reply(None, "length", reasoning_content="Let me")) as server:
        got = ask(server)
    assert (got.text, got.finish_reason) == ("", "length")


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (reply(None, refusal="I cannot help with that."), "I cannot help with that."),
        (reply_deltas({"refusal": "I cannot "}, {"refusal": "help."}), "I cannot help."),
        (reply("half", "content_filter"), "content filter"),
        (reply_deltas({"content": "half"}, reason="content_filter"), "content filter"),
    ],
)
def test_a_refusal_costs_its_row_at_once(plan: Any, words: str):
    """The model's own refusal is an answer: asked once, no fault of the server."""
    with chat_server(plan) as server, pytest.raises(Unanswered, match=words) as caught:
        ask(server)
    assert caught.value.reason == "model_refused"
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (reply(None, "tool_calls", tool_calls=[{"id": "1"}]), "call of a tool"),
        (reply_deltas({"tool_calls": [{"index": 0}]}, reason="tool_calls"), "call of a tool"),
        (reply(None), "choices\\[0\\].message.content in its answer is not a text"),
        (reply_choice({"text": "yes"}), "without choices\\[0\\].message.content"),
        (lambda handler, body: handler.send_json({"ok": 1}), "is this a /v1/chat/completions server"),
    ],
)
def test_what_is_no_answer(plan: Any, words: str):
    """A first answer in no known form ends the run, with one line."""
    with chat_server(plan) as server, pytest.raises(ModelError, match=words):
        ask(server)


def test_newer_servers_want_max_completion_tokens(caplog: pytest.LogCaptureFixture):
    """Learnt from the refusal, said once, and in the identity."""
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        (refuse(400, message) if "max_tokens" in body else reply("yes"))(handler, body)

    with chat_server(plan) as server, caplog.at_level(logging.WARNING):
        assert identity(server)["asked"] == "with max_completion_tokens"
    assert [body.get("max_completion_tokens") for body in server.bodies] == [None, 512]
    assert sum("max_completion_tokens" in line for line in caplog.messages) == 1


def test_first_tokens_in_the_chat_form():
    """Log-probabilities come with the content's first chunk; those of reasoning are not the answer's."""
    likely = {"content": [{"token": "yes", "top_logprobs": [{"token": "yes", "logprob": -0.1}]}]}
    thought = {"content": [{"token": "Hm", "top_logprobs": [{"token": "Hm", "logprob": -0.2}]}]}
    with chat_server(
        reply_deltas({"reasoning": "Hm", "logprobs": thought}, {"content": "yes", "logprobs": likely})
    ) as one:
        assert ask(one, Sampling(top_logprobs=5)).first_token == {"yes": -0.1}
    assert (one.bodies[0]["logprobs"], one.bodies[0]["top_logprobs"]) == (True, 5)
    whole = {"message": {"content": "yes"}, "finish_reason": "stop", "logprobs": likely}
    with chat_server(reply_choice(whole)) as one:
        assert ask(one, Sampling(top_logprobs=5)).first_token == {"yes": -0.1}


def test_refused_log_probabilities_are_left_out_together():
    """`top_logprobs` alone would be refused."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        (refuse(400, "logprobs are not supported here") if "logprobs" in body else reply("yes"))(handler, body)

    with chat_server(plan) as server:
        assert ask(server, Sampling(top_logprobs=5)).first_token == {}
    assert "top_logprobs" not in server.bodies[-1]


def test_more_stop_strings_than_a_server_takes_are_cut_here():
    """OpenAI takes four."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        words = "Invalid 'stop': array too long. Expected an array with maximum length 4, but got length 5."
        (refuse(400, words) if len(body["stop"]) > 4 else reply("one<e>two"))(handler, body)

    with chat_server(plan) as server:
        assert ask(server, Sampling(stop=("<a>", "<b>", "<c>", "<d>", "<e>"))).text == "one"


def test_the_error_names_the_other_form():
    """A server that has one form alone is found by asking for the other."""
    with chat_server(reply("yes")) as server:
        assert fail(server).endswith('it has no /v1/completions, but /v1/chat/completions: set model.api = "chat"')

    def only_completions(handler: Handler, body: dict[str, Any]) -> None:
        refuse(404 if "chat" in handler.path else 400, "no")(handler, body)

    with FaultyServer(always=only_completions) as server:
        assert fail(server, api="chat").endswith('but /v1/completions: set model.api = "completions"')
    with FaultyServer(always=refuse(404)) as server:
        assert "neither" in fail(server)


def test_a_model_without_a_chat_format_is_asked_for_completions():
    """The error of a base model behind the chat form names the setting."""
    words = "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template"
    with chat_server(refuse(400, words)) as server:
        assert fail(server, api="chat").endswith('set model.api = "completions"')


def test_a_local_model_has_no_chat_form():
    """The setting is refused where it would be ignored."""
    with pytest.raises(ModelError, match="is for servers"):
        open_model(ModelSettings(api="chat"))
