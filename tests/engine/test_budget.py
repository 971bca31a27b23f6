"""A run under a budget: it stops cleanly, spends nothing twice, and goes on to the rows of a run without one."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import Budget, run_recipe
from selfcodealign.errors import ModelError, RecipeError
from selfcodealign.models import Completion, Sampling
from selfcodealign.pipeline import plan_recipe, tell_spent
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.settings import Recipe
from tests.support.journey import answer, judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.runs import everything, rows_of
from tests.support.told import Told


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """Sixty seeds before any is asked about; copies of instructions go in between, so that two flows ask the model."""
    folder = tmp_path_factory.mktemp("budget")
    settings = ["model.name=scripted", "instructions.per_seed=2"]
    recipe = small_recipe(write_sources(folder / "source", 60), *settings, added=["distinct"])
    asyncio.run(run_recipe(recipe, folder / "run", model=scripted_model(), until="near_dedup"))
    return recipe, folder / "run"


@pytest.fixture
def recipe(prepared: tuple[Recipe, Path], monkeypatch: pytest.MonkeyPatch) -> Recipe:
    judge_by_text(monkeypatch)
    return prepared[0]


@pytest.fixture
def run(prepared: tuple[Recipe, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared[1], tmp_path / "run"))


def state(run: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / stage / "stage.json").read_text())
    return found


def spent(run: Path) -> int:
    """Tokens that run.json says all runs of the folder have asked."""
    asked = json.loads((run / "run.json").read_text())["asked"].values()
    return sum(one["prompt_tokens"] + one["completion_tokens"] for one in asked)


@pytest.fixture
async def whole(recipe: Recipe, prepared: tuple[Recipe, Path], tmp_path: Path) -> Path:
    """A run of the recipe without a budget."""
    run = Path(shutil.copytree(prepared[1], tmp_path / "whole"))
    await run_recipe(recipe, run, model=scripted_model(concurrency=8))
    return run


@pytest.mark.parametrize("without", [["distinct"], []])
async def test_a_budget_of_tokens_is_met_and_leaves_a_data_set(recipe: Recipe, run: Path, without: list[str]) -> None:
    """The run ends by itself with the examples that the tokens bought, near the limit, in one flow and in two."""
    journey = [name for name in recipe.journey if name not in without]
    recipe = recipe.model_copy(update={"journey": journey})
    limit = 300_000
    result = await run_recipe(recipe, run, model=scripted_model(concurrency=8), budget=Budget(tokens=limit))
    assert 0.8 * limit < spent(run) <= 1.05 * limit
    assert result.books["selection"].kept > 10
    assert len(list((run / "dataset").glob("**/*.parquet"))) == 1
    assert result.stopped.startswith(f"stopped by --budget tokens={limit} (")
    assert f"selfcodealign run -o {run}" in result.stopped
    # With a stage between that compares all rows, the answers to what had come are complete.
    for stage in ("concepts", "instructions") if "distinct" in journey else ("concepts", "instructions", "responses"):
        assert state(run, stage)["stopped"] == f"--budget tokens={limit}"
        assert state(run, stage)["books"] is None
    # What was paid for is used: every instruction that entered has all its answers.
    answered = result.books["responses"].entered
    assert answered >= 0.8 * result.books[journey[journey.index("responses") - 1]].kept


async def test_the_same_command_spends_nothing_more(recipe: Recipe, run: Path) -> None:
    """A budget counts the folder: once it is spent, the same run asks nothing and leaves the same rows."""
    budget = Budget(tokens=300_000)
    await run_recipe(recipe, run, model=scripted_model(), budget=budget)
    await run_recipe(recipe, run, model=scripted_model(), budget=budget)  # may use what was left for a last row
    before, paid = everything(run), spent(run)
    model = scripted_model()
    result = await run_recipe(recipe, run, model=model, budget=budget)
    assert (everything(run), spent(run), model.calls) == (before, paid, 0)
    assert paid <= 1.05 * 300_000
    assert result.stopped.startswith("stopped by --budget tokens=300000")


async def test_a_larger_budget_goes_on_to_the_rows_of_a_run_without_one(recipe: Recipe, run: Path, whole: Path) -> None:
    """Budgets change when rows are made, and not which: step by step they end where one run ends."""
    for tokens in (100_000, 250_000, 400_000):
        result = await run_recipe(recipe, run, model=scripted_model(), budget=Budget(tokens=tokens))
        assert result.stopped
    result = await run_recipe(recipe, run, model=scripted_model())
    assert (result.stopped, everything(run)) == ("", everything(whole))
    assert "stopped" not in state(run, "concepts")


async def test_killed_under_a_budget_a_run_forgets_nothing_that_it_paid(recipe: Recipe, run: Path) -> None:
    """A server that dies again and again: all attempts together keep to the budget."""
    budget, asked = Budget(tokens=250_000), 0

    def counting(prompt: str, sampling: Sampling, seed: int) -> str:
        nonlocal asked
        asked += len(prompt) // 4
        return answer(prompt, sampling, seed)

    for _ in range(20):
        model = scripted_model(fail_after=25, concurrency=4)
        model._answers = counting
        try:
            result = await run_recipe(recipe, run, model=model, budget=budget)
        except ModelError:
            continue
        assert result.stopped
        break
    else:
        pytest.fail("twenty runs did not reach the budget")
    assert asked <= 1.05 * 250_000


@pytest.mark.parametrize("wanted", [1, 20, 45])
async def test_a_budget_of_examples_is_reached_and_hardly_passed(recipe: Recipe, run: Path, wanted: int) -> None:
    """The run goes on by itself until the data set has that many, and asks little more than it needs."""
    result = await run_recipe(recipe, run, model=scripted_model(concurrency=8), budget=Budget(examples=wanted))
    assert wanted <= result.books["selection"].kept <= wanted + 15
    assert len(rows_of(run, "selection")) == result.books["selection"].kept
    assert result.stopped.startswith(f"stopped by --budget examples={wanted} (")
    again = scripted_model()
    await run_recipe(recipe, run, model=again, budget=Budget(examples=wanted))
    assert again.calls == 0


async def test_examples_are_wanted_after_selection(recipe: Recipe, run: Path) -> None:
    """Selection drops most answers here: the run sees how many it leaves, and goes on until they are enough."""

    def few_tasks(prompt: str, sampling: Sampling, seed: int) -> str | Completion:
        if prompt.endswith("<instruction>\n"):
            return f"Write a function `task_{seed % 40}(n)` that returns n plus {seed % 40}.\n</instruction>\n"
        return answer(prompt, sampling, seed)

    recipe = recipe.model_copy(update={"journey": [name for name in recipe.journey if name != "distinct"]})
    model = scripted_model(concurrency=4)
    model._answers = few_tasks
    result = await run_recipe(recipe, run, model=model, budget=Budget(examples=20))
    assert 20 <= result.books["selection"].kept <= 25
    assert result.books["concepts"].entered < 60
    assert result.stopped


async def test_rows_that_end_before_the_examples_are_told(recipe: Recipe, run: Path) -> None:
    """A wish for more examples than the seeds give ends with all rows through, and says how many there are."""
    result = await run_recipe(recipe, run, model=scripted_model(), budget=Budget(examples=5_000))
    assert result.stopped.startswith(f"all seeds are through: {result.books['selection'].kept} of 5,000 examples")
    assert state(run, "responses")["books"] is not None


async def test_money_is_tokens_and_hours_at_the_recipes_prices(recipe: Recipe, run: Path) -> None:
    """Cached prompt tokens have their own price; what was spent is told in the recipe's currency."""
    prices = {"prompt_tokens": 1.0, "cached_tokens": 0.1, "answer_tokens": 4.0, "currency": "EUR"}
    priced = Recipe.model_validate(recipe.model_dump() | {"prices": prices})
    result = await run_recipe(priced, run, model=scripted_model(concurrency=4), budget=Budget(money=0.2))
    asked = json.loads((run / "run.json").read_text())["asked"].values()
    paid = sum(one["prompt_tokens"] + 4.0 * one["completion_tokens"] for one in asked) / 1e6
    assert 0.16 < paid <= 0.21
    assert f"({paid:.2f} EUR of 0.20 EUR)" in result.stopped


