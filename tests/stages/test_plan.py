"""A dry run is true: for every setting of the recipe it announces what the run then does, in the run's own words."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

import pytest

from selfcodealign import ScriptedModel, run_recipe
from selfcodealign.errors import RunFolderError, UserError
from selfcodealign.models import PromptTooLong, Sampling
from selfcodealign.pipeline import CATALOGUE, plan_recipe
from selfcodealign.settings import MOST_TOKENS, Recipe, Section
from selfcodealign.stages.plan import Action, Decision, explain_changes
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.places import ROOT
from tests.support.runs import ROW_STAGES, rows_of
from tests.support.told import Told

JOURNEY = [*ROW_STAGES, "dataset", "train", "evaluate"]

#: Another value for each setting whose type does not offer one.
OTHER: dict[str, Any] = {
    "journey": JOURNEY[:-1],
    "own": {"nothing": {}},
    "models": {"teacher": {"name": "other"}, "another": {"name": "other"}},
    "judge.model": "teacher",
    "concepts.model": "teacher",
    "instructions.model": "teacher",
    "responses.model": "teacher",
    "evolve.model": "teacher",
    "evolve.keep": "last",
    "evolve.heuristics": ["rarer"],
    "evolve.prompt": "message",
    "evolve_verified.model": "teacher",
    "evolve_verified.keep": "last",
    "evolve_verified.heuristics": ["rarer"],
    "evolve_verified.prompt": "message",
    "responses.prompt": "instruction",
    "edits.model": "teacher",
    "monologues.model": "teacher",
    "pairs.model": "teacher",
    "prequery.model": "teacher",
    "prequery.template": f"{ROOT}/selfcodealign/embedded",
    "prequery.system": "Ask for code.",
    "self_instruct.model": "teacher",
    "self_instruct.forbidden_words": ["later"],
    "model.name": "other",
    "model.revision": "abc",
    "model.urls": ["http://localhost:1"],
    "model.serve_args": ["--seed", "1"],
    "model.api_key_env": "OTHER_KEY",
    "model.device": "cuda",
    "model.cache_gib": 1.5,
    "model.requests_per_minute": 60.0,
    "model.tokens_per_minute": 1000.0,
    "seeds.sources": ["SOURCES/.."],
    "seeds.code_column": "code",
    "seeds.path_column": "path",
    "seeds.licence_column": "licence",
    "seeds.split": "test",
    "seeds.licence": "MIT",
    "seeds.repository_column": "repository",
    "seeds.blob_url": "http://localhost:1/{blob_id}",
    "seeds.skip": ["tests"],
    "seeds.commits_endings": [".pyi"],
    "seeds.commits_skip": ["link"],
    "seeds.commits_tokenizer": "NONE",
    "seeds.licences": ["MIT"],
    "seeds.own_code": ["SOURCES"],
    "imported.sources": ["ROWS"],
    "imported.instruction_column": ["task"],
    "imported.response_column": ["reply"],
    "imported.tests_column": ["none"],
    "imported.id_column": "number",
    "imported.licence_column": "licence",
    "imported.language_column": "none",
    "imported.split": "test",
    "imported.licence": "MIT",
    "imported.licences": ["MIT"],
    "near_dedup.against": ["EARLIER"],
    "near_dedup.against_column": "code",
    "quality.bad_imports": ["os"],
    "quality.bad_words": ["later"],
    "quality.docstring_languages": ["de"],
    "dataset.license": "MIT",
    "telemetry.otlp": "http://localhost:1",
    "prices.prompt_tokens": 0.1,
    "prices.cached_tokens": 0.01,
    "prices.answer_tokens": 0.4,
    "prices.all_models": True,
    "prices.server_hour": 2.0,
    "prices.currency": "EUR",
    "few_shot.file": "tiny",
    "instructions.categories": ["function"],
    "responses.parts": ["reasoning", "response", "explanation", "tests"],
    "instructions.difficulties": ["easy"],
    "execution.warm": ["json"],
    "selection.unfinished_words": ["later"],
    "selection.near_dedup": ["code"],
    "decontamination.benchmarks": ["BENCHMARK"],
    "train.model": f"{ROOT}/selfcodealign/embedded",
    "train.attention": "eager",
    "train.mix": ["MIX"],
    "train.report_to": ["tensorboard"],
    "dpo.model": f"{ROOT}/selfcodealign/embedded",
    "dpo.attention": "eager",
    "dpo.report_to": ["tensorboard"],
    "grpo.model": f"{ROOT}/selfcodealign/embedded",
    "grpo.attention": "eager",
    "grpo.report_to": ["tensorboard"],
    "grpo.clip_high": 0.28,
    "evaluate.benchmarks": ["tiny-eval", "tiny-eval"],
    "evaluate.problems": {"tiny-eval": f"{ROOT}/selfcodealign/embedded/tiny_eval.jsonl"},
    "evaluate.base_modes": ["chat"],
    "evaluate.k": [1, 1],
    "evaluate.few_shot": "tiny",
}


def every_setting() -> Iterator[str]:
    """The dotted names of all settings of a recipe."""
    for name, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from (f"{name}.{inner}" for inner in field.annotation.model_fields)
        else:
            yield name


def read(recipe: Recipe, setting: str) -> Any:
    value: Any = recipe
    for part in setting.split("."):
        value = getattr(value, part)
    return value


def another_value(recipe: Recipe, setting: str) -> Any:
    """A valid value that the setting does not have."""
    if setting in OTHER:
        return OTHER[setting]
    value = read(recipe, setting)
    section: Any = Recipe
    for part in setting.split(".")[:-1]:
        section = section.model_fields[part].annotation
    annotation = section.model_fields[setting.split(".")[-1]].annotation
    options = [one for one in (annotation, *get_args(annotation)) if get_origin(one) is Literal]
    if options:
        return next(one for one in get_args(options[0]) if one != value)
    if isinstance(value, bool) or annotation in (bool, bool | None):
        return not value
    if isinstance(value, float):
        return value * 0.5 if value else 0.25
    if isinstance(value, int) or int in get_args(annotation):
        return (value or 1) + 1 if setting != "concepts.snippet_characters" else 50
    raise AssertionError(f"name another value for {setting} in OTHER")


def change(recipe: Recipe, setting: str, value: Any) -> Recipe:
    section, dot, name = setting.rpartition(".")
    values = recipe.model_dump(mode="json")
    (values[section] if dot else values)[name] = value
    if setting == "responses.tests":  # without tests nothing can be run
        values["responses"]["execute"] = value
    return Recipe.model_validate(values)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plan")


def pretend_to_train(*arguments: Any, **options: Any) -> SimpleNamespace:
    """Leaves what a complete training leaves; the decisions about it are what is tested here."""
    out: Path = arguments[2]
    out.mkdir(parents=True, exist_ok=True)
    (out / "train_report.json").write_text("{}")
    figures = dict.fromkeys(("first_margin", "last_margin", "first_reward", "last_reward"), 0.5)
    return SimpleNamespace(steps=1, rows=1, first_loss=1.0, last_loss=0.5, figures=figures)


async def pretend_to_evaluate(*arguments: Any, **options: Any) -> SimpleNamespace:
    out: Path = arguments[2]
    out.mkdir(parents=True, exist_ok=True)
    (out / "scores.json").write_text('{"scores": []}')
    return SimpleNamespace(scores=[SimpleNamespace(label="base", benchmark="tiny-eval", k=1, percent=0.0)])


@pytest.fixture
def only_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run makes its rows, and neither judges, trains nor scores."""
    judge_by_text(monkeypatch)
    for name in ("train", "train_dpo", "train_grpo"):
        monkeypatch.setattr(f"selfcodealign.training.{name}", pretend_to_train)
    monkeypatch.setattr("selfcodealign.evaluation.evaluate", pretend_to_evaluate, raising=False)


