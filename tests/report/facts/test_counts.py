"""What is counted of a run's rows is what its files hold."""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path

import pytest

from selfcodealign.report.facts import RateTable, RunFacts, read_facts
from tests.support.reported import make_run
from tests.support.runs import rows_of


@pytest.fixture(scope="module")
def facts(made: Path) -> RunFacts:
    return read_facts(made)


def _answers(run: Path) -> list[dict]:
    """All answers that have a verdict."""
    rows = [*rows_of(run, "responses"), *rows_of(run, "responses", "dropped")]
    return [row for row in rows if row["status"] in ("passed", "failed", "error", "timeout")]


def _table(facts: RunFacts, by: str) -> RateTable:
    return next(table for table in facts.rates if table.by == by)


def test_the_run_is_named_and_finished(facts: RunFacts, made: Path) -> None:
    """Every stage of the journey is through, and the account of each is the funnel's."""
    assert (facts.name, facts.path, facts.finished, facts.warnings) == ("run", made, True, [])
    assert facts.started.startswith("20")
    assert [one.name for one in facts.stages][-1] == "selection"


@pytest.mark.parametrize("by", ["category", "difficulty"])
def test_rates_are_those_of_the_judged_answers(facts: RunFacts, made: Path, by: str) -> None:
    """Kept and dropped answers with a verdict count, by each value of a field, the most frequent value first."""
    judged = Counter(row[by] for row in _answers(made))
    passed = Counter(row[by] for row in _answers(made) if row["status"] == "passed")
    rates = _table(facts, by).rates
    assert {one.name: (one.passed, one.judged) for one in rates} == {
        name: (passed[name], judged[name]) for name in judged
    }
    assert [one.judged for one in rates] == sorted(judged.values(), reverse=True)


def test_each_stage_that_judged_answers_has_a_rate(facts: RunFacts, made: Path) -> None:
    """Selection passes answers on and judges none."""
    (rate,) = _table(facts, "stage").rates
    assert (rate.name, rate.judged) == ("responses", len(_answers(made)))


def test_a_concept_is_rated_by_the_answers_to_its_tasks(facts: RunFacts, made: Path) -> None:
    """Every list of the scripted model names "arithmetic": its rate is that of all answers."""
    rate = next(one for one in _table(facts, "concept").rates if one.name == "arithmetic")
    answers = _answers(made)
    assert (rate.passed, rate.judged) == (sum(row["status"] == "passed" for row in answers), len(answers))


def test_passes_count_every_instruction(facts: RunFacts, made: Path) -> None:
    """An instruction none of whose answers passed is counted with 0."""
    instructions = {row["instruction_id"] for row in _answers(made)}
    passes = Counter(row["instruction_id"] for row in _answers(made) if row["status"] == "passed")
    unread = {row["instruction_id"] for row in rows_of(made, "responses", "dropped")}
    expected = Counter(passes[one] for one in instructions | unread)
    assert dict(facts.passes) == dict(sorted(expected.items()))


def test_lengths_are_those_of_the_last_rows_of_each_kind(facts: RunFacts, made: Path) -> None:
    """Seeds and instructions are those that went on, responses and tests those of the examples."""
    last = {"seed": "near_dedup", "instruction": "instructions", "response": "selection", "tests": "selection"}
    assert [one.name for one in facts.lengths] == list(last)
    for one in facts.lengths:
        lengths = [len(row[one.name]) for row in rows_of(made, last[one.name])]
        assert (one.count, sum(one.counts), one.unit) == (len(lengths), len(lengths), "characters")
        assert one.mean == pytest.approx(statistics.mean(lengths))
        assert one.edges[0] <= min(lengths) <= max(lengths) <= one.edges[-1]


def test_scores_are_those_of_answers_that_passed(facts: RunFacts, made: Path) -> None:
    """The judge of this test kills all mutants: all scores lie in the last bin, which is closed."""
    passed = sum(row["status"] == "passed" for row in _answers(made))
    assert facts.scores is not None
    assert (facts.scores.count, facts.scores.counts[-1], facts.scores.mean) == (passed, passed, 1.0)


def test_sources_and_authors_are_those_of_the_examples(facts: RunFacts, made: Path) -> None:
    """Licences and origins are counted over the rows of the last stage; the model wrote what people did not."""
    rows = rows_of(made, "selection")
    assert sum(facts.licences.values()) == sum(facts.origins.values()) == len(rows)
    assert dict(facts.origins) == dict(Counter(row["origin"] for row in rows))
    assert ("instruction", "base", "instructions") in [
        (field, who.split(",")[0], at) for field, who, at in facts.authors
    ]


def test_answers_that_were_not_run_have_no_rates(tmp_path: Path) -> None:
    """Without execution nothing is known of an answer: neither rates nor passes nor scores."""
    facts = read_facts(make_run(tmp_path, "responses.execute=false", 'selection.proof="any"', seeds=3))
    assert (list(facts.rates), dict(facts.passes), facts.scores) == ([], {}, None)
    assert facts.asked.examples