async def test_hours_are_those_in_which_the_model_is_asked(recipe: Recipe, run: Path) -> None:
    """A budget of hours that is spent lets nothing in, however long ago they were spent."""
    await run_recipe(recipe, run, model=scripted_model(), until="concepts")
    folder = RunFolder(run)
    assert 0 < folder.facts()["asking_seconds"]["concepts"] < 600
    folder.record({"asking_seconds": {"concepts": 3600.0}})
    model = scripted_model()
    result = await run_recipe(recipe, run, model=model, budget=Budget(hours=1), until="responses")
    assert (model.calls, result.books["responses"].entered) == (0, 0)
    assert result.stopped.startswith("stopped by --budget hours=1 (1.00 hours of 1.00 hours): instructions is")


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"money": 5}, "set prices.prompt_tokens and prices.answer_tokens"),
        ({"examples": 5, "until": "instructions"}, "this run has no stage responses"),
    ],
)
async def test_a_budget_that_cannot_be_kept_is_refused_before_any_work(
    recipe: Recipe, run: Path, budget: dict[str, Any], said: str
) -> None:
    """One line that names what to set; nothing is written."""
    until = budget.pop("until", None)
    with pytest.raises(RecipeError, match=said):
        await run_recipe(recipe, run, model=scripted_model(), budget=Budget(**budget), until=until)
    assert not (run / "concepts").exists()


