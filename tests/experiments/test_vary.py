"""What `--vary` says, and what it says wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign.errors import ExperimentError, RecipeError
from selfcodealign.experiments.ablation.arms import Edits, make_arms, make_matrix
from selfcodealign.experiments.ablation.vary import as_setting, cross, name_arm, name_folder, read_axes, read_axis

_VALUES = st.one_of(st.integers(), st.booleans(), st.text("abcxyz_-", min_size=2).filter(lambda text: text.strip()))


@given(
    st.lists(_VALUES, min_size=2, max_size=5, unique_by=lambda one: one if isinstance(one, str) else json.dumps(one))
)
def test_a_list_of_values_is_read_back(values: list[object]) -> None:
    """What is written as JSON is read as the same values, whatever their types."""
    assert list(read_axis(f"a.b={json.dumps(values)}").values) == values


def test_words_need_no_quotes() -> None:
    """A shell removes quotes; numbers and booleans stay what they are, lists in lists too."""
    assert read_axis("a.b=[passed, 1, true, 0.5]").values == ("passed", 1, True, 0.5)
    assert read_axis("with=[none, [judge, behaviour]]").values == ("none", ["judge", "behaviour"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("selection.answers", "write KEY=[VALUE, VALUE]"),
        ("selection.answers=passed", "the values stand in brackets"),
        ("selection.answers=[passed]", "has one value (passed)"),
        ("selection.answers=[]", "has no value"),
        ("selection.answers=[passed,passed]", "names passed twice"),
    ],
)
def test_a_list_that_compares_nothing_is_refused(text: str, told: str) -> None:
    """One value, none, or the same twice: one line that says what to write."""
    with pytest.raises(ExperimentError) as caught:
        read_axes([text])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_that_is_varied_twice_is_refused() -> None:
    """Two lists for one key would be two experiments."""
    with pytest.raises(ExperimentError, match=r"names seeds\.limit twice: give all its values in one list"):
        read_axes(["seeds.limit=[1,2]", "seeds.limit=[3,4]"])


@pytest.mark.parametrize(
    ("vary", "told"),
    [
        ("selection.answer=[passed,failed]", 'unknown setting "selection.answer"; did you mean "answers"?'),
        ("selection.answers=[passed,faild]", "input should be"),
        ("answers=[passed,failed]", "a key is section.setting, recipe, with or without"),
        ("recipe=[quickstart,papr]", 'no recipe "papr"'),
        ("without=[none,concept]", 'did you mean "concepts"?'),
        ("train.seed=[0,1]", "give --seeds N"),
        ("seeds.closure=[true,false]", "is given by --set and by --vary: give it once"),
        ("judge.max_tokens=[5,9]", "this journey has no stage judge; add it with --with judge"),
    ],
)
def test_a_misspelt_key_or_value_is_named(vary: str, told: str) -> None:
    """What is unknown is named, with what was probably meant, before anything is run."""
    with pytest.raises((ExperimentError, RecipeError)) as caught:
        make_arms(Edits(recipe="quickstart", settings=["seeds.closure=false"]), read_axes([vary]))
    assert told in str(caught.value)


def test_every_combination_is_an_arm() -> None:
    """Two keys of two and three values give six arms with names of their own, and recipes that differ in just these."""
    axes = read_axes(["selection.answers=[passed,random]", "seeds.limit=[10,20,30]"])
    arms = make_arms(Edits(recipe="quickstart", settings=["train.epochs=1"]), axes)
    assert [arm.varied for arm in arms] == list(cross(axes))
    assert len({arm.folder for arm in arms}) == 6
    assert {(arm.recipe.selection.answers, arm.recipe.seeds.limit) for arm in arms} == {
        (answers, limit) for answers in ("passed", "random") for limit in (10, 20, 30)
    }
    assert {arm.recipe.train.epochs for arm in arms} == {1}


def test_a_recipe_that_does_not_train_does_here(tmp_path: Path) -> None:
    """An arm without a tuned model has no score: the stages are added; to leave them out is refused."""
    recipe = tmp_path / "data.toml"
    recipe.write_text('journey = ["seeds", "concepts", "instructions", "responses", "selection", "dataset"]\n')
    axes = read_axes(["selection.answers=[passed,random]"])
    assert make_arms(Edits(recipe=str(recipe)), axes)[0].recipe.journey[-2:] == ["train", "evaluate"]
    with pytest.raises(ExperimentError, match="--without train: an experiment tunes and scores every arm"):
        make_arms(Edits(recipe="quickstart", removed=["train"]), axes)


def test_stages_are_varied() -> None:
    """`with` and `without` edit the journey; none leaves it."""
    arms = make_arms(Edits(recipe="quickstart"), read_axes(["without=[none,concepts]", "with=[none,judge]"]))
    assert [("concepts" in arm.recipe.journey, "judge" in arm.recipe.journey) for arm in arms] == [
        (True, False),
        (True, True),
        (False, False),
        (False, True),
    ]


def test_names_are_told_and_are_folders() -> None:
    """A name says what was varied; as a folder's it has no sign that a shell reads."""
    assert name_arm({"selection.answers": "passed", "seeds.limit": 10}) == "selection.answers=passed, seeds.limit=10"
    assert name_folder("with=none, a/b: *") == "with=none-a-b"
    assert as_setting("a.b", ["x"]) == 'a.b=["x"]'


def test_a_matrix_has_every_pair() -> None:
    """Own data at the recipe's learning rate, other data at twice that; generators behind a server are named by URL."""
    edits = Edits(recipe="quickstart")
    arms = make_matrix(edits, ["a", "b@http://host/v1"], ["a"], foreign_rate=2.0, above=False)
    assert [arm.name for arm in arms] == ["a by itself", "a by b"]
    assert [arm.facts for arm in arms] == [{"learning rate": "0.0005"}, {"learning rate": "0.001"}]
    assert [arm.recipe.train.learning_rate for arm in arms] == [5e-4, 1e-3]
    assert [arm.recipe.model.urls for arm in arms] == [[], ["http://host/v1"]]
    assert {arm.student for arm in arms} == {"a"}


def test_a_triangle_leaves_out_weaker_generators() -> None:
    """With `above`, a student learns from itself and from those behind it."""
    arms = make_matrix(Edits(recipe="quickstart"), ["a", "b"], ["a", "b"], foreign_rate=2.0, above=True)
    assert [arm.name for arm in arms] == ["a by itself", "a by b", "b by itself"]


@pytest.mark.parametrize(
    ("generators", "students", "told"),
    [
        ([], ["a"], "needs --generators"),
        (["a"], [], "needs --students"),
        (["a", "a"], ["a"], "names a twice"),
        (["a"], ["a@http://host/v1"], "a student is tuned here"),
    ],
)
def test_a_matrix_without_models_is_refused(generators: list[str], students: list[str], told: str) -> None:
    """No generator, no student, or one of them twice: one line."""
    with pytest.raises(ExperimentError, match=told):
        make_matrix(Edits(recipe="quickstart"), generators, students, foreign_rate=2.0, above=False)
