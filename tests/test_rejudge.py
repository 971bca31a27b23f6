"""Stored answers judged again: nothing flips by itself, limits explain flips, applying is whole, and no model is asked.

Some answers hold a large text, so that a memory limit ends them, and no clock decides.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from selfcodealign import Sampling, ScriptedModel, rejudge, run_recipe
from selfcodealign.engine import replace
from selfcodealign.errors import RecipeError, RunFolderError, UserError
from selfcodealign.pipeline import plan_recipe
from selfcodealign.recipe import load_recipe
from selfcodealign.rejudge import rejudge_run
from selfcodealign.report.funnel import read_funnel
from selfcodealign.rows import Dropped, Response
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.stages import Each
from selfcodealign.stages.plan import Action
from tests.support.command_line import call
from tests.support.journey import answer, small_recipe, write_sources
from tests.support.runs import rows_of
from tests.support.told import Told

SMALL = "execution.memory_mib=100"
LARGE = 'TEXT = b"x" * (150 << 20)\n'


def _answer(prompt: str, sampling: Sampling, seed: int) -> str:
    """As `answer`; every second one needs more than 150 MiB."""
    text = answer(prompt, sampling, seed)
    return text if seed % 2 else text.replace("```python\ndef ", f"```python\n{LARGE}def ", 1)


def _model(**options: Any) -> ScriptedModel:
    return ScriptedModel(_answer, **options)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rejudge")
    recipe = small_recipe(write_sources(folder / "source", 8))
    asyncio.run(run_recipe(recipe, folder / "run", model=_model()))
    return folder / "run"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def _files(run: Path, stage: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (run / stage).iterdir()}


def _verdicts(run: Path) -> dict[str, str]:
    """The status of every answer by its id; what was never run has none."""
    rows = rows_of(run, "responses") + rows_of(run, "responses", "dropped")
    return {row["response_id"]: row["status"] for row in rows if row["response_id"]}


def _plan(run: Path, model: Any = None) -> dict[str, Action]:
    recipe = load_recipe(run / "recipe.toml")
    return {one.step.name: one.action for one in asyncio.run(plan_recipe(recipe, run, model=model or _model()))}


def test_the_same_limits_flip_nothing_and_touch_nothing(run: Path) -> None:
    """Every answer with a program is judged once; a second call judges none; the run's rows and settings stay."""
    before = _files(run, "responses"), (run / "recipe.toml").read_bytes()
    judged = [status for status in _verdicts(run).values() if status]
    done = asyncio.run(rejudge_run(run))
    assert done.changes.none
    assert done.changes.before == done.changes.after
    assert sum(done.changes.after.values()) == len(judged)
    assert done.changes.unread == {"unparsed": len(rows_of(run, "responses", "dropped")) - judged.count("failed")}
    told = Told()
    again = asyncio.run(rejudge_run(run, progress=told))
    assert again.table.path == done.table.path
    assert [one for one in told.calls if one[0] == "advance"] == []
    assert before == (_files(run, "responses"), (run / "recipe.toml").read_bytes())


def test_the_command_lists_what_the_limit_ended(run: Path) -> None:
    """Counts, flips with their cause and ids that `show` finds, a file of both verdicts, exit code 1 on request."""
    out = run.parent / "flips.jsonl"
    done = call("rejudge", str(run), "--set", SMALL, "-o", str(out), "--fail-on-flips")
    assert done.returncode == 1, done.stderr
    assert "passed → memory, " in done.stdout
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert "NaN" not in out.read_text("utf-8")
    assert {row["status"] for row in rows} == {"memory"}
    assert "passed" in {row["before_status"] for row in rows}
    large = [row for row in rows_of(run, "responses") if LARGE in row["response"]]
    assert {row["response_id"] for row in rows} >= {row["response_id"] for row in large}
    shown = next(line.split()[-1] for line in done.stdout.splitlines() if line.strip().startswith("selfcodealign show"))
    assert call("show", str(run), shown).returncode == 0
    facts = json.loads((run / "rejudged" / "1" / "judged.json").read_text())
    assert facts["judge"]["settings"]["execution.memory_mib"] == 100
    assert facts["changes"]["flipped"] == len(rows)
    assert call("rejudge", str(run), "--set", SMALL, "-o", str(out)).returncode == 2  # the file exists
    again = call("rejudge", str(run), "--set", SMALL)
    assert (again.returncode, again.stdout.splitlines()[1:-1]) == (0, done.stdout.splitlines()[1:-2])