async def test_prices_of_tokens_are_those_of_the_base_model_alone(recipe: Recipe, run: Path) -> None:
    """A run that asks another model too is not priced as if it were the base model; a person may say that it is."""
    teacher = {"models": {"teacher": {"name": "teacher", "urls": ["http://localhost:9/v1"]}}}
    asking = recipe.model_dump() | teacher | {"concepts": {"model": "teacher"}}
    tokens, hour = {"prompt_tokens": 1.0, "answer_tokens": 4.0}, {"server_hour": 2.0}

    def problems(**prices: Any) -> list[str]:
        return Budget(money=5).problems(Recipe.model_validate(asking | {"prices": prices}), recipe.journey)

    (told,) = problems(**tokens)
    assert "[models.teacher]" in told
    assert "prices.all_models=true" in told
    assert problems(**tokens, all_models=True) == problems(**hour) == []
    priced = Recipe.model_validate(recipe.model_dump() | {"prices": tokens})
    assert Budget(money=5).problems(priced, recipe.journey) == []


async def test_the_command_to_go_on_can_be_pasted(recipe: Recipe, run: Path, tmp_path: Path) -> None:
    """A folder with a space in its name is quoted."""
    folder = run.rename(tmp_path / "my run")
    result = await run_recipe(recipe, folder, model=scripted_model(), budget=Budget(tokens=30_000))
    assert result.stopped.endswith(f"selfcodealign run -o '{folder}'")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("token=5", 'did you mean "tokens"'),
        ("tokens", "give a number, as in tokens=500"),
        ("tokens=many", "give a number"),
        ("tokens=0", "allows nothing"),
        ("tokens=5,tokens=6", "names tokens twice"),
    ],
)
def test_what_is_no_budget_is_refused_with_its_fix(text: str, said: str) -> None:
    """A wrong kind, a missing number, nothing, and the same kind twice."""
    with pytest.raises(RecipeError, match=said):
        Budget.read([text])


async def test_a_dry_run_and_the_funnel_tell_what_is_spent(recipe: Recipe, run: Path) -> None:
    """What a stopped folder says: its plan names the budget, and how much of a larger one is used."""
    told = Told()
    await run_recipe(recipe, run, model=scripted_model(), budget=Budget(tokens=200_000), progress=told)
    larger = Budget(tokens=400_000)
    decisions = await plan_recipe(recipe, run, model=scripted_model(), budget=larger)
    sentences = [one.sentence for one in decisions]
    assert any(one.startswith("concepts: resumes (stopped by --budget tokens=200000); so far") for one in sentences)
    assert tell_spent(recipe, run, decisions, larger) == [f"{spent(run):,} tokens of 400,000 tokens"]
    assert told.budget() == f"budget: {100 * spent(run) / 200_000:.0f} % of 200,000 tokens" or "to it" in told.budget()
