"""The facts of any run can be read: unfinished, killed, in part removed, damaged, of other rows, or of no rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from selfcodealign.errors import RunFolderError
from selfcodealign.report.facts import read_facts
from selfcodealign.report.facts.values import facts_values
from tests.support.foreign_rows import foreign_recipe, make_row, write_rows
from tests.support.reported import make_run, run_quickly


def _unfinish(run: Path, stage: str) -> None:
    """Make a stage one that is at work, with all later stages not begun."""
    path = run / stage / "stage.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"books": None}))
    journey = json.loads((run / "run.json").read_text())["journey"]
    for name in journey[journey.index(stage) + 1 :]:
        shutil.rmtree(run / name, ignore_errors=True)


def test_a_run_that_has_not_begun_has_no_facts(tmp_path: Path) -> None:
    """A folder with its first file alone: everything is empty, nothing fails."""
    (tmp_path / "run.json").write_text('{"form": 3, "journey": ["seeds", "responses"]}')
    facts = read_facts(tmp_path)
    assert not facts.finished
    assert (list(facts.stages), list(facts.rates), list(facts.lengths), list(facts.shown)) == ([], [], [], [])
    assert (facts.concepts, facts.contamination, facts.scores, facts.split_proofs) == (None, None, None, None)
    json.dumps(facts_values(facts), allow_nan=False)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no run folder"):
        read_facts(tmp_path)


def test_a_stage_without_files_has_no_facts(run: Path) -> None:
    """A stage that has begun and written nothing."""
    for path in (run / "seeds").glob("*.parquet"):
        path.unlink()
    _unfinish(run, "seeds")
    facts = read_facts(run)
    assert ([one.name for one in facts.stages], list(facts.lengths)) == (["seeds"], [])


@pytest.mark.parametrize("stage", ["seeds", "concepts", "instructions", "responses"])
def test_a_run_in_progress_is_told_as_far_as_it_is(run: Path, stage: str) -> None:
    """The stages that have begun are told, the last of them as not finished."""
    _unfinish(run, stage)
    facts = read_facts(run)
    assert not facts.finished
    assert (facts.stages[-1].name, facts.stages[-1].finished) == (stage, False)
    assert bool(facts.rates) == (stage == "responses")
    assert {one.stage for one in facts.shown if one.kept} == {stage}


def test_files_of_a_killed_writer_are_not_read(run: Path) -> None:
    """A drop without its kept file, and files not yet in place, are no rows."""
    before = read_facts(run)
    drops = next((run / "responses").glob("dropped-*.parquet"))
    shutil.copy(drops, drops.with_name("dropped-main-000999.parquet"))
    (run / "responses" / ".kept-main-000999.parquet.tmp").write_bytes(b"half")
    after = read_facts(run)
    assert (after.rates, after.repeat.rows) == (before.rates, before.repeat.rows)


@pytest.mark.parametrize("stage", ["seeds", "concepts", "instructions"])
def test_an_earlier_stage_may_be_gone(run: Path, stage: str) -> None:
    """Rows hold their whole story, so what was answered is told without the stages before it."""
    before = read_facts(run)
    shutil.rmtree(run / stage)
    after = read_facts(run)
    assert after.rates == before.rates
    assert after.concepts is not None
    assert stage not in [one.name for one in after.stages]


@pytest.mark.parametrize("kind", ["kept", "dropped"])
def test_damaged_rows_are_named_with_the_fix(run: Path, kind: str) -> None:
    """A shard that was cut short: one line that names the pair to delete."""
    path = next((run / "responses").glob(f"{kind}-*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunFolderError, match=r"delete kept-main-\d+\.parquet and dropped-main-\d+\.parquet"):
        read_facts(run)


def test_rows_damaged_in_their_middle_are_no_traceback(run: Path) -> None:
    """A shard whose end is whole and whose texts are not."""
    path = next((run / "selection").glob("kept-*.parquet"))
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"selection|cannot read the rows"):
        read_facts(run)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"scores": 3}', '{"result": {}, "steps": [], "proof": []}'])
@pytest.mark.parametrize("file", ["tuned/train_report.json", "evaluation/scores.json"])
def test_damaged_reports_are_told_and_do_not_fail(run: Path, file: str, content: str) -> None:
    """What cannot be read is a sentence that names the file; all else is told."""
    (run / file).write_text(content)
    facts = read_facts(run)
    assert len(facts.warnings) == 1
    assert file in facts.warnings[0]
    assert "\n" not in facts.warnings[0]
    assert (not facts.training, facts.evaluation is None) == (file.startswith("tuned"), file.startswith("evaluation"))
    assert facts.rates


def test_rows_of_others_are_told(tmp_path: Path) -> None:
    """Imported answers are judged by the stage verify: their rates are told, seeds and concepts there are none."""
    rows = [make_row(number, wrong=number % 2) for number in range(6)]
    recipe = foreign_recipe([write_rows(tmp_path / "rows.jsonl", rows)])
    facts = read_facts(run_quickly(recipe, tmp_path / "run"))
    (table,) = facts.rates
    assert [(one.name, one.passed, one.judged) for one in table.rates] == [("verify", 3, 6)]
    assert [one.name for one in facts.lengths] == ["instruction", "response", "tests"]
    assert (facts.concepts, facts.contamination) == (None, None)


def test_a_run_whose_rows_are_all_gone_is_told(tmp_path: Path) -> None:
    """No answer passes: the rates say so, and drops are shown where there are no examples."""
    rows = [make_row(number, wrong=1) for number in range(4)]
    recipe = foreign_recipe([write_rows(tmp_path / "rows.jsonl", rows)], without=("decontamination", "dataset"))
    facts = read_facts(run_quickly(recipe, tmp_path / "run"))
    assert [(one.passed, one.judged) for one in facts.rates[0].rates] == [(0, 4)]
    assert facts.asked.examples == 0
    assert [one.reason for one in facts.shown if not one.kept] == ["failed"] * 4


def test_a_run_without_concepts_has_none(tmp_path: Path) -> None:
    """A journey that leaves out the stage `concepts`."""
    assert read_facts(make_run(tmp_path, seeds=3, without=["concepts"])).concepts is None