def test_applied_verdicts_are_the_runs(run: Path) -> None:
    """Rows change places under their ids, selection and data set follow, and a run finds all of it finished."""
    before, old = _verdicts(run), rows_of(run, "responses")
    done = asyncio.run(rejudge_run(run, [SMALL], apply=True))
    now = _verdicts(run)
    assert now.keys() == before.keys()
    assert {one for one in now if now[one] != before[one]} == {
        row.id for row in done.table.shards.rows() if row.changes
    }
    kept = rows_of(run, "responses")
    assert {row["status"] for row in kept} == {"passed"}
    assert 0 < len(kept) < len(old)
    assert [one.books.kept for one in read_funnel(run) if one.name == "responses"] == [len(kept)]
    examples = pq.read_table(run / "dataset" / "data").to_pylist()
    assert not any(LARGE in row["response"] for row in examples)
    stage = json.loads((run / "responses" / "stage.json").read_text())
    assert stage["decided_by"]["execution.memory_mib"] == 100
    assert (stage["rejudged"]["table"], stage["rejudged"]["flipped"]) == ("rejudged/1", done.changes.flipped)
    assert "judged again" in call("show", str(run)).stdout
    assert len(list((run / "superseded" / "responses-1").glob("kept-*"))) > 0
    actions = _plan(run)
    assert actions.pop("dataset") is Action.UPDATE
    assert set(actions.values()) == {Action.REST}
    dead = _model(fail_after=0)
    asyncio.run(run_recipe(load_recipe(run / "recipe.toml"), run, model=dead))
    assert (dead.calls, _verdicts(run)) == (0, now)
    back = load_recipe(run / "recipe.toml", ["execution.memory_mib=4096"])
    asyncio.run(run_recipe(back, run, model=dead, replace_finished=True))
    assert (dead.calls, repr(rows_of(run, "responses"))) == (0, repr(old))  # a NaN equals no other


class Killed(BaseException):
    """Ends the work as a kill does: nothing after it runs."""


