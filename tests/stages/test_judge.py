"""The judge: by the probability of yes, or by the first word."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import Completion, Sampling, ScriptedModel, run_recipe
from selfcodealign.errors import RunFolderError
from selfcodealign.models import Model
from selfcodealign.models.server import ServerModel
from selfcodealign.run_folder.folder import open_existing
from selfcodealign.settings import Recipe
from selfcodealign.stages.judge import weigh
from tests.support.faulty_server import FaultyServer, Handler, Plan, refuse, settings
from tests.support.journey import small_recipe, write_sources
from tests.support.runs import books, rows_of
from tests.support.told import Told

BY_WORD = "answers without probabilities, decided by their word"


def number_of(prompt: str) -> int:
    """The number of the seed that a prompt shows."""
    return int(re.findall(r"def \w+_(\d+)\(", prompt)[-1])


def likely(number: int) -> dict[str, float]:
    """P(yes) is so many twentieths, half of it written with a capital; some is for other words."""
    yes = 0.9 * number / 20
    return {"yes": math.log(yes / 2), "Yes": math.log(yes / 2), "no": math.log(0.9 - yes), "The": math.log(0.05)}


def probable(prompt: str, sampling: Sampling, seed: int) -> Completion:
    """An answer whose word is always no, with the probabilities if they are asked for; none for seed 0."""
    number = number_of(prompt)
    return Completion("no\n", "stop", first_token=likely(number) if number and sampling.top_logprobs else {})


def judged(tmp_path: Path, *more: str) -> Recipe:
    return small_recipe(write_sources(tmp_path / "source", 20), *more, added=["judge"])


async def judge(
    recipe: Recipe, run: Path, model: Model, **more: Any
) -> tuple[set[int], dict[int, tuple[str, str]], Told]:
    """The numbers of the kept seeds, reason and detail of the dropped ones, and what was told."""
    told = Told()
    await run_recipe(recipe, run, until="judge", model=model, progress=told, **more)
    kept = {number_of(row["seed"]) for row in rows_of(run, "judge")}
    drops = rows_of(run, "judge", "dropped")
    shown = {number_of(row["seed"]): (row["reason"], row["detail"]) for row in drops}
    return kept, shown, told


async def test_the_probability_decides(tmp_path: Path) -> None:
    """Seeds at the threshold and above are kept, spellings are summed; a drop holds the probability."""
    model = ScriptedModel(probable)
    kept, drops, _ = await judge(judged(tmp_path), tmp_path / "run", model)
    assert kept == set(range(10, 20))
    assert drops[5] == ("judged_no", "P(yes) 0.25")
    assert {reason for reason, _ in drops.values()} == {"judged_no"}


async def test_another_threshold_judges_again(tmp_path: Path) -> None:
    """The threshold decides rows, so the stage starts again, and keeps fewer seeds for a higher one."""
    sources, run = judged(tmp_path), tmp_path / "run"
    model = ScriptedModel(probable)
    await judge(sources, run, model)
    with pytest.raises(RunFolderError, match=r"judge\.threshold changed from 0\.5 to 0\.88"):
        await judge(judged(tmp_path, "judge.threshold=0.88"), run, model)
    kept, drops, _ = await judge(judged(tmp_path, "judge.threshold=0.88"), run, model, replace_finished=True)
    assert kept == {18, 19}
    assert drops[17] == ("judged_no", "P(yes) 0.85")
    assert model.calls == 40


async def test_without_probabilities_the_word_decides(tmp_path: Path) -> None:
    """It is told once, with the model's name, and counted in run.json."""
    words = ScriptedModel(lambda prompt, *_: "Yes.\n" if number_of(prompt) % 2 else "no\n", name="mute")
    kept, drops, told = await judge(judged(tmp_path), tmp_path / "run", words)
    assert kept == set(range(1, 20, 2))
    assert set(drops.values()) == {("judged_no", "no")}
    (line,) = [line for line in told.lines if line.startswith("the judge: ")]
    assert line.startswith("the judge: an answer of mute has no probabilities of yes and no")
    assert open_existing(tmp_path / "run").facts()["counted"]["judge"] == {BY_WORD: 20}


