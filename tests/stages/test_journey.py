"""A journey that does not fit is refused in one line that names what would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.errors import RecipeError
from selfcodealign.pipeline import CATALOGUE, make_journey
from selfcodealign.recipe import load_recipe
from selfcodealign.rows import Concepts, Example, Instruction, Response, Seed
from selfcodealign.settings import DATA_JOURNEY, Recipe
from selfcodealign.stages import Each
from selfcodealign.stages.journey import edit_journey
from tests.support.places import ROOT

SHORT_TASKS = f"{ROOT}/examples/a_stage_of_your_own.py:SHORT_TASKS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated(Seed):
    """A seed with a field of somebody's own."""

    rating: float


async def keep(row: Any) -> Sequence[Any]:
    return [row]


def own(name: str, takes: Any = Seed, gives: Any = Seed) -> Each:
    return Each(name=name, takes=takes, gives=gives, decided_by=lambda context: {}, build=lambda context: keep)


def journey(*names: str) -> Recipe:
    return Recipe(journey=list(names))


def test_every_shipped_journey_fits() -> None:
    """The defaults and the recipes of the package."""
    for recipe in (Recipe(), load_recipe("quickstart"), load_recipe("paper")):
        steps = make_journey(recipe).steps
        assert [step.name for step in steps] == recipe.journey
        assert steps[0].place.given is None


def test_each_stage_knows_whose_rows_it_is_given() -> None:
    """The stage before that has rows, their type, and the field that names the parent."""
    steps = {step.name: step for step in make_journey(load_recipe("quickstart")).steps}
    assert steps["seeds"].parent == "source_id"
    assert (steps["concepts"].place.after, steps["concepts"].place.given) == ("near_dedup", Seed)
    assert (steps["distinct"].place.given, steps["distinct"].place.gives) == (Instruction, Instruction)
    assert (steps["responses"].place.after, steps["responses"].parent) == ("distinct", "instruction_id")
    assert (steps["train"].place.after, steps["train"].place.given) == ("selection", Example)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["seeds", "near_dedub"], 'no stage "near_dedub"; did you mean "near_dedup"? (known: seeds, imported, quality'),
        (
            ["seeds", "near_dedup", "responses"],
            'stage "responses" takes Instruction rows and would be given Seed; between them belong concepts, '
            "instructions",
        ),
        (["near_dedup"], 'stage "near_dedup" takes Seed rows and nothing comes before it; before it belongs seeds'),
        (
            ["dataset"],
            "nothing comes before it; before it belong seeds, concepts, instructions, responses, selection",
        ),
        (["seeds", "near_dedup", "near_dedup"], 'journey names the stage "near_dedup" twice'),
        (["seeds", "concepts", "seeds"], 'journey names the stage "seeds" twice'),
        (
            ["seeds", "instructions", "concepts"],
            'stage "concepts" makes Concepts rows and would be given Instruction, which is that already: move it to an '
            "earlier place",
        ),
        ([], "journey is empty"),
        ([*DATA_JOURNEY[:-1], "train"], 'stage "train" needs the stage "dataset" before it'),
        ([*DATA_JOURNEY, "evaluate", "train"], 'stage "evaluate" comes before "train": it belongs after it'),
        (["seeds", "no_such_file.py:STAGE"], "there is no file no_such_file.py"),
        (["seeds", "json:loads"], "json holds a function, no stage"),
        (["seeds", "json:STAGE"], "json holds nothing of that name"),
        (["seeds", "no_such_module:STAGE"], "no_such_module cannot be imported: ModuleNotFoundError"),
        (["seeds", SHORT_TASKS], 'stage "short_tasks" takes Instruction rows and would be given Seed'),
    ],
)
def test_a_journey_that_does_not_fit_is_refused(names: list[str], said: str) -> None:
    """One line, whatever is wrong with it."""
    with pytest.raises(RecipeError) as error:
        make_journey(journey(*names))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_second_source_is_refused() -> None:
    """A journey begins once."""
    again = replace(CATALOGUE["seeds"], name="more_seeds")
    with pytest.raises(RecipeError, match='"more_seeds" begins a journey and cannot come after "near_dedup"'):
        make_journey(journey("seeds", "near_dedup", "more_seeds"), [again])


def test_a_filter_hands_on_what_it_is_given() -> None:
    """near_dedup takes seeds; after concepts it keeps concepts."""
    places = make_journey(journey("seeds", "concepts", "near_dedup", "instructions")).places
    assert places["near_dedup"].gives is Concepts
    assert places["instructions"].given is Concepts


def test_fields_of_a_stage_of_ones_own_go_on_to_all_later_rows() -> None:
    """Types of later stages are extended by what they do not have."""
    rated = own("rated", gives=Rated)
    names = ["seeds", "rated", "concepts", "instructions", "responses", "selection"]
    places = make_journey(journey(*names), [rated]).places
    for name, kind in (("concepts", Concepts), ("responses", Response), ("selection", Example)):
        gives = places[name].gives
        assert gives is not None
        assert issubclass(gives, kind)
        assert set(gives.field_names()) == {*kind.field_names(), "rating"}


