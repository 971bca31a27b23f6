"""Recipes: typed settings, clear refusals, and which settings decide the rows."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import run
from selfcodealign.errors import RecipeError, RenamedWarning
from selfcodealign.recipe import default_recipe, load_recipe, recipe_toml, shipped_recipes
from selfcodealign.settings import (
    ConceptSettings,
    ExecutionSettings,
    InstructionSettings,
    Recipe,
    ResponseSettings,
    Section,
)
from tests.support.journey import small_recipe, write_sources
from tests.support.places import ROOT


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads(name: str) -> None:
    """Every recipe in the package is valid, and its first line is the command that runs it."""
    load_recipe(name)
    text = (ROOT / "selfcodealign" / "recipes" / f"{name}.toml").read_text()
    assert text.startswith(f"# selfcodealign run {name}")


def test_the_paper_recipe_holds_the_published_settings() -> None:
    """Eight examples for concepts and instructions, one for responses, ten samples, all drawn."""
    paper = load_recipe("paper")
    assert (paper.concepts.examples, paper.instructions.examples, paper.responses.examples) == (8, 8, 1)
    assert (paper.responses.samples, paper.responses.stop_after_passes, paper.responses.temperature) == (10, 0, 0.7)
    assert (paper.near_dedup.jaccard, paper.selection.jaccard, paper.selection.permutations) == (0.5, 0.7, 250)
    assert (paper.execution.seconds, paper.execution.memory_mib) == (10.0, 4096)
    assert "judge" in paper.journey
    assert paper.responses.max_tokens == 1536
    assert paper.journey[-3:] == ["dataset", "train", "evaluate"]
    train = paper.train
    assert (train.optimizer, train.learning_rate, train.schedule, train.warmup) == ("adafactor", 1e-5, "linear", 0.05)
    assert (train.batch, train.max_tokens) == (64, 1280)
    assert paper.evaluate.benchmarks == ["humaneval+", "mbpp+"]


def test_a_single_value_is_taken_for_a_list_of_one(tmp_path: Path) -> None:
    """In a recipe and with --set, for every setting that is a list; a list stays what it is."""
    path = tmp_path / "r.toml"
    path.write_text('journey = "seeds"\n[model]\nname = "m"\nurls = "http://a:1"\n')
    recipe = load_recipe(path, ["seeds.sources=package:requests", "evaluate.k=1", 'execution.warm=["numpy"]'])
    assert recipe.journey == ["seeds"]
    assert recipe.model.urls == ["http://a:1"]
    assert (recipe.seeds.sources, recipe.evaluate.k, recipe.execution.warm) == (["package:requests"], [1], ["numpy"])
    lists = load_recipe(path, ['seeds.sources=["package:requests"]'])
    assert lists.seeds.result_digest() == recipe.seeds.result_digest()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ["limit=3"],
            '--set: unknown setting "limit"; did you mean "seeds.limit" or "imported.limit" or "evaluate.limit"?',
        ),
        (["seeds=3"], "--set: seeds = 3: [seeds] is a section: write seeds.NAME = ..."),
        (["execution.sandbox=nsp"], "--set: execution.sandbox = 'nsp'"),
        (["responses.sample=3"], 'unknown setting "responses.sample"; did you mean "samples"?'),
        (["respones.samples=3"], 'unknown setting "respones"; did you mean "responses"?'),
        (["responses.samples=0"], "responses.samples = 0: input should be greater than or equal to 1"),
        (["responses.samples=many"], "responses.samples = 'many'"),
        (["execution.sandbox=none"], "execution.sandbox = 'none'"),
        (["responses.samples"], 'a setting is section.key=value, not "responses.samples"'),
        (["random_seed.x=1"], 'random_seed.x: "random_seed" is a setting, not a section'),
        (['model.urls=["http://a"]', "model.serve=vllm", "model.name=m"], "model.urls and model.serve exclude"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(tmp_path: Path, settings: list[str], said: str) -> None:
    """The message names the key, what is wrong, and the key that was probably meant."""
    recipe = tmp_path / "r.toml"
    recipe.write_text("random_seed = 0\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe, settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("papr", None, 'did you mean "paper"?'),
        ("missing.toml", None, "cannot read missing.toml: No such file or directory; check the path"),
        ("torn.toml", b"[model\nname =", "torn.toml is not valid TOML"),
        ("latin.toml", b"# caf\xe9\n", "latin.toml:1: this line is not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: bytes | None, said: str
) -> None:
    """A typo in the name, a missing, torn or wrongly encoded file: one line each."""
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_bytes(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)
    assert said in str(caught.value)


def test_settings_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    """Defaults < recipe file < --set, and a bare word is a string."""
    recipe = tmp_path / "r.toml"
    recipe.write_text("[responses]\nsamples = 3\nmax_tokens = 7\n")
    loaded = load_recipe(recipe, ["responses.samples=5", "model.name=some/model", "selection.same_names=false"])
    assert (loaded.responses.samples, loaded.responses.max_tokens, loaded.responses.examples) == (5, 7, 1)
    assert loaded.model.name == "some/model"
    assert not loaded.selection.same_names


def test_only_settings_that_decide_the_rows_change_a_digest() -> None:
    """More workers or another server keep finished rows; another limit or model does not."""
    plain = Recipe()
    fast = plain.execution.model_copy(update={"workers": 9, "sandbox": "landlock", "warm": []})
    assert fast.result_digest() == plain.execution.result_digest()
    assert plain.execution.model_copy(update={"seconds": 3.0}).result_digest() != plain.execution.result_digest()
    # Decides what is known of the rows, not which rows there are: the ids are those of earlier releases.
    shared = plain.execution.model_copy(update={"split": False})
    assert shared.result_digest() == plain.execution.result_digest()
    assert shared.deciding() != plain.execution.deciding()
    moved = plain.model.model_copy(update={"urls": ["http://elsewhere"], "batch_size": 3})
    assert moved.result_digest() == plain.model.result_digest()
    assert plain.model.model_copy(update={"name": "other"}).result_digest() != plain.model.result_digest()


def test_all_wrong_settings_are_told_together() -> None:
    """Four mistakes need one attempt."""
    wrong = ["responses.samples=many", "train.epochs=-1", "foo.bar=1", "near_dedup.jacard=1"]
    with pytest.raises(RecipeError) as error:
        load_recipe("quickstart", wrong)
    lines = str(error.value).splitlines()
    assert lines[0] == "--set: 4 settings are wrong:"
    for part in ("responses.samples = 'many'", "train.epochs = -1", 'setting "foo"', 'did you mean "jaccard"?'):
        assert sum(part in line for line in lines) == 1


@pytest.mark.parametrize(
    ("section", "retired", "known"),
    [
        (ConceptSettings(), {"enabled": True}, "06cf62c221abc613"),
        (InstructionSettings(), {"distinct": False}, "c1d1c5d139cb9d91"),
        (ResponseSettings(), {}, "3232d936b7ede42e"),
        (ExecutionSettings(), {}, "a342879796fa4006"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Section) else "",
)
def test_row_ids_stay_the_same_across_releases(section: Section, retired: dict[str, Any], known: str) -> None:
    """The digests in row ids equal those of the previous release, with renamed and retired settings."""
    assert section.result_digest(**retired) == known


@pytest.mark.parametrize(
    ("earlier", "present", "value"),
    [
        ("execution.strength", "execution.mutation_testing", False),
        ("selection.min_test_strength", "selection.min_mutation_score", 0.5),
        ("train.method", "train.weights", "lora"),
    ],
)
def test_a_renamed_setting_is_accepted_under_its_earlier_name(
    tmp_path: Path, earlier: str, present: str, value: object
) -> None:
    """In a file, with --set, and with --set over a file with the earlier name; a warning names the current name."""
    section, name = present.split(".")
    written = json.dumps(value)
    path = tmp_path / "r.toml"
    path.write_text(f"[{section}]\n{earlier.split('.')[1]} = {written}\n")
    with pytest.warns(RenamedWarning, match=f'is now "{name}"'):
        from_file = load_recipe(path)
    with pytest.warns(RenamedWarning, match=f'is now "{name}"'):
        from_set = default_recipe([f"{earlier}={written}"])
    assert from_file == from_set == default_recipe([f"{present}={written}"]) != Recipe()
    default = getattr(getattr(Recipe(), section), name)
    assert load_recipe(path, [f"{present}={str(default).lower()}"]) == Recipe()


def test_the_toml_of_a_recipe_loads_as_the_same_recipe(tmp_path: Path) -> None:
    """recipe.toml in a run folder is complete: it loads as the same recipe."""
    recipe = load_recipe("paper", ["random_seed=7", 'seeds.sources=["a \\"b\\" c"]'])
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_toml(recipe))
    assert load_recipe(path) == recipe


def test_a_recipe_is_given_as_a_name_a_path_or_what_was_loaded(tmp_path: Path) -> None:
    """A single setting needs no list; anything that is no recipe is refused in one line."""
    assert load_recipe("paper", "seeds.limit=3") == load_recipe("paper", ["seeds.limit=3"])
    for given in ({"seeds": {}}, None):
        with pytest.raises(RecipeError, match=r"what load_recipe returns; this is a (dict|NoneType)$"):
            run(given, tmp_path / "run", progress=False)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"progress is None, False or a selfcodealign\.Progress, not 'no'"):
        run("paper", tmp_path / "run", progress="no")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_run_is_explained_and_keeps_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`help(run)` names every argument; `progress=False` writes nothing."""
    for name in inspect.signature(run).parameters:
        assert name in (run.__doc__ or "")
    recipe = small_recipe(write_sources(tmp_path / "source", 2))
    assert run(recipe, tmp_path / "run", until="seeds", progress=False).books["seeds"].kept == 2
    assert capsys.readouterr() == ("", "")
