"""Rows that are shown whole, and rows that held a task of a benchmark."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcodealign.curation.contamination import Hit
from selfcodealign.report.facts import read_facts
from tests.support.runs import rows_of


def _ids(run: Path, **options: int) -> list[tuple[str, str, str]]:
    shown = read_facts(run, **options).shown
    return [(one.stage, one.reason, one.row.get("response_id") or one.row.get("instruction_id") or "") for one in shown]


def test_half_of_the_rows_are_kept_ones(made: Path) -> None:
    """Examples first, then drops in the order of the journey; a row has all its fields, and no column of drops."""
    shown = read_facts(made, shown=8).shown
    assert [one.kept for one in shown] == [True] * 4 + [False] * 4
    assert {one.stage for one in shown[:4]} == {"selection"}
    example = next(row for row in rows_of(made, "selection") if row["response_id"] == shown[0].row["response_id"])
    assert {name: shown[0].row[name] for name in ("instruction", "response", "seed")} == {
        name: example[name] for name in ("instruction", "response", "seed")
    }
    assert not {"parent", "reason", "detail", "filename", "file_row_number"} & set(shown[-1].row)


def test_the_same_run_shows_the_same_rows(made: Path) -> None:
    """And fewer rows are the first of more, of each kind."""
    assert _ids(made) == _ids(made)
    assert set(_ids(made, shown=4)) <= set(_ids(made, shown=12))


def test_drops_are_spread_over_stages_and_reasons(made: Path) -> None:
    """Stages take turns, so that those with many reasons crowd nobody out; within one, each reason comes once first."""
    reasons = {
        (stage, row["reason"])
        for stage in ("seeds", "near_dedup", "concepts", "instructions", "responses", "selection")
        for row in rows_of(made, stage, "dropped")
    }
    stages = {stage for stage, _ in reasons}
    shown = [one for one in read_facts(made, shown=2 * len(stages)).shown if not one.kept]
    assert sorted(one.stage for one in shown) == sorted(stages)
    shown = [one for one in read_facts(made, shown=1000).shown if not one.kept]
    assert {(one.stage, one.reason) for one in shown} == reasons
    for count in range(2, 2 * len(reasons), 2):
        found = Counter((one.stage, one.reason) for one in read_facts(made, shown=count).shown if not one.kept)
        for stage in stages:
            given = [found[one] for one in reasons if one[0] == stage]
            assert max(given) <= 1 or min(given) >= 1, (count, stage, found)


def test_more_are_kept_ones_where_there_are_few_drops(made: Path) -> None:
    """A large number shows all rows that there are, each once."""
    ids = _ids(made, shown=1000)
    assert len(ids) == len(set(ids))
    assert sum(reason == "" for _, reason, _ in ids) == len(rows_of(made, "selection"))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_as_many_as_asked_for(made: Path, count: int) -> None:
    assert len(read_facts(made, shown=count).shown) == count


def test_long_texts_are_cut(run: Path) -> None:
    """A row of megabytes does not make a page of megabytes."""
    path = next((run / "selection").glob("kept-*.parquet"))
    table = pq.read_table(path)
    rows = [row | {"response": "x" * 50_000} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    shown = read_facts(run, shown=2).shown[0]
    assert shown.row["response"].endswith("… 30,000 more characters")


def _contaminate(run: Path, details: list[str]) -> None:
    """Give the first drops of `responses` this reason and these details, as selection gives them."""
    path = max((run / "responses").glob("dropped-*.parquet"), key=lambda one: pq.read_metadata(one).num_rows)
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row, detail in zip(rows, details, strict=False):
        row.update(reason="contaminated", detail=detail)
    assert len(rows) >= len(details)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


def test_hits_are_told_with_both_texts(run: Path) -> None:
    """By benchmark, with the rule; of a detail that cannot be read, its text."""
    hit = Hit("near text 87%", "tiny-eval", "tiny/3", "theirs '; row: '", "ours \udc80")
    _contaminate(run, [str(hit), "of another version"])
    found = read_facts(run).contamination
    assert found is not None
    assert (found.count, dict(found.by_benchmark), list(found.benchmarks)) == (
        2,
        {"tiny-eval": 1, "unknown": 1},
        ["tiny-eval"],
    )
    read = next(one for one in found.hits if one.rule)
    assert (read.stage, read.rule, read.benchmark, read.task) == ("responses", "near text 87%", "tiny-eval", "tiny/3")
    # A lone surrogate, which no file and no page can hold, is a question mark.
    assert (read.theirs, read.ours) == ("theirs '; row: '", "ours ?")
    assert [one.ours for one in found.hits if not one.rule] == ["of another version"]


def test_benchmarks_are_those_that_rows_were_compared_with(run: Path) -> None:
    """Not those that a recipe names: without a stage that compared rows there are none."""
    found = read_facts(run).contamination
    assert found is not None
    assert (list(found.benchmarks), found.count, list(found.hits)) == (["tiny-eval"], 0, [])
    for path in run.glob("*/stage.json"):
        told = json.loads(path.read_text())
        path.write_text(json.dumps(told | {"decided_by": {}}))
    assert read_facts(run).contamination is None
