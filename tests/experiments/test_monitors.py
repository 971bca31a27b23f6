"""The monitors of collapse: invariants of each figure, and the reasons to stop that follow from them."""

from __future__ import annotations

from math import isnan, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign import ScriptedModel, run_recipe
from selfcodealign.experiments.rounds.collapse import DIVERSITY, Outcome, Rule, find_reasons, task_means
from selfcodealign.experiments.rounds.figures import MONITORS, measure
from selfcodealign.experiments.rounds.monitors import copied_share, distinct_share, entropy, first_ngrams, mean, windows
from selfcodealign.experiments.rounds.texts import Texts, Written, few_shot_texts, read_written
from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.run_folder.folder import RunFolder
from tests.support.comparisons import answer_with_pairs, shipped
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.runs import rows_of

ITEMS = st.lists(st.sampled_from("abcdef"), min_size=2, max_size=60)
TEXTS = st.lists(st.text("ab \n", max_size=30), max_size=8)
KEPT = Outcome({"rows": 100, **dict.fromkeys(DIVERSITY, 0.5)})


def changed(**figures: float) -> Outcome:
    return Outcome({**KEPT.figures, **figures})


@given(ITEMS)
def test_entropy_lies_between_one_item_and_all_different(items: list[str]) -> None:
    """0 where all are equal, 1 where all differ, in between otherwise; the order does not count."""
    found = entropy(items)
    assert -1e-9 <= found <= 1 + 1e-9
    assert (abs(found) < 1e-9) == (len(set(items)) == 1)
    assert (abs(found - 1) < 1e-9) == (len(set(items)) == len(items))
    assert entropy(items[::-1]) == pytest.approx(found)


@given(ITEMS, st.integers(2, 4))
def test_repeating_everything_lowers_diversity(items: list[str], times: int) -> None:
    """The same items several times: a smaller distinct share, and no larger entropy."""
    assert distinct_share(items * times) == pytest.approx(distinct_share(items) / times)
    assert entropy(items * times) <= entropy(items) + 1e-9


@given(TEXTS, st.integers(1, 4), st.integers(0, 20))
def test_the_first_ngrams_are_a_prefix(texts: list[str], ngram: int, most: int) -> None:
    """A smaller sample is the beginning of a larger one, so that cutting does not draw again."""
    assert first_ngrams(texts, ngram, most) == first_ngrams(texts, ngram)[:most]


@given(TEXTS, TEXTS)
def test_own_texts_are_copied_wholly_and_others_by_what_they_share(texts: list[str], others: list[str]) -> None:
    """All windows of known texts are known; more known texts never lower the share."""
    whole, some = copied_share(texts, windows(texts, 3), 3), copied_share(texts, windows(others, 3), 3)
    assert isnan(whole) or whole == 1
    assert isnan(some) or 0 <= some <= 1
    assert isnan(some) == isnan(whole)


def test_figures_of_nothing_are_none() -> None:
    """A round that wrote nothing has no shares, and does not cut the others to nothing."""
    texts = Texts(["Write a function.", "Write a class of trees."], 2, 2, 4.0)
    some = Written(2, ["loops", "trees"], texts, texts, 4, 2, 2, 1, 0.5, 2, 0)
    none = Written(0, [], Texts(), Texts(), 0, 0, 0, 0, nan, 0, 0)
    full, empty = measure([some, none], windows(["Write a function."]))
    assert list(full) == list(MONITORS) == list(empty)
    assert {name for name, value in empty.items() if value is not None} == {"rows", "instructions"}
    assert full["distinct_concepts"] == 1.0
    assert full["pass_rate"] == full["solved"] == 0.5
    assert full["copied_instructions"] == 0.5


def test_shares_are_of_as_many_items_in_all_rounds() -> None:
    """Twice the same texts: the larger round is cut, so that its size alone changes nothing."""
    few = Texts(["one two three four five"] * 3, 3, 1, 5.0)
    many = Texts(["one two three four five"] * 30, 30, 1, 5.0)
    rounds = [Written(1, ["a"] * n, texts, texts, 0, 0, 0, 0, nan, 0, 0) for n, texts in ((3, few), (30, many))]
    first, second = measure(rounds, frozenset())
    assert {**first, "rows": 0} == {**second, "rows": 0}


def test_the_texts_of_a_few_shot_file_are_those_of_its_examples() -> None:
    """Instructions, responses, tests and snippets of all worked examples."""
    file = load_few_shot("tiny")
    texts = few_shot_texts(file)
    assert all(one.instruction in texts and one.response in texts for one in file.examples)