#: Journeys with the stages that `JOURNEY` lacks, by section: those that start programs, and those of other methods.
_INSTRUCTIONS = ["seeds", "near_dedup", "concepts", "instructions"]
_FURTHER = [*ROW_STAGES, "dataset", "train", "dpo", "grpo"]
JOURNEYS = {
    "quality": ["seeds", "quality", "types"],
    "types": ["seeds", "quality", "types"],
    "evolve": [*_INSTRUCTIONS, "evolve"],
    "evolve_verified": [*_INSTRUCTIONS, "evolve_verified"],
    "pairs": ["seeds", "near_dedup", "pairs"],
    "prequery": ["prequery", "distinct"],
    "self_instruct": ["self_instruct", "novel"],
    "novel": ["self_instruct", "novel"],
    "dpo": _FURTHER,
    "grpo": _FURTHER,
}


def run_through(journey: list[str], finished: tuple[Recipe, Path], places: Path) -> tuple[Recipe, Path]:
    """A finished run with another journey, made once."""
    recipe = change(change(finished[0], "journey", journey), "grpo.max_tokens", 64)  # the model's context is small
    run = places / "-".join(journey)
    if not run.exists():
        model = scripted_model()
        asyncio.run(run_recipe(recipe, run, model=model, models={"teacher": model}))
    return recipe, run


