"""What a person has to fix is found before any work, and told together."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import run_recipe
from selfcodealign.errors import ModelError, RecipeError, RunFolderError, UserError
from selfcodealign.installation import install_extra, install_packages
from selfcodealign.pipeline import plan_recipe
from selfcodealign.recipe import load_recipe
from selfcodealign.run_folder import folder as run_folder
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.settings import DATA_JOURNEY
from selfcodealign.stages import checks, train
from tests.support.faulty_server import FaultyServer
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources

WHOLE = [*DATA_JOURNEY, "train", "evaluate"]


@pytest.fixture(autouse=True)
def no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found here is found before a program runs."""
    judge_by_text(monkeypatch)


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """What is said of a recipe with these settings; the run must not have begun, and the dry run must say the same."""
    sources = write_sources(tmp_path / "source", 2)

    def try_it(*settings: str, added: list[str] | None = None, **options: Any) -> str:
        recipe = small_recipe(sources, *settings, added=added or [])
        said = []
        for call in (plan_recipe, run_recipe):
            with pytest.raises(UserError) as error:
                asyncio.run(call(recipe, tmp_path / "run", **options))
            said.append(str(error.value))
        assert said[0] == said[1]
        assert not (tmp_path / "run" / "seeds").exists()
        return said[0]

    return try_it


def test_all_problems_are_told_together(refused: Callable[..., str], tmp_path: Path) -> None:
    """One run with six mistakes needs one attempt to learn of all of them."""
    said = refused(
        'seeds.sources=["no/such/folder"]',
        "model.name=./no/model",
        "responses.examples=1000",
        'decontamination.benchmarks=["no_such_benchmark.jsonl"]',
        'evaluate.benchmarks=["humanevil"]',
        f'evaluate.problems={{tiny-eval="{tmp_path}/nothing.jsonl"}}',
        added=["train", "evaluate"],
    )
    lines = said.splitlines()
    assert lines[0] == f"{len(lines) - 1} things to fix before this can run:"
    for part in (
        "source no/such/folder does not exist",
        "there is no folder ./no/model",
        'stage "responses" needs more examples (1000)',
        "no_such_benchmark.jsonl",
        'no benchmark "humanevil"; did you mean "humaneval"?',
        'evaluate.problems names "tiny-eval", which is none of evaluate.benchmarks',
    ):
        assert sum(part in line for line in lines) == 1, said
    assert len(lines) == 7


def test_every_source_and_the_ks_of_an_evaluation_are_checked(refused: Callable[..., str]) -> None:
    """All missing sources are named; pass@5 of one answer is refused before the answers are paid for."""
    sources = 'seeds.sources=["package:no_such_package", "/nope", "git:/nope2"]'
    said = refused(sources, "evaluate.k=[5]", added=["evaluate"], model=scripted_model())
    for part in ("no_such_package", "/nope does", "/nope2", "needs 5 answers per problem, and evaluate.samples is 1"):
        assert sum(part in line for line in said.splitlines()) == 1, said


def test_own_code_that_is_no_source_is_told_with_the_other_problems(refused: Callable[..., str]) -> None:
    """Before the run folder is made."""
    said = refused('seeds.sources=["git:/nope"]', 'seeds.own_code=["git:/mine"]', model=scripted_model())
    assert 'seeds.own_code names "git:/mine", which is none of seeds.sources' in said
    assert "/nope" in said


def test_a_single_problem_is_one_line_of_its_own_kind(refused: Callable[..., str]) -> None:
    """The error is the one that the part itself raises."""
    assert refused("few_shot.file=pyton").endswith('did you mean "python"?')


def test_a_server_that_does_not_answer_is_found_before_the_sources_are_read(refused: Callable[..., str]) -> None:
    """Hours of seeds are not read for a server that is not there."""
    said = refused('model.urls=["http://127.0.0.1:9"]', "model.name=some/model", "model.retry_seconds=0")
    assert "127.0.0.1:9" in said