def test_a_name_of_the_package_cannot_be_taken() -> None:
    """Two stages with one folder would mix their rows."""
    with pytest.raises(RecipeError, match='a stage of your own is called "judge", as one of this package is'):
        make_journey(journey("seeds", "judge"), [own("judge")])


def test_a_field_that_cannot_be_stored_is_refused() -> None:
    """Parquet columns hold text, numbers and lists of texts."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Odd(Seed):
        facts: dict[str, int]

    with pytest.raises(RecipeError, match=r"Odd\.facts is of a type that rows cannot hold: they hold str, int, float"):
        make_journey(journey("seeds", "odd"), [own("odd", gives=Odd)])


@pytest.mark.parametrize(
    ("added", "removed", "expected"),
    [
        (["judge"], [], ["seeds", "decontamination", "near_dedup", "judge", *DATA_JOURNEY[3:]]),
        (["distinct"], [], [*DATA_JOURNEY[:5], "distinct", *DATA_JOURNEY[5:]]),
        (["train", "evaluate"], [], [*DATA_JOURNEY, "train", "evaluate"]),
        (["evaluate", "train"], [], [*DATA_JOURNEY, "train", "evaluate"]),
        ([], ["concepts"], [*DATA_JOURNEY[:3], *DATA_JOURNEY[4:]]),
        ([], ["selection", "dataset"], list(DATA_JOURNEY[:-2])),
        ([SHORT_TASKS], [], [*DATA_JOURNEY[:5], SHORT_TASKS, *DATA_JOURNEY[5:]]),
        ([SHORT_TASKS, "distinct"], [], [*DATA_JOURNEY[:5], "distinct", SHORT_TASKS, *DATA_JOURNEY[5:]]),
    ],
)
def test_stages_are_added_at_their_place_and_left_out(
    added: list[str], removed: list[str], expected: list[str]
) -> None:
    """The catalogue's order; a stage from outside as late as its rows are what it takes."""
    found = edit_journey(DATA_JOURNEY, added, removed, CATALOGUE)
    assert found == expected
    make_journey(journey(*found))


def test_a_stage_of_ones_own_is_left_out_by_its_name() -> None:
    """`show` and the plan call it so; its path works as well."""
    journey = edit_journey(DATA_JOURNEY, [SHORT_TASKS], [], CATALOGUE)
    for name in ("short_tasks", SHORT_TASKS):
        assert edit_journey(journey, [], [name], CATALOGUE) == list(DATA_JOURNEY)


@pytest.mark.parametrize(
    ("added", "removed", "said"),
    [
        (["juge"], [], 'no stage "juge"; did you mean "judge"?'),
        (["concepts"], [], "--with concepts: this journey has that stage already"),
        ([], ["judge"], "--without judge: this journey has no such stage (it has seeds, decontamination, near_dedup"),
        ([], ["concept"], 'no such stage; did you mean "concepts"?'),
    ],
)
def test_an_edit_of_something_absent_is_refused(added: list[str], removed: list[str], said: str) -> None:
    """`--with` of what is there or unknown, `--without` of what is not there."""
    with pytest.raises(RecipeError) as error:
        edit_journey(DATA_JOURNEY, added, removed, CATALOGUE)
    assert said in str(error.value)


def test_settings_of_ones_own_stage_are_checked(tmp_path: Path) -> None:
    """An unknown key and a wrong value are refused as in the package's sections; so is a section of no stage."""
    names = [*DATA_JOURNEY[:5], SHORT_TASKS]
    make_journey(Recipe(journey=names, own={"short_tasks": {"max_words": 5}}))
    for values, said in (
        ({"short_tasks": {"max_word": 5}}, 'unknown setting "own.short_tasks.max_word"; did you mean "max_words"?'),
        ({"short_tasks": {"max_words": 0}}, "own.short_tasks.max_words = 0"),
        ({"short_task": {}}, '[own.short_task] belongs to no stage of this journey; did you mean "short_tasks"?'),
    ):
        with pytest.raises(RecipeError) as error:
            make_journey(Recipe(journey=names, own=values))
        assert said in str(error.value)


@pytest.mark.parametrize(
    ("setting", "instead"),
    [
        ("judge.enabled=true", "--with judge"),
        ("concepts.enabled=false", "--without concepts"),
        ("instructions.distinct=true", "--with distinct"),
        ("train.enabled=true", "--with train"),
        ("evaluate.enabled=true", "--with evaluate"),
    ],
)
def test_the_switches_of_earlier_recipes_are_refused_with_what_takes_their_place(setting: str, instead: str) -> None:
    """They would be ignored otherwise."""
    with pytest.raises(RecipeError) as error:
        load_recipe("quickstart", [setting])
    assert "is no longer a setting" in str(error.value)
    assert instead in str(error.value)