async def test_by_word_asks_for_no_probabilities(tmp_path: Path) -> None:
    """Nothing is told or counted, and what the model knows of them is not used."""
    asked: list[int] = []

    def answer(prompt: str, sampling: Sampling, seed: int) -> Completion:
        asked.append(sampling.top_logprobs)
        return Completion("yes\n", "stop", first_token={"no": -0.1})

    kept, _, told = await judge(judged(tmp_path, 'judge.by="word"'), tmp_path / "run", ScriptedModel(answer))
    assert (len(kept), set(asked)) == (20, {0})
    assert not [line for line in told.lines if line.startswith("the judge: ")]
    assert "judge" not in open_existing(tmp_path / "run").facts().get("counted", {})


async def test_an_answer_about_something_else_is_unparsed(tmp_path: Path) -> None:
    """However its small rest is divided between yes and no."""
    text = Completion("The docstring\n", "stop", first_token={"The": -0.1, "yes": -5.0})
    _, drops, _ = await judge(judged(tmp_path), tmp_path / "run", ScriptedModel(lambda *_: text))
    assert set(drops.values()) == {("unparsed", "The docstring")}
    assert len(drops) == 20


@pytest.mark.parametrize(
    ("first_token", "chance"),
    [
        ({"yes": math.log(0.3), "no": math.log(0.1)}, 0.75),
        ({" yes": math.log(0.1), "\tYES": math.log(0.1), "▁yes": math.log(0.1), "No": math.log(0.1)}, 0.75),
        ({"y": math.log(0.3), "n": math.log(0.1)}, 0.75),
        ({"yes": -0.1}, 1.0),
        ({"no.": -0.1}, 0.0),
        ({"yes": -3e38, "no": -0.1}, 0.0),
        ({"yesterday": -0.1, "not": -0.2, "": -0.3, "<": -0.4}, None),
        ({"yes": math.log(0.2), "no": math.log(0.1), "The": math.log(0.4)}, None),
        ({"yes": -math.inf, "no": -math.inf}, None),
        ({}, None),
    ],
)
def test_which_tokens_count(first_token: dict[str, float], chance: float | None) -> None:
    """Spellings and beginnings of the two words, unless another token is likelier than both together."""
    assert weigh(first_token) == (chance if chance is None else pytest.approx(chance))


def serve(*, gives: bool = True, refusal: Plan | None = None) -> Plan:
    """A server whose words are always no; it gives probabilities if asked, or refuses to."""

    def plan(handler: Handler, body: dict[str, Any]) -> None:
        if "logprobs" in body and refusal is not None:
            refusal(handler, body)
            return
        choice: dict[str, Any] = {"text": "no\n", "finish_reason": "stop"}
        number = number_of(body["prompt"])
        if "logprobs" in body and gives and number:
            choice["logprobs"] = {"tokens": ["no"], "top_logprobs": [likely(number)]}
        handler.send_json({"choices": [choice]})

    return plan


async def test_a_server_is_asked_for_the_probabilities(tmp_path: Path) -> None:
    """One greedy request for each seed; the one answer without probabilities is counted."""
    with FaultyServer(always=serve()) as server:
        kept, _, told = await judge(judged(tmp_path), tmp_path / "run", ServerModel(settings(server)))
    assert kept == set(range(10, 20))
    assert len(server.bodies) == 20
    assert {(body["logprobs"], body["temperature"]) for body in server.bodies} == {(5, 0.0)}
    assert sum(line.startswith("the judge: an answer of demo has no") for line in told.lines) == 1
    assert open_existing(tmp_path / "run").facts()["counted"]["judge"] == {BY_WORD: 1}


@pytest.mark.parametrize(
    "plan", [serve(gives=False), serve(refusal=refuse(400, "logprobs: unknown field"))], ids=["ignores", "refuses"]
)
async def test_a_server_without_probabilities_is_told(
    plan: Plan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its words decide all rows; none is lost."""
    with FaultyServer(always=plan) as server, caplog.at_level(logging.WARNING):
        kept, drops, told = await judge(judged(tmp_path), tmp_path / "run", ServerModel(settings(server)))
    assert (kept, len(drops)) == (set(), 20)
    assert sum(line.startswith("the judge: an answer of demo has no") for line in told.lines) == 1
    assert open_existing(tmp_path / "run").facts()["counted"]["judge"] == {BY_WORD: 20}
    assert books(tmp_path / "run")["judge"] == (20, 0, {"judged_no": 20})
