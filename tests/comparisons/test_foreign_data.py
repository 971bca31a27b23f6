"""The recipe `verify-foreign`: rows of data sets that others wrote, verified, compared, selected."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from selfcodealign import ScriptedModel, run_recipe
from selfcodealign.errors import UserError
from selfcodealign.pipeline import plan_recipe
from selfcodealign.sandbox.on_demand import OnDemandSandbox
from tests.support.command_line import call
from tests.support.foreign_rows import foreign_recipe, make_row, write_rows
from tests.support.journey import answer, judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.processes import wait_for
from tests.support.runs import books, rows_of

PYTEST = """import pytest
from solution import task_2

def test_it():
    assert task_2(0) == 2
    assert task_2(5) == 7
"""


@pytest.mark.one_mode
async def test_given_responses_run_against_given_tests(tmp_path: Path) -> None:
    """From the recipe's file to the data set: every loss has a name, and a kept row has its verdict and its origin."""
    rows = [
        make_row(1, license="mit"),
        make_row(2, tests=PYTEST, license="mit"),
        make_row(3, wrong=1),
        make_row(4, tests=None),
        make_row(5, response=""),
        make_row(6, tests={"inputs": [0], "outputs": [6]}),
        make_row(1, license="mit"),
    ]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    recipe = foreign_recipe([path], 'decontamination.benchmarks=["tiny-eval"]', without=[])
    result = await run_recipe(recipe, tmp_path / "run")
    found = books(tmp_path / "run")
    assert found["imported"] == (7, 5, {"copy": 1, "unknown_tests": 1})
    assert found["decontamination"] == (5, 5, {})
    assert found["verify"] == (5, 2, {"failed": 1, "without_response": 1, "without_tests": 1})
    assert found["selection"] == (2, 2, {})
    kept = {row["given_id"]: row for row in rows_of(tmp_path / "run", "verify")}
    assert sorted(kept) == ["1", "2"]
    assert {(row["status"], row["proof"], row["licence"], row["origin"]) for row in kept.values()} == {
        ("passed", "split", "MIT", "rows.jsonl")
    }
    assert all(row["mutation_score"] > 0 for row in kept.values())
    assert result.dataset is not None
    table = pq.read_table(result.dataset / "data").to_pylist()
    assert {row["given_id"] for row in table} == {"1", "2"}
    assert "rows.jsonl" in (result.dataset / "README.md").read_text()


async def test_rows_of_two_data_sets_with_one_id_are_both_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids clash, contents differ: two rows. The same content again, also in the other data set, is a counted copy."""
    judge_by_text(monkeypatch)
    first = write_rows(tmp_path / "a" / "rows.jsonl", [make_row(1), make_row(2)])
    second = write_rows(tmp_path / "b" / "rows.jsonl", [make_row(3, id=1), make_row(4, id=2), make_row(2)])
    await run_recipe(foreign_recipe([first, second]), tmp_path / "run", until="verify")
    assert books(tmp_path / "run")["imported"] == (5, 4, {"copy": 1})
    kept = rows_of(tmp_path / "run", "verify")
    assert sorted(row["given_id"] for row in kept) == ["1", "1", "2", "2"]
    assert len({row["instruction_id"] for row in kept}) == 4


async def test_without_execution_rows_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They need no tests, claim nothing, and go through the selection."""

    async def refuse(self: OnDemandSandbox, program: object) -> None:
        raise AssertionError("a program was run")

    judge_by_text(monkeypatch)
    monkeypatch.setattr(OnDemandSandbox, "run", refuse)
    rows = [{key: value for key, value in make_row(number).items() if key != "tests"} for number in range(3)]
    recipe = foreign_recipe([write_rows(tmp_path / "rows.jsonl", rows)], "verify.execute=false")
    result = await run_recipe(recipe, tmp_path / "run")
    assert books(tmp_path / "run")["selection"] == (3, 3, {})
    assert {(row["status"], row["proof"]) for row in rows_of(tmp_path / "run", "selection")} == {("not_run", "")}
    assert result.dataset is not None
    assert "Every response passed" not in (result.dataset / "README.md").read_text()


