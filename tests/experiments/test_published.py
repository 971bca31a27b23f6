"""The paper's tables: found for experiments that vary the same, with what a single run of 164 tasks can show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations

import pytest

from selfcodealign.evaluation.pass_at_k import flip_signs
from selfcodealign.experiments.comparison.comparing import compare_lines
from selfcodealign.experiments.comparison.paper_tables import ANSWERS, CONCEPTS, PAIRS, SOURCES, TASKS
from selfcodealign.experiments.comparison.published import find_published, least_difference, most_differing
from selfcodealign.experiments.comparison.table import Line
from selfcodealign.recipe import load_recipe
from tests.support.experiment_tables import make_answers, make_arm, make_grid


def lines_of(*varied: Mapping[str, object]) -> list[Line]:
    return [Line(name=str(place), varied=one, scores={"b": [{"t": 1.0, "u": 0.0}]}) for place, one in enumerate(varied)]


@pytest.mark.parametrize(
    ("varied", "table", "scores"),
    [
        ([{"selection.answers": name} for name in ("passed", "failed")], 9, [65.2, 57.9]),
        ([{"recipe": name} for name in ("paper", "s2i", "random-snippets")], 10, [65.2, 59.8, 64.0]),
        ([{"recipe": f"mine/{name}.toml"} for name in ("paper", "s2i")], 10, [65.2, 59.8]),
        ([{"without": ""}, {"without": "concepts"}], 10, [65.2, 59.8]),
        ([{}, {"without": ["concepts"]}, {"without": ["judge"]}], 10, [59.8, 65.2]),
        ([{"with": ["concepts"]}, {"with": []}], 10, [65.2, 59.8]),
        (
            [{"recipe": name} for name in ("evol-instruct", "oss-instruct", "distill", "paper")],
            11,
            [59.1, 61.6, 65.9, 67.1],
        ),
    ],
)
def test_the_table_that_varies_the_same_is_found(
    varied: list[dict[str, object]], table: int, scores: list[float]
) -> None:
    """By what was varied, in the order of the arms; an arm without a counterpart has none."""
    found = find_published(lines_of(*varied))
    assert found
    assert found.number == table
    assert [row.score for row in found.lines.values()] == scores


@pytest.mark.parametrize(
    "varied",
    [
        [{"seeds.limit": 10}, {"seeds.limit": 20}],
        [{"recipe": "paper"}, {"recipe": "quickstart"}],
        [{"selection.answers": "passed"}],
        [{"selection.answers": "passed", "train.epochs": 1}, {"selection.answers": "failed", "train.epochs": 2}],
        [{"selection.answers": "passed"}, {"selection.answers": "passed_else_any"}],
    ],
)
def test_other_experiments_have_no_table(varied: list[dict[str, object]]) -> None:
    """Other keys, one arm alone, two things at once: nothing of the paper corresponds."""
    assert find_published(lines_of(*varied)) is None


def test_the_grid_is_matched_by_the_names_of_base_models() -> None:
    """Hub names and folders; an instruct model, or one that the paper lacks, corresponds to no row."""
    found = find_published(make_grid().lines)
    assert found
    assert (found.number, found.is_grid) == (8, True)
    assert [row.score for row in found.lines.values()] == [35.4, 34.1, 42.7]
    other = {"student": "bigcode/starcoder2-3b-instruct", "generator": "bigcode/starcoder2-3b"}
    other_table = find_published(lines_of(other))
    assert other_table
    assert other_table.lines == {}


def test_own_data_are_counted_here_and_there() -> None:
    """In the grid, the paper's claim: for which models their own data are the best of the row."""
    table = make_grid()
    found = find_published(table.lines)
    assert found
    *_, told = found.tell_order(compare_lines(table.lines, {}))
    assert re.fullmatch(
        r"Own data give the best score of their row for \d of 3 models on tiny-eval, in the paper for 2 of 5\.", told
    )
    one = [make_arm("alone", 0, student="a", generator="a")]
    found = find_published(one)
    assert found
    assert found.tell_order(compare_lines(one, {})) == [
        "No pair of this experiment's arms corresponds to a pair of the paper's."
    ]


def test_printed_scores_are_whole_tasks() -> None:
    """Every percentage of the four tables is a number of tasks of 164, so none was copied wrongly by much."""
    for row in (*ANSWERS, *CONCEPTS, *SOURCES, *PAIRS):
        assert abs(100 * row.solved / TASKS - row.score) < 0.051, row
    assert len(PAIRS) == 19


def test_the_recipes_exist() -> None:
    """Values of the key "recipe" are recipes of the package."""
    for row in (*CONCEPTS, *SOURCES):
        for name in row.values:
            load_recipe(name)


def test_what_two_runs_can_show_is_the_exact_test() -> None:
    """The most differing tasks by counting: one more pair of opposite tasks, and the sign test no longer shows it."""
    for net in range(1, 30):
        most = most_differing(net)
        if most:
            assert _p(net, most) <= 0.05
        assert most + 2 > TASKS or _p(net, most + 2 if most else net) > 0.05
    assert 10 < least_difference(101, 107) < 11


def _p(net: int, differing: int) -> float:
    lost = (differing - net) // 2
    return flip_signs([1.0] * (differing - lost) + [-1.0] * lost)[0]


def test_the_noise_of_the_paper_is_told_with_its_intervals() -> None:
    """Every pair of tables 9 to 11 is inside the noise of independent single runs."""
    for recipes, rows in ((("paper", "s2i"), CONCEPTS), (("distill", "paper"), SOURCES)):
        found = find_published(lines_of(*({"recipe": name} for name in recipes)))
        assert found
        if rows is SOURCES:
            assert any("differ by 2 tasks of 164" in text and "not at all" in text for text in found.tell_noise())
        assert len(found.tell_noise()) == len(list(combinations(rows, 2)))
        assert all(re.search(r"inside the noise|the same number", text) for text in found.tell_noise())
        assert "the sizes of scores and differences cannot be compared, only the order" in found.about


def test_the_order_is_compared_pair_by_pair() -> None:
    """With the pairs that the experiment shows; a reversed order is told."""
    table = make_answers()
    found = find_published(table.lines)
    assert found
    (told,) = found.tell_order(compare_lines(table.lines, table.groups))
    assert told.startswith("On tiny-eval 3 of 3 pairs have the paper's order: both are ")
    assert re.search(r"of the \d that our experiment shows outside its noise, \d have the paper's sign\.", told)

    best, worst = (make_arm(name, odds, selection_answers=name) for name, odds in (("failed", 2.0), ("passed", -2.0)))
    found = find_published([best, worst])
    assert found
    (told,) = found.tell_order(compare_lines([best, worst], {}))
    assert "0 of 1 pair has the paper's order: ours is failed > passed, the paper's passed > failed" in told
    assert "of the 1 that our experiment shows outside its noise, 0 have the paper's sign" in told

    same = [make_arm(name, 0.0, selection_answers=name) for name in ("failed", "passed")]
    found = find_published(same)
    assert found
    (told,) = found.tell_order(compare_lines(same, {}))
    assert "chance may have made its order" in told
