"""The recipe commit-edits: the model's tests decide which commits become verified edits."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selfcodealign import Sampling, ScriptedModel, run_recipe
from selfcodealign.errors import UserError
from selfcodealign.pipeline import plan_recipe
from selfcodealign.recipe import load_recipe
from selfcodealign.settings import Recipe
from tests.support.changes import code_of, shallow_clone, write_changes
from tests.support.repositories import commit
from tests.support.runs import books, rows_of

REQUEST = "Add the fixed charge to the price instead of taking it off."


def commit_edits(source: str, *settings: str) -> Recipe:
    """The shipped recipe on one source, with one request for each commit."""
    return load_recipe(
        "commit-edits",
        [
            f'seeds.sources=["{source}"]',
            'seeds.licences=["any"]',
            'seeds.commits_skip=["short_subject", "not_imperative"]',
            'decontamination.benchmarks=["tiny-eval"]',
            "edits.samples=1",
            "execution.workers=2",
            "execution.warm=[]",
            "flush_seconds=0.2",
            *settings,
        ],
    )


def write(prompt: str, sampling: Sampling, seed: int) -> str:
    """Requests for the shops: tests that tell both versions apart but for shop 2 (they pass before, too), shop 3 (they
    fail after, too) and shop 4 (no tests)."""
    number = int(re.findall(r"price_(\d+)\(", prompt)[-1])
    expected = {2: "abs(price_2(0, 5)) == 2", 3: "price_3(2, 5) == 0"}
    tests = expected.get(number, f"price_{number}(2, 5) == {10 + number}")
    if number == 4:
        return f"{REQUEST}\n"
    return f"{REQUEST}\n</instruction>\n<tests>\n```python\nassert {tests}\n```\n</tests>\n"


async def test_a_commit_is_kept_where_tests_pass_after_it_and_fail_before(tmp_path: Path) -> None:
    """Four of five commits are dropped or kept by what their tests do on the two versions; rows tell the task whole."""
    run = tmp_path / "run"
    history = write_changes(tmp_path / "history", 5)
    await run_recipe(commit_edits(f"git:{history}"), run, until="dataset", model=ScriptedModel(write))
    assert books(run)["edits"] == (5, 2, {"failed": 1, "passes_before": 1, "unparsed": 1})
    row = next(one for one in rows_of(run, "edits") if one["source_path"] == "shop_1.py")
    assert row["instruction"] == f"{REQUEST}\n\n```python\n{code_of(1, '-')}```"
    assert row["response"] == f"```python\n{code_of(1, '+')}```"
    assert (row["status"], row["tests"]) == ("passed", "```python\nassert price_1(2, 5) == 11\n```")
    examples = pq.read_table(run / "dataset" / "data").to_pylist()
    assert {one["source_path"] for one in examples} == {"shop_1.py", "shop_5.py"}
    assert {(one["samples"], one["pass_rate"]) for one in examples} == {(1, 1.0)}
    assert "Every response passed tests" in (run / "dataset" / "README.md").read_text()


async def test_a_further_request_is_written_until_one_is_kept(tmp_path: Path) -> None:
    """The first of the samples fails; the second one is kept, and no third is asked for."""
    run = tmp_path / "run"
    history = write_changes(tmp_path / "history", 1)
    good = f"{REQUEST}\n</instruction>\n<tests>\n```python\nassert price_1(2, 5) == 11\n```\n</tests>\n"
    model = ScriptedModel([good.replace("11", "12"), good, good])
    await run_recipe(commit_edits(f"git:{history}", "edits.samples=3"), run, until="edits", model=model)
    assert books(run)["edits"] == (1, 1, {"failed": 1})
    assert model.calls == 2


async def test_nothing_is_asked_about_a_commit_that_cannot_run(tmp_path: Path) -> None:
    """Code that needs its repository, and a file that a commit begins, cost no request."""
    run = tmp_path / "run"
    history = write_changes(tmp_path / "history", 1)
    file = history / "shop_1.py"
    file.write_text(file.read_text().replace("def price", "from shop_tools import rate\n\n\ndef price"))
    commit(history, "Use the tools of the shop everywhere", shop_1__py=file.read_text())
    recipe = commit_edits(f"git:{history}", 'seeds.commits_skip=["short_subject", "not_imperative", "names_file"]')
    model = ScriptedModel(write)
    await run_recipe(recipe, run, until="edits", model=model)
    assert books(run)["edits"] == (3, 1, {"code_does_not_run": 1, "no_code_before": 1})
    assert model.calls == 1
    (needs,) = [row for row in rows_of(run, "edits", "dropped") if row["reason"] == "code_does_not_run"]
    assert "shop_tools" in needs["detail"]


@pytest.mark.parametrize(
    ("made", "settings", "said"),
    [
        ("history", ["seeds.kind=functions"], r'the stage edits takes commits, and seeds\.kind is "functions": set'),
        ("shallow", [], "is a shallow clone without a history"),
        ("history", ["few_shot.file=tiny"], r'needs more examples \(2\) than are here \(0\); add "## Edit: name"'),
    ],
)
async def test_what_it_needs_is_refused_before_work(tmp_path: Path, made: str, settings: list[str], said: str) -> None:
    """In one line that names the fix; no request is sent."""
    history = write_changes(tmp_path / "history", 1)
    shallow_clone(tmp_path / "shallow", history)
    recipe, model = commit_edits(f"git:{tmp_path / made}", *settings), ScriptedModel(write)
    for call in (plan_recipe, run_recipe):
        with pytest.raises(UserError, match=said) as error:
            await call(recipe, tmp_path / "run", until="edits", model=model)
        assert "\n" not in str(error.value)
    assert model.calls == 0
    assert not (tmp_path / "run").exists()