async def test_a_run_of_ours_is_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last rows are read with their ids and licences; their responses are judged again by their tests."""
    judge_by_text(monkeypatch)
    ours = small_recipe(write_sources(tmp_path / "source", 6), 'seeds.licence="MIT"', without=["decontamination"])
    await run_recipe(ours, tmp_path / "ours", until="responses", model=scripted_model())
    written = rows_of(tmp_path / "ours", "responses")
    assert written
    await run_recipe(foreign_recipe([tmp_path / "ours"]), tmp_path / "run", until="verify")
    read = rows_of(tmp_path / "run", "verify")
    assert {row["given_id"] for row in read} <= {row["response_id"] for row in written}
    assert sorted(row["instruction"] for row in read) == sorted(row["instruction"] for row in written)
    assert {(row["origin"], row["licence"]) for row in read} == {("ours", "MIT")}


async def test_a_model_may_answer_instructions_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage `responses` takes imported rows, whose own responses stay beside the model's."""
    judge_by_text(monkeypatch)
    rows = [make_row(7, response="No idea."), make_row(7, response="None at all."), make_row(8, response="")]
    recipe = foreign_recipe(
        [write_rows(tmp_path / "rows.jsonl", rows)],
        "responses.samples=20",
        added=["distinct", "responses"],
        without=["decontamination", "verify"],
    )
    await run_recipe(recipe, tmp_path / "run", until="responses", model=ScriptedModel(answer))
    assert books(tmp_path / "run")["distinct"] == (3, 2, {"same_instruction": 1})
    kept = rows_of(tmp_path / "run", "responses")
    assert {row["given_id"] for row in kept} == {"7", "8"}
    assert all("return n + " in row["response"] for row in kept)


async def test_what_rows_were_given_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imported rows have no seed: not the empty text, but instruction and response tell copies and benchmark tasks."""
    judge_by_text(monkeypatch)
    task = {
        "task_id": "B/1",
        "entry_point": "interleave_reversed",
        "prompt": "def interleave_reversed(left, right):\n"
        '    """Interleave the reversed left list with the right list, until the shorter of the two is used up."""\n',
        "canonical_solution": "    result = []\n    for a, b in zip(reversed(left), right):\n"
        "        result += [a, b]\n    return result\n",
        "test": "def check(candidate):\n    assert candidate([1], [2]) == [1, 2]\n",
    }
    benchmark = write_rows(tmp_path / "bench.jsonl", [task])
    solution = f"```python\n{task['prompt']}{task['canonical_solution']}```"
    long = " ".join(f"word{number}" for number in range(60))
    rows = [
        make_row(1),
        make_row(2, response=solution),
        make_row(3, instruction=f"Explain {long}."),
        make_row(3, instruction=f"Explain {long}!"),
    ]
    recipe = foreign_recipe(
        [write_rows(tmp_path / "rows.jsonl", rows)],
        f'decontamination.benchmarks=["{benchmark}"]',
        added=["near_dedup"],
        without=[],
    )
    await run_recipe(recipe, tmp_path / "run", until="near_dedup")
    found = books(tmp_path / "run")
    assert found["decontamination"] == (4, 3, {"contaminated": 1})
    assert found["near_dedup"] == (3, 2, {"near_copy": 1})


#: Arguments: the file of rows, the folder of the run.
KILLED = """
import asyncio, sys
from pathlib import Path
import pytest
from selfcodealign import run_recipe
from selfcodealign.sandbox.on_demand import OnDemandSandbox
from tests.support.foreign_rows import foreign_recipe
from tests.support.journey import judge_by_text
judge_by_text(pytest.MonkeyPatch())
judge, run = OnDemandSandbox.run, []
async def until_it_hangs(self, program):
    run.append(program)
    if len(run) > 60:
        await asyncio.Event().wait()
    return await judge(self, program)