@pytest.fixture
def finished(places: Path, only_rows: None) -> tuple[Recipe, Path]:
    """A recipe and a finished run of it, made once."""
    sources = places / "source"
    if not sources.exists():
        write_sources(sources, 8)
        (places / "benchmark.jsonl").write_text(
            json.dumps({"task_id": "Own/0", "text": "Write a function that reads a road map and names every lake."})
        )
        (places / "mix.jsonl").write_text(json.dumps({"instruction": "Name a tree.", "response": "alder"}))
        (places / "earlier.jsonl").write_text(json.dumps({"seed": "def unlike(any, seed, of, this, run): pass"}))
    recipe = small_recipe(
        sources,
        "model.name=scripted",
        "train.model=embedded",
        "responses.samples=2",
        "responses.stop_after_passes=0",
        "execution.workers=1",
        "execution.mutation_testing=false",
        "models.teacher.name=scripted",
        "prequery.template=plain",
        "prequery.draws=4",
        "self_instruct.lineages=2",
        "self_instruct.rounds=2",
    )
    recipe = change(recipe, "journey", JOURNEY)
    run = places / "finished"
    if not run.exists():
        asyncio.run(run_recipe(recipe, run, model=scripted_model()))
    return recipe, run


def look_at(run: Path) -> dict[str, dict[str, int]]:
    """The files of every stage, with the time of their last change."""
    folders = [
        *ROW_STAGES,
        "quality",
        "types",
        "evolve",
        "evolve_verified",
        "pairs",
        "prequery",
        "self_instruct",
        "novel",
        "dataset",
        "tuned",
        "dpo",
        "grpo",
        "evaluation",
        "superseded",
    ]
    return {
        name: {
            str(path.relative_to(run)): path.stat().st_mtime_ns for path in (run / name).rglob("*") if path.is_file()
        }
        for name in folders
    }


