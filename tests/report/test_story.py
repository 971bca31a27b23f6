"""A run tells its own story: who wrote which field, what was verified, and what was not run."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from selfcodealign import RunResult, ScriptedModel, run_recipe
from selfcodealign.judging.stored import not_run_fields
from selfcodealign.models import Sampling
from selfcodealign.rows import Instruction, Response, digest, grow
from selfcodealign.sections import AskingSection
from selfcodealign.settings import ModelSettings
from selfcodealign.stages import Each
from selfcodealign.stages.context import Context
from tests.support.command_line import call
from tests.support.journey import answer, scripted_model, small_recipe, write_sources


class DistilSettings(AskingSection):
    """The section [own.distil]."""


def _build(context: Context) -> Callable[[Instruction], Awaitable[list[Response]]]:
    question = context.question("responses", ("response", "tests"), 1, Sampling(0.0, 1.0, 256), stage="distil")

    async def distil(row: Instruction) -> list[Response]:
        text = await question.model.complete(_prompt(row), Sampling(0.0, 1.0, 256), seed=0)
        question.usage.requests += 1
        unmeasured = {"passes_siblings": math.nan, "tests_pass": math.nan, "agreement": math.nan, "siblings": []}
        own = {"sample": 0, "completion": text.text, "response": text.text, "tests": "", "repairs": ""}
        return [grow(row, Response, response_id=digest(row.id, "distil"), **own, **unmeasured, **not_run_fields())]

    return distil


def _prompt(row: Instruction) -> str:
    return f"{row.instruction}\n<response>\n"


#: Gives answers in the place of the stage `responses`, of another model, and runs none.
DISTIL = Each(
    name="distil",
    takes=Instruction,
    gives=Response,
    settings=DistilSettings,
    needs=("model",),
    decided_by=lambda context: {**context.deciding("distil"), **context.asking("responses", "distil")},
    build=_build,
)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Six seeds; `scripted` asks, `teacher` answers, and nothing is run."""
    folder = tmp_path_factory.mktemp("story")
    recipe = small_recipe(write_sources(folder / "source", 6))
    journey = ["seeds", "near_dedup", "concepts", "instructions", "distil", "selection", "dataset"]
    changes = {"journey": journey, "own": {"distil": {"model": "teacher"}}}
    recipe = recipe.model_copy(update={**changes, "models": {"teacher": ModelSettings(name="teacher")}})
    teacher = ScriptedModel(lambda prompt, sampling, seed: f"Use `{digest(prompt)}`.", name="teacher", revision="7")
    base = scripted_model(name="base")
    return asyncio.run(run_recipe(recipe, folder / "run", model=base, models={"teacher": teacher}, stages=[DISTIL]))


def test_the_result_names_who_wrote_which_field(result: RunResult) -> None:
    """The base model, the teacher, and the people whose code the seeds are; nothing of what no row holds."""
    found = {one.field: (one.stage, one.model) for one in result.authors}
    assert found["seed"] == ("seeds", "")
    assert found["concepts"] == ("concepts", "base")
    assert found["instruction"] == ("instructions", "base")
    assert found["response"] == ("distil", "teacher")
    assert "tests" not in found
    assert set(result.statuses) == {"not_run"}
    assert "were not run: none of them is verified" in str(result)
    assert "verified examples" not in str(result)


def test_show_tells_it_in_words_and_as_json(result: RunResult) -> None:
    """The same in the funnel's page and in its JSON; no answer is called verified."""
    shown = " ".join(call("show", str(result.folder)).stdout.split())
    assert "concepts, instruction: base" in shown
    assert "response: teacher, revision 7" in shown
    assert f"{sum(result.statuses.values())} responses were not run" in shown
    assert "verified examples" not in shown
    told = {one["stage"]: one for one in json.loads(call("show", str(result.folder), "--json").stdout)["stages"]}
    assert told["distil"]["wrote"] == {"response": "teacher"}
    assert told["seeds"]["wrote"] == {"seed": None}
    assert set(told["selection"]["statuses"]) == {"not_run"}
    some = call("show", str(result.folder), "--stage", "distil", "--sample", "2")
    assert "not_run" in some.stdout


def test_the_card_names_both_models_and_claims_no_test(result: RunResult) -> None:
    """Its first sentence, its table of authors, and whose licences follow; the folder has the same for programs."""
    card = " ".join((result.folder / "dataset" / "README.md").read_text("utf-8").split())
    assert "# Code instructions" in card
    assert "pairs: `base` wrote the instructions, `teacher` the responses." in card
    assert "| `response` | `teacher`, revision `7` | distil |" in card
    assert "responses were **not** run" in card
    assert "passed" not in card.partition("## How it was made")[0]
    assert "`base` and `teacher` wrote (above) inherits the licence" in card
    stored = json.loads((result.folder / "dataset" / "written_by.json").read_text("utf-8"))
    assert {"base", "teacher"} == {one["model"] for one in stored if one["model"]}


def test_a_run_of_one_model_is_verified_self_alignment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ordinary journey keeps its words: one author, and all responses passed."""
    from tests.support.journey import judge_by_text

    judge_by_text(monkeypatch)
    recipe = small_recipe(write_sources(tmp_path / "source", 6))
    found = asyncio.run(run_recipe(recipe, tmp_path / "run", model=ScriptedModel(answer, name="base")))
    card = (tmp_path / "run" / "dataset" / "README.md").read_text("utf-8")
    assert "# Self-aligned code instructions" in card
    assert "pairs that `base` wrote. Every response passed tests written with it, in a sandbox" in card
    assert set(found.statuses) == {"passed"}
    assert "verified examples" in str(found)
