"""The probabilities of the first token: what servers tell, refuse or leave out, and a checkpoint against its logits."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.models import Completion, Sampling
from selfcodealign.models.local import LocalModel
from selfcodealign.models.server import ServerModel
from selfcodealign.settings import ModelSettings
from tests.support.faulty_server import FaultyServer, Handler, Plan, ask, refuse, say, settings
from tests.support.streams import send_parts

JUDGED = Sampling(temperature=0.0, max_tokens=5, top_logprobs=5)
LIKELY = {"yes": -0.25, "no": -1.5}
OPENAI = {"tokens": ["yes"], "token_logprobs": [-0.25], "top_logprobs": [LIKELY]}
LLAMA_CPP = {
    "content": [
        {
            "id": 9,
            "token": "yes",
            "logprob": -0.25,
            "top_logprobs": [
                {"id": number, "token": token, "logprob": LIKELY[token]} for number, token in enumerate(LIKELY)
            ],
        }
    ]
}


def tell(logprobs: Any, text: str = "yes\n") -> Plan:
    """A response with these `logprobs`, if the request asks for some."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        told = {"logprobs": logprobs} if "logprobs" in body else {}
        handler.send_json({"choices": [{"text": text, "finish_reason": "stop", **told}]})

    return plan


def without(plan: Plan) -> Plan:
    """Answer requests that do not ask for log-probabilities, and meet the others with `plan`."""

    def either(handler: Handler, body: dict[str, Any]) -> None:
        (plan if "logprobs" in body else say("yes"))(handler, body)

    return either


@pytest.mark.parametrize("logprobs", [OPENAI, LLAMA_CPP], ids=["OpenAI", "llama.cpp"])
def test_both_shapes_are_read(logprobs: dict[str, Any]) -> None:
    """The request asks for five, and the log-probabilities come with the text."""
    with FaultyServer(always=tell(logprobs)) as server:
        got = ask(server, JUDGED)
    assert (got.text, got.first_token) == ("yes\n", LIKELY)
    assert server.bodies[0]["logprobs"] == 5


def test_only_a_request_for_them_asks_the_server() -> None:
    """Other requests stay as they were."""
    with FaultyServer(always=tell(OPENAI)) as server:
        assert ask(server, Sampling()).first_token == {}
    assert "logprobs" not in server.bodies[0]