OnDemandSandbox.run = until_it_hangs
asyncio.run(run_recipe(foreign_recipe([Path(sys.argv[1])]), Path(sys.argv[2])))
"""


async def test_a_killed_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 while rows are verified: the same command ends with the rows of a whole run, and judges none twice."""
    rows = [make_row(number, wrong=number % 3 == 0) for number in range(200)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(tmp_path / "run")], start_new_session=True)
    verified = tmp_path / "run" / "verify"
    assert wait_for(lambda: bool(list(verified.glob("kept-*"))) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(rows_of(tmp_path / "run", "verify")) + len(rows_of(tmp_path / "run", "verify", "dropped"))
    judge_by_text(monkeypatch)
    judge, run = OnDemandSandbox.run, []

    async def count(self: OnDemandSandbox, program: Any) -> Any:
        run.append(program)
        return await judge(self, program)

    monkeypatch.setattr(OnDemandSandbox, "run", count)
    await run_recipe(foreign_recipe([path]), tmp_path / "run")
    assert 0 < done < 200
    assert len(run) == 200 - done
    await run_recipe(foreign_recipe([path]), tmp_path / "whole")
    for stage in ("imported", "verify", "selection"):
        for kind in ("kept", "dropped"):
            found, whole = (str(rows_of(tmp_path / name, stage, kind)) for name in ("run", "whole"))
            assert found == whole  # as text, in which an unmeasured number is like another


@pytest.mark.parametrize(
    ("rows", "settings", "said"),
    [
        (None, [], "imported.sources names no data set"),
        ([{"ask": "Add."}], [], "no column of instructions that is known (it has ask)"),
        ([{"prompt": "Add.", "reply": "x"}], [], "no column of response that is known (it has prompt, reply)"),
        ([{"prompt": "Add.", "completion": "x"}], [], "set imported.tests_column; to run nothing, set verify.execute"),
        ([make_row(1)], ["imported.tests_column=test"], 'no column "test" (it has id, instruction, response, tests)'),
        (
            [make_row(1, tests={"in": [1]})] * 3,
            [],
            "no row has tests of a known shape in tests ({'in': [1]};",
        ),
        ([make_row(1, language="Rust")], [], "none of the first 1 rows can be taken (not_python: Rust; it has id"),
    ],
)
def test_unmet_needs_are_one_line_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]] | None, settings: list[str], said: str
) -> None:
    """The line names the file, its columns and the setting that helps; nothing is begun."""
    judge_by_text(monkeypatch)
    sources = [] if rows is None else [write_rows(tmp_path / "rows.jsonl", rows)]
    recipe = foreign_recipe(sources, *settings)
    for work in (plan_recipe, run_recipe):
        with pytest.raises(UserError) as caught:
            asyncio.run(work(recipe, tmp_path / "run"))
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "imported").exists()


async def test_the_folder_of_the_run_itself_is_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is a run without instructions."""
    judge_by_text(monkeypatch)
    path = write_rows(tmp_path / "rows.jsonl", [make_row(1)])
    await run_recipe(foreign_recipe([path]), tmp_path / "run", until="verify")
    with pytest.raises(UserError, match="the folder of this very run"):
        await run_recipe(foreign_recipe([tmp_path / "run"]), tmp_path / "run")
    seeds = small_recipe(write_sources(tmp_path / "source", 2))
    await run_recipe(seeds, tmp_path / "seeds", until="seeds")
    with pytest.raises(UserError, match="has no finished instructions"):
        await run_recipe(foreign_recipe([tmp_path / "seeds"]), tmp_path / "other")


def test_source_and_limit_are_those_of_the_journey(tmp_path: Path) -> None:
    """`--source` and `--limit` stand for imported.sources and imported.limit where rows are imported."""
    path = write_rows(tmp_path / "rows.jsonl", [make_row(1), make_row(2), make_row(3)])
    words = ["--source", str(path), "--limit", "2", "--set", "decontamination.benchmarks=[]", "--until", "imported"]
    done = call("run", "verify-foreign", *words, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert books(tmp_path / "run")["imported"] == (2, 2, {})
