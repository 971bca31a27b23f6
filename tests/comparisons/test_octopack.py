"""The recipe octopack: commits become tasks and answers as they are, and nothing says that they were verified."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selfcodealign import run_recipe
from selfcodealign.errors import UserError
from selfcodealign.pipeline import plan_recipe
from selfcodealign.recipe import load_recipe
from selfcodealign.settings import Recipe
from tests.support.changes import SUBJECT, code_of, shallow_clone, write_changes
from tests.support.repositories import new_repository
from tests.support.runs import books, claims_of, rows_of


def octopack(source: str, *settings: str) -> Recipe:
    """The shipped recipe on one source."""
    return load_recipe(
        "octopack",
        [
            f'seeds.sources=["{source}"]',
            'seeds.licences=["any"]',
            'decontamination.benchmarks=["tiny-eval"]',
            "flush_seconds=0.2",
            *settings,
        ],
    )


async def test_each_commit_is_one_example_that_was_not_run(tmp_path: Path) -> None:
    """Subject and code before are the task, the code after is the answer; several changes of like files all stay."""
    run = tmp_path / "run"
    history = write_changes(tmp_path / "history", 3)
    await run_recipe(octopack(f"git:{history}"), run, until="dataset")
    assert books(run)["seeds"] == (6, 3, {"names_file": 3})
    assert books(run)["selection"] == (3, 3, {})
    rows = {row["source_path"]: row for row in rows_of(run, "commit_pairs")}
    row = rows["shop_2.py"]
    assert row["instruction"] == f"{SUBJECT}\n\n```python\n{code_of(2, '-')}```"
    assert row["response"] == f"```python\n{code_of(2, '+')}```"
    assert {one["status"] for one in rows.values()} == {"not_run"}
    examples = pq.read_table(run / "dataset" / "data").to_pylist()
    assert {one["messages"][1]["content"] for one in examples} == {one["response"] for one in rows.values()}
    card = (run / "dataset" / "README.md").read_text()
    assert "3 responses were **not** run: nothing is known of their correctness" in card
    assert "passed" not in claims_of(run)


async def test_a_new_file_is_asked_for_by_its_subject_alone(tmp_path: Path) -> None:
    """There is no code before that the task could show."""
    run = tmp_path / "run"
    history = write_changes(tmp_path / "history", 1)
    recipe = octopack(f"git:{history}", 'seeds.commits_skip=["names_file", "short_subject", "not_imperative"]')
    await run_recipe(recipe, run, until="commit_pairs")
    tasks = {row["commit_message"]: row["instruction"] for row in rows_of(run, "commit_pairs")}
    assert tasks["Begin shop_1 today"] == "Begin shop_1 today"
    assert tasks[SUBJECT].startswith(f"{SUBJECT}\n\n```python\n")


async def test_rows_with_commitpack_columns_are_taken(tmp_path: Path) -> None:
    """A published data set's file, without a repository; a fence in the code gets a longer one around it."""
    before = '"""Show how a table is written.\n\n```\na | b\n```\n"""\n' + "x = 1\n" * 30
    file = tmp_path / "pack.jsonl"
    row = {"old_contents": before, "new_contents": before.replace("x =", "y ="), "new_file": "a.py", "license": "mit"}
    file.write_text(json.dumps({**row, "subject": "Rename the variable of the table"}))
    run = tmp_path / "run"
    await run_recipe(octopack(str(file)), run, until="commit_pairs")
    (row,) = rows_of(run, "commit_pairs")
    assert row["instruction"].endswith(f"\n\n````python\n{before}````")


@pytest.mark.parametrize(
    ("made", "settings", "said"),
    [
        ("history", ["seeds.kind=functions"], r'commit_pairs takes commits, and seeds\.kind is "functions": set'),
        ("empty", [], "has no commit yet"),
        ("shallow", [], "is a shallow clone without a history: fetch it with git fetch --unshallow"),
        ("folder", [], r'has no commits, which seeds\.kind="commits" takes: name a repository'),
    ],
)
async def test_what_has_no_commits_is_refused(tmp_path: Path, made: str, settings: list[str], said: str) -> None:
    """In one line, before any work, by a dry run as by a run."""
    history = write_changes(tmp_path / "history", 1)
    new_repository(tmp_path / "empty")
    shallow_clone(tmp_path / "shallow", history)
    (tmp_path / "folder").mkdir()
    source = f"{'' if made == 'folder' else 'git:'}{tmp_path / made}"
    for call in (plan_recipe, run_recipe):
        with pytest.raises(UserError, match=said) as error:
            await call(octopack(source, *settings), tmp_path / "run", until="commit_pairs")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
