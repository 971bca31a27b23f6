"""The recipe semcoder: monologues about calls of verified answers, accepted where running the call agrees."""

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
from selfcodealign.stages.baselines.monologues import find_calls
from tests.support.journey import answer, write_sources
from tests.support.runs import rows_of


def semcoder(folder: Path, *settings: str) -> Recipe:
    """The shipped recipe on little work."""
    sources = write_sources(folder / "source", 3)
    return load_recipe(
        "semcoder",
        [
            f'seeds.sources=["{sources}"]',
            'seeds.licences=["any"]',
            'decontamination.benchmarks=["tiny-eval"]',
            "near_dedup.jaccard=0.95",
            "selection.near_dedup=[]",
            "responses.samples=6",
            "execution.workers=2",
            "execution.warm=[]",
            "execution.mutation_testing=false",
            "monologues.samples=3",
            "flush_seconds=0.2",
            *settings,
        ],
    )


def reason(prompt: str, sampling: Sampling, seed: int) -> str:
    """Monologues of which, by the seed, one of three is right; other prompts are answered as in other tests."""
    if not prompt.endswith(("<forward>\n", "<backward>\n")):
        return answer(prompt, sampling, seed)
    asked = prompt[prompt.rindex("## Example") :]
    name, added = re.findall(r"def (\w+)\(n\):\n    return n \+ (\d+)", asked)[0]
    off = seed % 3
    if prompt.endswith("<forward>\n"):
        (argument,) = re.findall(rf"{name}\((\d+)\)", asked)
        value = "about ten" if off == 2 else str(int(argument) + int(added) + off)
        return f"The number is added.\n</forward>\n<value>\n{value}\n</value>\n"
    (value,) = re.findall(r"<value>\n(\d+)\n", asked)
    call = f"len({value})" if off == 2 else f"{name}(n={int(value) - int(added) + off})"
    return f"The number is taken off.\n</backward>\n<call>\n{call}\n</call>\n"


async def test_monologues_are_those_whose_end_is_what_the_call_returns(tmp_path: Path) -> None:
    """Each kept one agrees with its run, the data set is tuned on it, and the examples are there, too."""
    run = tmp_path / "run"
    await run_recipe(semcoder(tmp_path), run, until="dataset", model=ScriptedModel(reason))
    rows = rows_of(run, "monologues")
    examples = [row for row in rows if not row["direction"]]
    assert len(examples) == len(rows_of(run, "selection")) > 0
    told = {direction: [row for row in rows if row["direction"] == direction] for direction in ("forward", "backward")}
    assert all(told.values())
    for row in (*told["forward"], *told["backward"]):
        (added,) = re.findall(r"return n \+ (\d+)", row["response"])
        (argument,) = re.findall(r"\((?:n=)?(\d+)\)", row["call"])
        assert int(argument) + int(added) == int(row["value"])
    dropped = {row["reason"] for row in rows_of(run, "monologues", "dropped")}
    assert dropped <= {"wrong_output", "unreadable_output", "wrong_input", "unreadable_input"}
    found = pq.read_table(run / "dataset" / "data").to_pylist()
    assert len(found) == len(rows)
    for row in found:
        user, assistant = (message["content"] for message in row["messages"])
        match row["direction"]:
            case "forward":
                assert row["call"] in user
                assert assistant == f"{row['monologue']}\n\nThe call returns:\n\n```python\n{row['value']}\n```"
            case "backward":
                assert row["value"] in user
                assert assistant.endswith(f"```python\n{row['call']}\n```")
            case _:
                assert (user, assistant) == (row["instruction"], row["response"])
    assert "hold other texts than the verified" in (run / "dataset" / "README.md").read_text()


async def test_without_the_examples_only_monologues_are_kept(tmp_path: Path) -> None:
    """And every sample that is wrong is a drop with its reason and what the call returned."""
    run = tmp_path / "run"
    recipe = semcoder(tmp_path, "monologues.keep_examples=false")

    def wrong(prompt: str, sampling: Sampling, seed: int) -> str:
        text = reason(prompt, sampling, seed - seed % 3 if prompt.endswith("ward>\n") else seed)
        return text.replace("<value>\n", "<value>\n1")

    await run_recipe(recipe, run, until="monologues", model=ScriptedModel(wrong))
    assert {row["direction"] for row in rows_of(run, "monologues")} == {"backward"}
    dropped = rows_of(run, "monologues", "dropped")
    assert {row["reason"] for row in dropped} == {"wrong_output"}
    assert all(", and it is " in row["detail"] for row in dropped)


@pytest.mark.parametrize(
    ("tests", "found"),
    [
        ("assert f(1, [2]) == 3\nassert f(1, [2]) == 3", ["f(1, [2])"]),
        ("def test_it():\n    assert f(a=-1) == {'x': 1}", ["f(a=-1)"]),
        ("x = 2\nassert f(x) == 3\nassert f(*[1]) == 3\nassert f(**{'a': 1}) == 3", []),
        ("assert f(1) != 3\nassert f(1)\nassert g(1) == 2\nassert f(f(1)) == 2", []),
        ("assert f(1) ==", []),
    ],
)
def test_calls_are_those_that_need_nothing_but_the_program(tests: str, found: list[str]) -> None:
    """One of its own functions, with literals alone, compared for equality; each once."""
    assert [call for _, call in find_calls("def f(a, b=0):\n    return a", tests)] == found


async def test_too_few_worked_examples_are_refused(tmp_path: Path) -> None:
    """Before any work, in one line that names the heading to add."""
    recipe = semcoder(tmp_path, "monologues.examples=9")
    for call in (plan_recipe, run_recipe):
        with pytest.raises(UserError, match='add "## Monologue: name" sections or lower'):
            await call(recipe, tmp_path / "run", until="monologues", model=ScriptedModel(reason))
    assert not (tmp_path / "run").exists()