def event(text: str, logprobs: Any, reason: str | None = None) -> bytes:
    body = {"choices": [{"index": 0, "text": text, "logprobs": logprobs, "finish_reason": reason}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def test_of_a_stream_the_first_token_that_is_no_white_space_counts() -> None:
    """A space first, then the word, each with a chunk."""
    blank = {"tokens": [" "], "top_logprobs": [{" ": -0.1, "yes": -9.0}]}
    later = {"tokens": ["\n"], "top_logprobs": [{"\n": -0.1}]}
    parts = event(" ", blank), event("yes", OPENAI), event("\n", later, "stop"), b"data: [DONE]\n\n"
    with FaultyServer(always=send_parts(*parts)) as server:
        got = ask(server, JUDGED)
    assert (got.text, got.first_token) == (" yes\n", LIKELY)


@pytest.mark.parametrize("space", [" ", "\n", "Ġ", "▁", "Ċ"])
def test_white_space_is_passed_over_however_it_is_written(space: str) -> None:
    """In a whole answer, too, and where a server does not decode its tokens."""
    told = {"tokens": [space, "yes"], "top_logprobs": [{space: -0.1}, LIKELY]}
    with FaultyServer(always=tell(told)) as server:
        assert ask(server, JUDGED).first_token == LIKELY


ODD: list[Any] = [
    None,
    True,
    [],
    {},
    "logprobs",
    {"top_logprobs": None},
    {"top_logprobs": [None]},
    {"tokens": "yes", "top_logprobs": [{"yes": "likely", "no": None, "Yes": math.nan, "y": 0.9}]},
    {"tokens": [7], "top_logprobs": [[["yes", -0.1]]]},
    {"content": [None, {"token": 3, "top_logprobs": [{"token": 5, "logprob": -0.1}, 8]}]},
    {"content": {"token": "yes"}},
]


@pytest.mark.parametrize("logprobs", ODD, ids=lambda one: json.dumps(one)[:40])
def test_odd_shapes_cost_no_answer(logprobs: Any) -> None:
    """What is no log-probability is passed over; the text is read."""
    with FaultyServer(always=tell(logprobs)) as server:
        got = ask(server, JUDGED)
    assert (got.text, dict(got.first_token)) == ("yes\n", {})


def test_a_server_that_ignores_the_field_gives_none() -> None:
    """The answer is there, without them."""
    with FaultyServer(always=say("yes")) as server:
        assert ask(server, JUDGED) == Completion("yes", "stop")


REFUSALS = [
    (400, "Unsupported parameter: 'logprobs'"),
    (400, "Requested sample logprobs of 5, which is greater than max allowed: 0"),
    (422, "logprobs: input should be a valid boolean"),
    (500, "logprobs is not supported for models created with logits_all=False"),
    (501, "log probabilities are not implemented"),
]


@pytest.mark.parametrize(("status", "message"), REFUSALS)
def test_a_server_that_refuses_them_is_asked_without(
    status: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """At once and from then on; the log says it once, and the identity of the model holds it."""

    async def run(server: FaultyServer) -> tuple[list[Completion], dict[str, str]]:
        async with ServerModel(settings(server)) as model:
            return [await model.complete("p", JUDGED, seed=seed) for seed in range(3)], model.identity()

    with FaultyServer(always=without(refuse(status, message))) as server, caplog.at_level(logging.WARNING):
        answers, identity = asyncio.run(run(server))
    assert answers == [Completion("yes", "stop")] * 3
    assert ["logprobs" in body for body in server.bodies] == [True, False, False, False]
    assert identity["asked"] == "without logprobs"
    assert sum("refuses logprobs" in record.message for record in caplog.records) == 1


def test_a_passing_fault_teaches_nothing_about_them() -> None:
    """A server that fails for another reason is asked for them again."""
    with FaultyServer(refuse(500, "CUDA error"), always=tell(OPENAI)) as server:
        assert ask(server, JUDGED).first_token == LIKELY


def test_of_an_echo_they_are_not_taken() -> None:
    """The first token of an answer that repeats the prompt is the prompt's."""
    prompt = "Is this docstring good? " * 20

    async def run(server: FaultyServer) -> Completion:
        async with ServerModel(settings(server)) as model:
            return await model.complete(prompt, JUDGED, seed=1)

    with FaultyServer(always=tell(OPENAI, prompt + "yes")) as server:
        assert asyncio.run(run(server)) == Completion("yes", "stop")


# ------------------------------------------------------------------------------------------------- a local checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from tests.support.tiny_model import make_model

    return make_model(tmp_path_factory.mktemp("model"))


class Direct:
    """The model without this package's engine."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def likely(self, ids: list[int]) -> list[tuple[str, float]]:
        """The five likeliest next tokens by one forward pass, the likeliest first."""
        import torch

        with torch.inference_mode():
            logits = self._model(torch.tensor([ids])).logits[0, -1]
        values, tokens = torch.log_softmax(logits, -1).topk(5)
        texts = [self.tokenizer.decode([one], skip_special_tokens=True) for one in tokens.tolist()]
        return list(zip(texts, values.tolist(), strict=True))

    def first(self, prompt: str) -> dict[str, float]:
        """Those in place of the first token that is more than white space."""
        ids = self.tokenizer(prompt)["input_ids"]
        while True:
            likely = self.likely(ids)
            if likely[0][0].strip():
                break
            ids = ids + self.tokenizer(likely[0][0])["input_ids"]
        return {text: math.log(sum(math.exp(value) for one, value in likely if one == text)) for text, _ in likely}


def ask_locally(folder: Path, prompts: list[str], sampling: Sampling) -> list[Completion]:
    async def run() -> list[Completion]:
        async with LocalModel(ModelSettings(name=str(folder), device="cpu", dtype="float32", batch_size=3)) as model:
            return list(await asyncio.gather(*(model.complete(prompt, sampling, seed=0) for prompt in prompts)))

    return asyncio.run(run())


def test_a_checkpoint_tells_what_a_forward_pass_gives(folder: Path) -> None:
    """For rows that enter and leave a batch, also where the text begins with white space."""
    direct = Direct(folder)
    prompts = [f"def f_{number}(a):\n    a = {'a ' * (number % 5)}" for number in range(40)]
    blank = [one for one in prompts if direct.likely(direct.tokenizer(one)["input_ids"])[0][0].isspace()]
    assert 0 < len(blank) < 40
    for prompt, got in zip(prompts, ask_locally(folder, prompts, JUDGED), strict=True):
        if got.text.strip():
            assert got.first_token == pytest.approx(direct.first(prompt), abs=1e-4), prompt


def test_they_do_not_depend_on_the_sampling(folder: Path) -> None:
    """They are the model's, before temperature and nucleus; the text is the same with and without them."""
    warm = Sampling(temperature=1.5, top_p=0.5, max_tokens=4, top_logprobs=5)
    (greedy,), (drawn,) = ask_locally(folder, ["def f"], JUDGED), ask_locally(folder, ["def f"], warm)
    assert greedy.first_token == pytest.approx(Direct(folder).first("def f"), abs=1e-4)
    (plain,) = ask_locally(folder, ["def f"], Sampling(temperature=1.5, top_p=0.5, max_tokens=4))
    assert (plain.text, plain.first_token) == (drawn.text, {})