def outcome_of(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("setting", list(every_setting()))
def test_the_dry_run_of_a_changed_setting_announces_what_the_run_does(
    setting: str, finished: tuple[Recipe, Path], tmp_path: Path, places: Path
) -> None:
    """The same sentences, the same stages started again, nothing touched that is said to be finished."""
    journey = JOURNEYS.get(setting.partition(".")[0])
    recipe, original = finished if journey is None else run_through(journey, finished, places)
    run = tmp_path / "run"
    shutil.copytree(original, run)
    value = json.loads(
        json.dumps(another_value(recipe, setting))
        .replace("SOURCES", str(places / "source"))
        .replace("BENCHMARK", str(places / "benchmark.jsonl"))
        .replace("EARLIER", str(places / "earlier.jsonl"))
        .replace("MIX", str(places / "mix.jsonl"))
    )
    assert value != read(recipe, setting)
    changed = change(recipe, setting, value)
    before = look_at(run)
    told, model = Told(), scripted_model()
    given: Any = {"model": model, "models": {"teacher": model}}
    planned = outcome_of(plan_recipe(changed, run, **given))
    assert look_at(run) == before, "a dry run changes nothing"
    if not isinstance(planned, str) and any(one.lost for one in planned):
        refused = outcome_of(run_recipe(changed, run, **given))
        assert "would move to superseded/" in refused
        assert setting in refused
        assert look_at(run) == before
    ran = outcome_of(run_recipe(changed, run, progress=told, **given, replace_finished=True))
    if isinstance(planned, str):
        assert ran == planned
        assert look_at(run) == before
        return
    decisions: dict[str, Decision] = {one.step.name: one for one in planned}
    if isinstance(ran, str):
        assert ran.startswith("the data set is empty"), ran  # the stages after it are not reached
        decisions = {name: one for name, one in decisions.items() if name not in ("train", "dpo", "grpo", "evaluate")}
    announced = [one.sentence for one in planned if one.action is not Action.BEGIN]
    assert told.lines[0] == f"run folder: {run}"
    assert told.lines[1 : len(announced) + 1] == announced
    check_what_was_done(decisions, before, look_at(run), model.calls, told)
    section = setting.partition(".")[0]
    elsewhere = section in CATALOGUE and section not in recipe.journey  # decides the rows of no stage here
    free = setting == "flush_seconds" or is_free(setting) or elsewhere
    started = [one for one in planned if one.action is Action.START_AGAIN]
    if free or setting in ("journey", "models"):  # what no stage asks decides nothing
        assert {one.action for one in planned} <= {Action.REST, Action.UPDATE}
        assert not started
    else:
        assert any(f"{setting} changed from" in one.sentence for one in started), announced


def is_free(setting: str) -> bool:
    section, _, name = setting.rpartition(".")
    return bool(section) and name not in read(Recipe(), section).deciding()


def check_what_was_done(
    decisions: Mapping[str, Decision],
    before: Mapping[str, Mapping[str, int]],
    after: Mapping[str, Mapping[str, int]],
    calls: int,
    told: Told,
) -> None:
    """Each decision against the files that the run left."""
    moved = {Path(name).parts[1].rsplit("-", 1)[0] for name in after["superseded"]}
    outputs = {"train": "tuned", "dpo": "dpo", "grpo": "grpo", "evaluate": "evaluation"}
    worked = {str(call[1]) for call in told.calls if call[0] == "start"}
    for name, decision in decisions.items():
        folder = outputs.get(name, name)
        match decision.action:
            case Action.REST:
                assert after[folder] == before[folder], f"{name} was touched"
                assert folder not in moved
                assert name not in worked
            case Action.START_AGAIN:
                assert folder in moved, f"{name} was not moved away"
                assert after[folder] != before[folder]
            case Action.UPDATE | Action.BEGIN:
                assert name in worked or name in {*outputs, "dataset"}
            case Action.RESUME:
                raise AssertionError("everything was finished")
    asked = any(decisions[name].action is not Action.REST for name in decisions if name not in outputs)
    assert asked or calls == 0


def test_the_first_run_begins_and_a_second_one_rests(finished: tuple[Recipe, Path], tmp_path: Path) -> None:
    """All stages from the beginning; then all of them finished but for the data set, which is written again."""
    recipe, run = finished
    first = asyncio.run(plan_recipe(recipe, tmp_path / "new", model=scripted_model()))
    assert {one.action for one in first} == {Action.BEGIN}
    assert not (tmp_path / "new").exists()
    again = {one.step.name: one for one in asyncio.run(plan_recipe(recipe, run, model=scripted_model()))}
    assert {name for name, one in again.items() if one.action is not Action.REST} == {"dataset"}
    assert again["seeds"].sentence == "seeds: finished (8 files in, 8 seeds kept); its sources are not read again"


def test_an_unfinished_stage_resumes_and_a_missing_file_is_noticed(
    finished: tuple[Recipe, Path], tmp_path: Path
) -> None:
    """A stage without books, and one that lacks a shard of its books, are worked on again, and end with all rows."""
    recipe, original = finished
    run = tmp_path / "run"
    shutil.copytree(original, run)
    (next((run / "concepts").glob("kept-*"))).unlink()
    planned = {one.step.name: one for one in asyncio.run(plan_recipe(recipe, run, model=scripted_model()))}
    assert planned["concepts"].sentence == "concepts: resumes, because files of it are missing"
    assert planned["instructions"].action is Action.UPDATE
    asyncio.run(run_recipe(recipe, run, model=scripted_model()))
    state = json.loads((run / "instructions" / "stage.json").read_text())
    assert state["books"] == json.loads((original / "instructions" / "stage.json").read_text())["books"]
    state["books"] = None
    (run / "instructions" / "stage.json").write_text(json.dumps(state))
    planned = {one.step.name: one for one in asyncio.run(plan_recipe(recipe, run, model=scripted_model()))}
    assert planned["instructions"].sentence.startswith("instructions: resumes; so far ")


def test_a_selection_that_an_earlier_run_changed_starts_the_training_again(
    finished: tuple[Recipe, Path], tmp_path: Path
) -> None:
    """A run that ended between selection and training leaves a model of other rows: the next one says so and trains."""
    recipe, original = finished
    run = tmp_path / "run"
    shutil.copytree(original, run)
    unwanted = rows_of(run, "selection")[0]["instruction"].split("`")[1].partition("(")[0]
    changed = change(recipe, "selection.unfinished_words", [unwanted])
    asyncio.run(run_recipe(changed, run, until="dataset", model=scripted_model()))
    planned = {one.step.name: one for one in asyncio.run(plan_recipe(changed, run, model=scripted_model()))}
    assert planned["selection"].action is Action.REST
    assert planned["train"].action is Action.START_AGAIN
    assert planned["train"].sentence.startswith("train: starts again because the examples changed from ")
    assert planned["evaluate"].action is Action.UPDATE
    told = Told()
    with pytest.raises(RunFolderError, match="tuned/ of train"):
        asyncio.run(run_recipe(changed, run, model=scripted_model()))
    asyncio.run(run_recipe(changed, run, model=scripted_model(), progress=told, replace_finished=True))
    assert planned["train"].sentence in told.lines
    assert any(line.startswith("evaluate: starts again because the tuned model changed from ") for line in told.lines)
    assert (run / "superseded" / "tuned-1").is_dir()
    again = asyncio.run(plan_recipe(changed, run, model=scripted_model()))
    assert {one.action for one in again if one.step.name != "dataset"} == {Action.REST}
    # The first settings again: the first model and its scores come back, and are not made again.
    first, told = (run / "superseded" / "tuned-1" / "train_report.json").stat().st_ino, Told()
    asyncio.run(run_recipe(recipe, run, model=scripted_model(), progress=told, replace_finished=True))
    assert (run / "tuned" / "train_report.json").stat().st_ino == first
    assert "train: tuned/ is back from superseded/tuned-1" in told.lines
    assert any(line.startswith("evaluate: evaluation/ is back from ") for line in told.lines)


def test_earlier_settings_bring_their_rows_back_and_the_plan_says_how_many(only_rows: None, tmp_path: Path) -> None:
    """In the dry run and in the refusal; rows for which no model was asked need no --yes."""
    sources, run = write_sources(tmp_path / "source", 6), tmp_path / "run"
    first = small_recipe(sources, "responses.samples=1")
    asyncio.run(run_recipe(first, run, until="instructions", model=scripted_model()))
    second = change(first, "concepts.temperature", 0.2)
    asyncio.run(run_recipe(second, run, until="concepts", model=scripted_model(), replace_finished=True))
    planned = asyncio.run(plan_recipe(first, run, until="concepts", model=scripted_model()))
    assert planned[-1].sentence.endswith("; its 6 rows in superseded/concepts-1 come back")
    with pytest.raises(RunFolderError, match=r"6 rows of concepts \(.*; its 6 rows in superseded/concepts-1 come back"):
        asyncio.run(run_recipe(first, run, until="concepts", model=scripted_model()))

    tiny = change(change(second, "few_shot.file", "tiny"), "concepts.examples", 1)
    planned = asyncio.run(plan_recipe(tiny, run, until="concepts", model=scripted_model()))
    assert 'few_shot.file changed from "python" to "tiny"' in planned[-1].sentence

    def refuse(prompt: str, sampling: Sampling, seed: int) -> str:
        raise PromptTooLong("too long")

    third = change(first, "concepts.temperature", 0.3)
    model = ScriptedModel(refuse)
    asyncio.run(run_recipe(third, tmp_path / "long", until="concepts", model=model))
    asyncio.run(run_recipe(first, tmp_path / "long", until="concepts", model=scripted_model()))


def test_scores_of_a_tuned_model_do_not_stay_without_the_training(
    finished: tuple[Recipe, Path], tmp_path: Path
) -> None:
    """A journey without `train` compares base models only."""
    recipe, original = finished
    run = tmp_path / "run"
    shutil.copytree(original, run)
    changed = change(recipe, "journey", [name for name in JOURNEY if name != "train"])
    planned = {one.step.name: one for one in asyncio.run(plan_recipe(changed, run, model=scripted_model()))}
    assert planned["evaluate"].action is Action.START_AGAIN


def test_limits_that_were_the_defaults_are_the_derived_ones(tmp_path: Path) -> None:
    """A run of an earlier release resumes under a recipe that sets no limit; a limit that is set starts again."""
    out, sources = tmp_path / "run", write_sources(tmp_path / "source", 2)
    limits = [f"{stage}.max_tokens={most}" for stage, most in MOST_TOKENS.items()]
    asyncio.run(run_recipe(small_recipe(sources, *limits), out, model=scripted_model(), until="responses"))

    def actions(*settings: str) -> dict[str, Action]:
        recipe = small_recipe(sources, *settings)
        plan = asyncio.run(plan_recipe(recipe, out, model=scripted_model(), until="responses"))
        return {one.step.name: one.action for one in plan}

    assert set(actions().values()) == {Action.REST}
    assert actions(*limits[:2], "responses.max_tokens=1000")["responses"] is Action.START_AGAIN


def test_a_run_of_another_journey_is_refused(finished: tuple[Recipe, Path], tmp_path: Path) -> None:
    """A journey may add stages to a run, and not leave out one that has rows, or change their order."""
    recipe, original = finished
    run = tmp_path / "run"
    shutil.copytree(original, run)
    for journey, why in (
        ([name for name in JOURNEY if name != "judge"], '"judge", which this journey leaves out'),
        ([name for name in JOURNEY if name != "concepts"], '"concepts", which this journey leaves out'),
        (
            ["seeds", "decontamination", "judge", "near_dedup", *JOURNEY[4:]],
            '"judge", which this journey has at another place',
        ),
    ):
        with pytest.raises(RunFolderError) as error:
            asyncio.run(run_recipe(change(recipe, "journey", journey), run, model=scripted_model()))
        assert why in str(error.value)
        assert "choose another --out" in str(error.value)


def test_a_journey_may_add_a_stage_to_a_run(only_rows: None, tmp_path: Path) -> None:
    """The judge comes later: rows of the seeds that it keeps are kept, the others are retired."""
    recipe = small_recipe(write_sources(tmp_path / "source", 12), "responses.samples=2")
    asyncio.run(run_recipe(recipe, tmp_path / "run", model=scripted_model()))
    judged = small_recipe(tmp_path / "source", "responses.samples=2", added=["judge"])
    asyncio.run(run_recipe(judged, tmp_path / "fresh", model=scripted_model()))
    model = scripted_model()
    asyncio.run(run_recipe(judged, tmp_path / "run", model=model))
    assert model.calls == 12, "only the judge was asked"
    for name in ("judge", "concepts", "instructions", "responses", "selection"):
        books = [json.loads((tmp_path / run / name / "stage.json").read_text())["books"] for run in ("run", "fresh")]
        assert books[0] == books[1]


def test_a_folder_in_the_earlier_form_is_refused(tmp_path: Path) -> None:
    """One line that says what to do; nothing is touched."""
    run = tmp_path / "run"
    (run / "seeds").mkdir(parents=True)
    (run / "run.json").write_text('{"selfcodealign": "0.1.0"}')
    (run / "seeds" / "stage.json").write_text('{"digest": "d", "settings": {}, "books": null}')
    recipe = small_recipe(write_sources(tmp_path / "source", 1))
    with pytest.raises(RunFolderError, match=r"in the format of an earlier version.*choose another --out"):
        asyncio.run(run_recipe(recipe, run, model=scripted_model()))
    assert json.loads((run / "run.json").read_text()) == {"selfcodealign": "0.1.0"}


def test_long_changes_are_told_short() -> None:
    """Three changes are spelt out, long values are cut, unset values are called so."""
    before: dict[str, Any] = {"a": 1, "b": None, "c": "x" * 100, "d": True, "e": 1}
    now: dict[str, Any] = {"a": 2, "b": "y", "c": "z", "d": False, "e": 2}
    told = explain_changes(before, now)
    assert told.startswith('a changed from 1 to 2, b changed from unset to "y", c changed from "xxx')
    assert told.endswith('to "z", 2 more changed')
    assert len(told) < 200


async def test_rows_that_an_earlier_run_left_behind_are_made_again(tmp_path: Path) -> None:
    """Answers changed with --until leave a selection of the earlier ones: the next whole run compares all again."""
    run = tmp_path / "run"
    recipe = small_recipe(write_sources(tmp_path / "source", 6))
    await run_recipe(recipe, run, model=scripted_model())
    changed = small_recipe(tmp_path / "source", "responses.samples=1")
    await run_recipe(changed, run, until="responses", model=scripted_model(), replace_finished=True)
    actions = {one.step.name: one.action for one in await plan_recipe(changed, run, model=scripted_model())}
    assert (actions["responses"], actions["selection"]) == (Action.REST, Action.UPDATE)
    await run_recipe(changed, run, model=scripted_model())
    kept = {row["response_id"] for row in rows_of(run, "responses")}
    assert {row["response_id"] for kind in ("kept", "dropped") for row in rows_of(run, "selection", kind)} == kept


def test_a_setting_that_was_renamed_has_not_changed(finished: tuple[Recipe, Path], tmp_path: Path) -> None:
    """A run of an earlier version named `train.weights` otherwise: its tuned model stays."""
    recipe, original = finished
    run = tmp_path / "run"
    shutil.copytree(original, run)
    text = (run / "run.json").read_text("utf-8")
    assert '"train.weights"' in text
    (run / "run.json").write_text(text.replace('"train.weights"', '"train.method"'), "utf-8")
    planned = {one.step.name: one for one in asyncio.run(plan_recipe(recipe, run, model=scripted_model()))}
    assert planned["train"].action is Action.REST
    other = change(recipe, "train.weights", "lora")
    planned = {one.step.name: one for one in asyncio.run(plan_recipe(other, run, model=scripted_model()))}
    assert planned["train"].sentence.startswith('train: starts again because train.weights changed from "full" to')