@pytest.mark.parametrize("name", DIVERSITY)
def test_each_measure_of_diversity_may_stop(name: str) -> None:
    """Below nine tenths of round 1 by default; at the limit nothing is said."""
    assert find_reasons([KEPT, changed(**{name: 0.45})], Rule()) == []
    (reason,) = find_reasons([KEPT, changed(**{name: 0.44})], Rule())
    assert reason == f"{DIVERSITY[name]} fell from 0.500 in round 1 to 0.440, by 12 %; the limit is 10 %"
    assert find_reasons([KEPT, changed(**{name: 0.44})], Rule(fall=0.2)) == []


def test_few_rows_none_and_copied_text_stop() -> None:
    """Already in round 1."""
    assert find_reasons([changed(rows=31)], Rule()) == ["the data set has 31 rows; the least is 32"]
    assert find_reasons([changed(rows=0)], Rule(rows=1)) == ["the data set is empty"]
    (reason,) = find_reasons([changed(copied_responses=0.5)], Rule())
    assert reason == "50 % of the 8-word windows of responses stand in the few-shot file; the limit is 30 %"
    assert find_reasons([KEPT], Rule()) == []


def test_a_score_below_the_best_round_by_more_than_chance_stops() -> None:
    """Against the best earlier round, over seeds and paired tasks; one task more or less is chance."""
    tasks = [f"task {number}" for number in range(40)]

    def scored(passed: int) -> Outcome:
        return Outcome(KEPT.figures, "tiny-eval", [{task: float(n < passed) for n, task in enumerate(tasks)}] * 2)

    rounds = [scored(20), scored(30), scored(10)]
    assert find_reasons(rounds[:2], Rule()) == []
    assert find_reasons([scored(20), scored(19)], Rule()) == []
    (reason,) = find_reasons(rounds, Rule())
    assert reason.startswith(
        "tiny-eval: round 3 is 50.0 points below round 2, the best before (40 tasks, 95 % interval"
    )
    assert find_reasons([*rounds[:2], Outcome(KEPT.figures)], Rule()) == []


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(0, 1)), max_size=3))
def test_a_task_counts_where_all_models_have_it(scores: list[dict[str, float]]) -> None:
    """The mean over models lies between their scores."""
    for task, value in task_means(scores).items():
        assert min(one[task] for one in scores) - 1e-9 <= value <= max(one[task] for one in scores) + 1e-9


def test_the_mean_leaves_out_what_was_not_measured() -> None:
    """NaN is no number; the mean of none is none."""
    assert mean([nan, 2.0]) == 2.0
    assert isnan(mean([]))


async def test_rows_of_pairs_are_read_with_their_verdicts(tmp_path: Path) -> None:
    """Tasks that came with their answers, without concepts: each answer counts, and each task once."""
    recipe = shipped("oss-instruct-verified", write_sources(tmp_path / "source", 8), "pairs.samples=3")
    await run_recipe(recipe, tmp_path / "run", until="dataset", model=ScriptedModel(answer_with_pairs))
    kept = rows_of(tmp_path / "run", "pairs")
    found = read_written(RunFolder(tmp_path / "run"))
    assert (found.drawn, found.passed, found.asked, found.solved) == (18, len(kept), 18, len(kept))
    assert found.rows == len(rows_of(tmp_path / "run", "selection"))
    assert found.compared == found.rows + found.copies
    assert sorted(found.instructions.sample) == sorted(row["instruction"] for row in kept)
    assert found.responses.count == len(kept)
    assert 0 < found.mutation_score <= 1
    (figures,) = measure([found], frozenset())
    assert figures["concepts"] is figures["distinct_concepts"] is None


async def test_answers_that_were_not_run_have_no_pass_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unverified answers of a run with concepts and instructions; every concept counts as often as it was named."""
    judge_by_text(monkeypatch)
    recipe = small_recipe(write_sources(tmp_path / "source", 6), "few_shot.file=tiny", "responses.execute=false")
    await run_recipe(recipe, tmp_path / "run", until="dataset", model=scripted_model())
    found = read_written(RunFolder(tmp_path / "run"))
    assert found.drawn == found.passed == 0
    assert len(found.names) == sum(len(row["concepts"]) for row in rows_of(tmp_path / "run", "concepts"))
    assert found.instructions.count == len(rows_of(tmp_path / "run", "instructions"))
    (figures,) = measure([found], frozenset())
    assert figures["pass_rate"] is figures["solved"] is figures["mutation_score"] is None
    assert figures["words_instructions"] == found.instructions.words > 5