@pytest.mark.parametrize("place", ["supersede", "rename", "recipe"])
def test_killed_while_it_applies_one_stage_is_whole(run: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the old rows move, before the new ones get their name, before recipe.toml: the same call completes."""
    whole = Path(shutil.copytree(run, run.parent / "whole"))
    asyncio.run(rejudge_run(whole, [SMALL], apply=True))
    before, fresh = _verdicts(run), run / ".responses.new"

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if place == "rename":
            patch.setattr(replace.os, "rename", lambda old, new: kill() if old == fresh else _move(old, new))
        else:
            patch.setattr(*{"supersede": (replace, "supersede"), "recipe": (rejudge, "write_text")}[place], kill)
        with pytest.raises(Killed):
            asyncio.run(rejudge_run(run, [SMALL], apply=True))
    if place == "supersede":
        assert _verdicts(run) == before
    else:
        found = run / "responses" if place == "recipe" else fresh
        assert json.loads((found / "stage.json").read_text())["books"]
    asyncio.run(rejudge_run(run, [SMALL], apply=True))
    for stage in ("responses", "selection"):
        assert repr(rows_of(run, stage)) == repr(rows_of(whole, stage))
    assert _plan(run) == _plan(whole)
    assert (run / "recipe.toml").read_bytes() == (whole / "recipe.toml").read_bytes()


_move = os.rename


def test_killed_while_it_judges_it_goes_on(run: Path) -> None:
    """kill -9 after the first verdicts: these stay, and every answer has one verdict in the end."""
    process = subprocess.Popen([sys.executable, "-m", "selfcodealign", "rejudge", str(run)], start_new_session=True)
    deadline = time.monotonic() + 60
    while not list((run / "rejudged").glob("1/kept-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    first = {path: path.stat().st_mtime_ns for path in (run / "rejudged" / "1").glob("kept-*")}
    told = Told()
    done = asyncio.run(rejudge_run(run, progress=told))
    ids = [row.id for row in done.table.shards.rows()]
    assert first
    assert all(path.stat().st_mtime_ns == when for path, when in first.items())
    assert sum(one[0] == "skip" for one in told.calls) > 0
    assert sorted(ids) == sorted(one for one, status in _verdicts(run).items() if status)


def test_rows_of_an_earlier_version_get_what_they_lack(run: Path) -> None:
    """Without the columns of split proof, rows are judged; applied, a run finds them finished and asks no model."""
    for path in (run / "responses").glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns(["proof", "killed_by_value"]), path)
    stage = json.loads((run / "responses" / "stage.json").read_text())
    stage["rows"]["fields"] = [name for name in stage["rows"]["fields"] if name not in ("proof", "killed_by_value")]
    del stage["decided_by"]["execution.split"]
    (run / "responses" / "stage.json").write_text(json.dumps(stage))
    assert _plan(run)["responses"] is Action.START_AGAIN
    done = asyncio.run(rejudge_run(run, apply=True))
    assert not done.changes.flips
    assert [(one.before, one.after) for one in done.changes.proofs] == [("shared", "split")]
    assert _plan(run)["responses"] is Action.REST
    assert all(row["proof"] == "split" for row in rows_of(run, "selection"))


def test_instructions_that_would_have_been_sampled_further_are_counted(run: Path) -> None:
    """With an early stop, the flip of the only pass hides answers that the model never wrote."""
    changes = asyncio.run(rejudge_run(run, [SMALL])).changes
    rows = rows_of(run, "responses") + rows_of(run, "responses", "dropped")
    drawn: dict[str, int] = {}
    for row in rows:
        drawn[row["instruction_id"]] = drawn.get(row["instruction_id"], 0) + 1
    lost = {row["instruction_id"] for row in rows_of(run, "responses") if LARGE in row["response"]}
    assert changes.stopped == sum(drawn[one] < 4 for one in lost) > 0
    assert f"{changes.stopped} instructions lost the answer" in call("rejudge", str(run), "--set", SMALL).stdout


async def _short(row: Response) -> Sequence[Response | Dropped]:
    return [row]


def test_stages_behind_the_answers_see_the_new_verdicts(tmp_path: Path) -> None:
    """A filter of answers holds copies of them: it works on all of them again. One that asks the model is refused."""
    short = Each(name="short", takes=Response, gives=Response, decided_by=lambda _: {}, build=lambda _: _short)
    recipe = small_recipe(write_sources(tmp_path / "source", 4))
    recipe = recipe.model_copy(
        update={"journey": ["seeds", "concepts", "instructions", "responses", "short", "selection"]}
    )
    run = tmp_path / "run"
    asyncio.run(run_recipe(recipe, run, model=_model(), stages=[short]))
    asyncio.run(rejudge_run(run, [SMALL], apply=True, stages=[short]))
    assert repr(rows_of(run, "short")) == repr(rows_of(run, "responses"))
    assert len(rows_of(run, "selection")) <= len(rows_of(run, "responses"))
    asking = dataclasses.replace(short, needs=("model",))
    with pytest.raises(RunFolderError, match="asked again: its stage short"):
        asyncio.run(rejudge_run(run, apply=True, stages=[asking]))


def test_what_cannot_be_judged_is_one_line(run: Path, tmp_path: Path) -> None:
    """No folder, no run, another form, no answers, settings of other sections or of none, an unfinished run."""

    def refused(path: Path, *settings: str, apply: bool = False) -> str:
        with pytest.raises(UserError) as error:
            asyncio.run(rejudge_run(path, settings, apply=apply))
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "there is no folder" in refused(tmp_path / "none")
    assert "no run folder" in refused(run / "seeds")
    assert 'unknown setting "execution.secnds"; did you mean "seconds"?' in refused(run, "execution.secnds=3")
    assert "is decided by execution.* alone" in refused(run, "responses.samples=3")
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"form": 1}))
    assert "earlier version" in refused(run)
    (run / "run.json").write_text(json.dumps(facts))
    with RunFolder(run):
        assert "is in use by a run" in refused(run, apply=True)
    stage = json.loads((run / "responses" / "stage.json").read_text())
    (run / "responses" / "stage.json").write_text(json.dumps(stage | {"books": None}))
    assert "--apply needs a finished stage responses" in refused(run, apply=True)
    told = Told()
    asyncio.run(rejudge_run(run, progress=told))
    assert told.lines[0] == "responses is not finished: the answers it holds so far are judged"
    shutil.rmtree(run / "responses")
    assert "holds no answers yet" in refused(run)


async def test_other_settings_of_the_run_are_no_matter_of_judging(run: Path) -> None:
    """Where a run would ask the model again in any case, --apply says so before any work."""
    recipe = (run / "recipe.toml").read_text("utf-8")
    (run / "recipe.toml").write_text(recipe.replace("samples = 4", "samples = 5"), "utf-8")
    with pytest.raises(RunFolderError, match=r"responses\.samples changed from 4 to 5"):
        await rejudge_run(run, apply=True)
    with pytest.raises(RecipeError, match="random_seed"):
        await rejudge_run(run, ["random_seed=3"])
    assert not (run / "rejudged").exists()


def test_no_model_is_opened(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither judging nor applying opens a model: opening one is an error here."""

    def refuse(*_: object) -> None:
        raise AssertionError("a model was opened")

    monkeypatch.setattr("selfcodealign.models.named.open_model", refuse)
    asyncio.run(rejudge_run(run, [SMALL], apply=True))
    assert "memory" in _verdicts(run).values()