def test_missing_extras_are_named_with_the_command(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training without its packages is refused before anything is generated."""
    monkeypatch.setattr(train, "find_spec", lambda name: None if name in ("trl", "peft", "bitsandbytes") else name)
    said = refused("train.weights=qlora", added=["train"], model=scripted_model())
    assert f"training needs trl, peft: {install_extra('train')}, or make the data set alone" in said
    assert f"train.weights = qlora needs bitsandbytes: {install_packages('bitsandbytes')}" in said


def test_training_needs_weights_that_servers_do_not_give(refused: Callable[..., str]) -> None:
    """A model behind URLs cannot be tuned here; `train.model` names the weights."""
    said = refused('model.urls=["http://127.0.0.1:9"]', "model.name=m", "model.retry_seconds=0", added=["train"])
    assert "training needs the weights of m" in said
    assert "train.model" in said


def test_prompts_that_no_model_of_this_context_reads_are_found_before_work(refused: Callable[..., str]) -> None:
    """Counted with a checkpoint's own tokenizer, estimated for a server that tells its context."""
    said = refused("model.name=embedded", "responses.examples=1")
    assert said.startswith("prompts with the worked examples of ")  # one thing to fix, though several stages say it
    assert "the context of embedded (512 tokens): use few_shot.file" in said
    with FaultyServer(card={"max_model_len": 512}) as server:
        said = refused(f'model.urls=["{server.url}"]', "model.name=demo", "instructions.examples=1")
    assert said.startswith("prompts with the worked examples of ")
    assert "the context of demo (512 tokens)" in said


def test_short_prompts_and_unknown_contexts_are_let_through(tmp_path: Path) -> None:
    """The shipped quickstart fits the embedded model; a server that tells no context is believed."""
    asyncio.run(plan_recipe(load_recipe("quickstart"), tmp_path / "run", until="responses"))
    with FaultyServer() as server:
        recipe = small_recipe(write_sources(tmp_path / "source", 2), f'model.urls=["{server.url}"]', "model.name=demo")
        asyncio.run(plan_recipe(recipe, tmp_path / "run", until="responses"))


def test_a_sandbox_that_cannot_start_is_found_before_work(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken machine is an error before the first row."""

    async def broken(self: object) -> None:
        raise checks.UserError("no wall can be had here")

    monkeypatch.setattr("selfcodealign.sandbox.on_demand.OnDemandSandbox.open", broken)
    assert refused(model=scripted_model()) == "no wall can be had here"


def test_a_full_disk_is_found_before_work(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little room is said with how much there is."""
    usage = shutil.disk_usage(".")._replace(free=run_folder.LEAST_FREE - 1)
    monkeypatch.setattr(run_folder.shutil, "disk_usage", lambda place: usage)
    assert refused(model=scripted_model()).startswith("only 256 MiB are free at ")


def test_an_output_that_is_no_folder_is_found_before_work(tmp_path: Path) -> None:
    """A file in the way of the run folder, and a folder that another run uses."""
    (tmp_path / "file").write_text("")
    recipe = small_recipe(write_sources(tmp_path / "source", 1))
    with pytest.raises(RecipeError, match="is no folder; choose another --out"):
        asyncio.run(run_recipe(recipe, tmp_path / "file" / "run", model=scripted_model()))
    with RunFolder(tmp_path / "run"), pytest.raises(RecipeError, match="in use by another run"):
        asyncio.run(run_recipe(recipe, tmp_path / "run", model=scripted_model()))
    with RunFolder(tmp_path / "run"), pytest.raises(RunFolderError, match="in use by another run"):
        RunFolder(tmp_path / "run").__enter__()


def test_a_folder_with_other_files_is_no_run_folder(tmp_path: Path) -> None:
    """A run writes into an empty or a new folder, not between the files of a checkout."""
    recipe = small_recipe(write_sources(tmp_path / "source", 2))
    (tmp_path / "checkout" / ".git").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for call in (plan_recipe, run_recipe):
        with pytest.raises(RecipeError, match="holds files that are no run: choose an empty or new folder for --out"):
            asyncio.run(call(recipe, tmp_path / "checkout", model=scripted_model()))
        asyncio.run(call(recipe, tmp_path / "empty", until="seeds", model=scripted_model()))
    assert [path.name for path in (tmp_path / "checkout").iterdir()] == [".git"]


def test_a_finished_run_opens_neither_model_nor_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of which everything is there needs no server to say so."""
    recipe = small_recipe(write_sources(tmp_path / "source", 8), "responses.samples=1")
    asyncio.run(run_recipe(recipe, tmp_path / "run", model=scripted_model()))

    async def never(self: object) -> None:
        raise ModelError("opened")

    monkeypatch.setattr("selfcodealign.sandbox.on_demand.OnDemandSandbox.open", never)
    monkeypatch.setattr("selfcodealign.models.on_demand.OnDemandModel.open", never)
    asyncio.run(run_recipe(recipe, tmp_path / "run", model=scripted_model()))


def test_a_run_that_asks_nothing_needs_no_address(tmp_path: Path) -> None:
    """recipe.toml has *** for a password: dry run and run go on, until a stage has to ask."""
    words = ('model.urls=["http://me:secret@127.0.0.1:9"]', "model.name=demo")
    recipe = small_recipe(write_sources(tmp_path / "source", 2), *words)
    asyncio.run(run_recipe(recipe, tmp_path / "run", until="concepts", model=scripted_model()))
    stored = load_recipe(tmp_path / "run" / "recipe.toml")
    assert "***@" in stored.model.urls[0]
    for call in (plan_recipe, run_recipe):
        asyncio.run(call(stored, tmp_path / "run", until="concepts"))
        with pytest.raises(ModelError, match="give the whole address again"):
            asyncio.run(call(stored, tmp_path / "run"))


def test_a_run_is_resumed_when_its_sources_are_gone(tmp_path: Path) -> None:
    """Sources that were read to their end are not needed again; unread ones are."""
    recipe = small_recipe(write_sources(tmp_path / "source", 8), "responses.samples=1")
    asyncio.run(run_recipe(recipe, tmp_path / "run", until="concepts", model=scripted_model()))
    (tmp_path / "source").rename(tmp_path / "elsewhere")
    asyncio.run(run_recipe(recipe, tmp_path / "run", model=scripted_model()))
    assert (tmp_path / "run" / "dataset" / "README.md").exists()
    with pytest.raises(UserError, match="does not exist"):
        asyncio.run(run_recipe(recipe, tmp_path / "other", model=scripted_model()))


def test_a_wrong_address_is_told_with_the_other_problems(refused: Callable[..., str]) -> None:
    """A model that cannot even be made is one problem among others."""
    said = refused('model.urls=["ftp://host"]', "model.name=m", "responses.examples=1000")
    assert "is no server address" in said
    assert "needs more examples (1000)" in said


def test_a_run_until_a_stage_needs_only_what_the_stages_before_it_need(tmp_path: Path) -> None:
    """Seeds can be taken on a machine without the model."""
    recipe = small_recipe(write_sources(tmp_path / "source", 2), "model.name=./no/model", added=["train"])
    asyncio.run(run_recipe(recipe, tmp_path / "run", until="near_dedup"))
    assert (tmp_path / "run" / "near_dedup" / "stage.json").exists()
    with pytest.raises(ModelError, match="there is no folder"):
        asyncio.run(run_recipe(recipe, tmp_path / "run", until="concepts"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("selection.choose=agreement", "responses.stop_after_passes=0"), "set execution.cross = true"),
        (("selection.choose=agreement", "execution.cross=true"), "set responses.stop_after_passes = 0"),
        (
            ("selection.choose=agreement", "execution.cross=true", "responses.samples=1"),
            "set responses.stop_after_passes = 0",
        ),
        (("selection.proof=split", "execution.split=false"), "set execution.split = true"),
    ],
)
def test_a_selection_by_what_is_not_measured_is_refused(
    refused: Callable[..., str], settings: tuple[str, ...], said: str
) -> None:
    """Else every answer would be dropped, or the setting would do nothing, after all the work."""
    told = refused(*settings, model=scripted_model())
    assert said in told
    assert "\n" not in told
