"""The scripted model follows the protocol of real engines."""

from __future__ import annotations

import asyncio

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, Model, Sampling
from selfcodealign.models.scripted import CHARACTERS_PER_TOKEN, ScriptedModel


def ask(model: Model, prompt: str = "prompt", sampling: Sampling | None = None, seed: int = 0) -> Completion:
    return asyncio.run(model.complete(prompt, sampling or Sampling(), seed=seed))


def test_function_sees_prompt_sampling_and_seed():
    """A script function gets the three arguments that decide an answer."""
    model = ScriptedModel(lambda prompt, sampling, seed: f"{prompt}|{sampling.temperature}|{seed}")
    assert ask(model, "p", Sampling(temperature=0.25), seed=9).text == "p|0.25|9"


def test_earliest_stop_string_ends_the_text():
    """The text ends before the earliest stop string, and the finish reason is "stop"."""
    answer = ask(ScriptedModel(["one END two STOP"]), sampling=Sampling(stop=("STOP", "END")))
    assert (answer.text, answer.finish_reason) == ("one ", "stop")


def test_max_tokens_cuts_by_length():
    """A longer text is cut at max_tokens units of four characters, with the finish reason "length"."""
    answer = ask(ScriptedModel(["x" * 100]), sampling=Sampling(max_tokens=3))
    assert answer == Completion("x" * 3 * CHARACTERS_PER_TOKEN, "length", prompt_tokens=2, completion_tokens=3)


def test_text_of_exactly_max_tokens_is_not_cut():
    """A text of exactly max_tokens is not cut."""
    assert ask(ScriptedModel(["x" * 12]), sampling=Sampling(max_tokens=3)).finish_reason == "stop"


def test_stop_string_beyond_max_tokens_does_not_count():
    """A stop string beyond the cut has no effect."""
    answer = ask(ScriptedModel(["x" * 20 + "END"]), sampling=Sampling(max_tokens=3, stop=("END",)))
    assert answer.finish_reason == "length"


def test_completion_is_handed_out_unchanged():
    """A script can state the finish reason and the token counts itself."""
    wanted = Completion("text END", "length", prompt_tokens=11, completion_tokens=5)
    assert ask(ScriptedModel([wanted]), sampling=Sampling(stop=("END",))) == wanted


def test_list_answers_in_order_and_ends():
    """A list is answered item by item; a call beyond the list is an error that names the length."""
    model = ScriptedModel(["a", "b"])
    assert [ask(model).text, ask(model).text] == ["a", "b"]
    with pytest.raises(ModelError, match="only 2 answers"):
        ask(model)


def test_mapping_answers_to_the_open_example():
    """The key nearest the end of the prompt wins over keys in the worked examples before it."""
    model = ScriptedModel({"apples": "A", "pears": "P"})
    assert ask(model, "pears apples ... pears:").text == "P"
    with pytest.raises(ModelError, match="no answer to a prompt ending 'plums'"):
        ask(model, "plums")


def test_fails_after_n_answers_and_can_come_back():
    """With `fail_after` the model answers n calls, then raises, until `fail_after` is reset."""
    model = ScriptedModel(lambda *_: "ok", fail_after=2)
    assert [ask(model).text for _ in range(2)] == ["ok", "ok"]
    with pytest.raises(ModelError, match="fails after 2"):
        ask(model)
    assert model.calls == 3
    model.fail_after = None
    assert ask(model).text == "ok"


def test_calls_with_latency_run_side_by_side():
    """Latency does not block other calls: all have begun before the first is answered."""
    begun_before_answer: list[int] = []

    async def ask_many() -> list[str]:
        def answer(prompt: str, sampling: Sampling, seed: int) -> str:
            begun_before_answer.append(model.calls)
            return str(seed)

        async with ScriptedModel(answer, latency=0.05) as model:
            answers = await asyncio.gather(*(model.complete("", Sampling(), seed=seed) for seed in range(100)))
        return [answer.text for answer in answers]

    assert asyncio.run(ask_many()) == [str(seed) for seed in range(100)]
    assert begun_before_answer == [100] * 100


def test_identity_names_the_script():
    """A run records which script answered."""
    identity = ScriptedModel([], name="demo", revision="2").identity()
    assert (identity["name"], identity["revision"], identity["engine"]) == ("demo", "2", "scripted")
