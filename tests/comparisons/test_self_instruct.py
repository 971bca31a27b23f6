"""The recipe `self-instruct`: lists of tasks that a model goes on with, and the filter by ROUGE-L."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfcodealign import Completion, Sampling, ScriptedModel, run, run_recipe
from selfcodealign.curation.rouge import KeptTexts, rouge_l, split_words
from selfcodealign.errors import UserError
from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.pipeline import forecast_recipe, plan_recipe
from selfcodealign.recipe import load_recipe
from selfcodealign.settings import Recipe
from selfcodealign.stages.baselines.self_instruct import find_list_fault, split_list
from tests.support.command_line import call
from tests.support.journey import answer, judge_by_text
from tests.support.runs import books, rows_of
from tests.support.told import Told

#: Tasks that have no five words in common but "write a function".
TASKS = [
    "Write a function `task_{0}(n)` that returns n plus {1}.",
    "Given any whole number called n, define `task_{0}(n)`, whose result shall be n plus {1}.",
    "Somebody counts sheep, stones, ships; `task_{0}(n)` adds further ones there: n plus {1}.",
]


def small(*settings: str) -> Recipe:
    return load_recipe(
        "self-instruct",
        [
            'journey=["self_instruct", "novel", "responses", "selection", "dataset"]',
            "model.name=scripted",
            "few_shot.file=tiny",
            "self_instruct.lineages=3",
            "self_instruct.rounds=2",
            "responses.samples=4",
            'decontamination.benchmarks=["tiny-eval"]',
            "selection.near_dedup=[]",
            "execution.warm=[]",
            *settings,
        ],
    )


def count_items(prompt: str) -> int:
    """How many tasks a list shows; 0 where the prompt is no list."""
    found = re.search(r"\n(\d+)\.$", prompt)
    return int(found[1]) - 1 if found else 0


def go_on(prompt: str, sampling: Sampling, seed: int) -> str | Completion:
    """Goes on with a list of tasks by far too many; else as the pipeline's model."""
    if not (shown := count_items(prompt)):
        return answer(prompt, sampling, seed)
    tasks = [TASKS[place % 3].format(seed + place, place) for place in range(12)]
    return " " + "\n".join(f"{shown + place}. {task}" for place, task in enumerate(tasks, 1)).split(". ", 1)[1]


async def test_lists_of_tasks_become_verified_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list gives seven tasks and is asked for no more; rows name the model; answers pass their tests."""
    judge_by_text(monkeypatch)
    prompts: list[str] = []

    def listen(prompt: str, sampling: Sampling, seed: int) -> str | Completion:
        prompts.append(prompt)
        return go_on(prompt, sampling, seed)

    out = tmp_path / "run"
    await run_recipe(small(), out, model=ScriptedModel(listen, name="base"))
    rows = rows_of(out, "self_instruct")
    assert {(row["origin"], row["seed"], row["kind"], row["licence"]) for row in rows} == {
        ("base", "", "none", "unknown")
    }
    assert books(out)["self_instruct"] == (3, 42, {})
    assert sorted({(row["round"], row["place"]) for row in rows}) == [(a, b) for a in (1, 2) for b in range(1, 8)]
    lists = [prompt for prompt in prompts if count_items(prompt)]
    assert sorted(count_items(prompt) for prompt in lists) == [6, 6, 6, 8, 8, 8]
    seeds = {" ".join(one.instruction.split()) for one in load_few_shot("tiny").examples}
    for prompt in lists:
        shown = re.findall(r"^\d+\. (.*)", prompt, re.MULTILINE)
        assert len(seeds & set(shown)) == 6
    for row in rows:
        earlier = {one["instruction"] for one in rows if one["seed_id"] == row["seed_id"] and one["round"] == 1}
        assert len(row["shown_tasks"]) == (2 if row["round"] == 2 else 0)
        assert set(row["shown_tasks"]) <= earlier
    assert {row["instruction"] for row in rows_of(out, "novel")} < {row["instruction"] for row in rows}
    examples = rows_of(out, "selection")
    assert examples
    assert {row["status"] for row in examples} == {"passed"}
    told = call("show", str(out), rows[0]["instruction_id"], "--prompt")
    assert told.returncode == 0, told.stderr
    assert any(" ".join(prompt.split()) in " ".join(told.stdout.split()) for prompt in lists), told.stdout


async def test_published_form_is_never_called_verified(tmp_path: Path) -> None:
    """One answer, no tests, nothing run: the rows say so."""
    recipe = small("responses.tests=false", "responses.execute=false", "responses.samples=1")
    await run_recipe(recipe, tmp_path / "run", model=ScriptedModel(go_on))
    examples = rows_of(tmp_path / "run", "selection")
    assert {row["status"] for row in examples} == {"not_run"}
    assert "were **not** run" in (tmp_path / "run" / "dataset" / "README.md").read_text("utf-8")


async def test_more_lineages_and_rounds_add_rows_and_change_none(tmp_path: Path) -> None:
    """A row depends on its lineage alone, and on nothing that comes after it."""
    for name, lineages, rounds in (("few", 2, 1), ("all", 5, 3)):
        recipe = small(f"self_instruct.lineages={lineages}", f"self_instruct.rounds={rounds}")
        await run_recipe(recipe, tmp_path / name, until="self_instruct", model=ScriptedModel(go_on))
    few, everything = (
        {row["instruction_id"]: row["instruction"] for row in rows_of(tmp_path / name, "self_instruct")}
        for name in ("few", "all")
    )
    assert len(few) == 14
    assert len(everything) == 105
    assert few.items() <= everything.items()


def test_a_killed_run_ends_with_the_same_rows(tmp_path: Path) -> None:
    """Lists of a lineage that was under way are in the journal, and not asked for again."""
    run(small(), tmp_path / "whole", until="novel", model=ScriptedModel(go_on), progress=False)
    left = [4]

    def die(prompt: str, sampling: Sampling, seed: int) -> str | Completion:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("killed")
        return go_on(prompt, sampling, seed)

    again = ScriptedModel(go_on)
    with pytest.raises(RuntimeError, match="killed"):
        run(small(), tmp_path / "run", until="novel", model=ScriptedModel(die, concurrency=1), progress=False)
    run(small(), tmp_path / "run", until="novel", model=again, progress=False)
    assert again.calls == 2
    for kind in ("kept", "dropped"):
        whole, resumed = (sorted(map(str, rows_of(tmp_path / name, "novel", kind))) for name in ("whole", "run"))
        assert resumed == whole


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Sort a list.", "too_short"),
        ("Add one " * 76, "too_long"),
        ("Read the numbers out of a File and add them.", "forbidden_word"),
        ("Let the user go to the next page.", "forbidden_word"),
        ("Write a program that adds two numbers.", "write_a_program"),
        ("(n) that returns n times two.", "punctuation"),
        ("Äpfel and pears are to be counted.", "punctuation"),
        ("def f(x): return f(x + 1) + 1", "only_code"),
    ],
)
def test_what_is_no_task_is_dropped_by_name(text: str, reason: str) -> None:
    """The first fault names the drop; whole words count, and a task has no fault."""
    settings = small().self_instruct
    assert (find_list_fault(text, settings) or ("", ""))[0] == reason
    assert find_list_fault("Write a function that profiles a mapping.", settings) is None


def test_numbers_part_a_list_where_a_line_begins() -> None:
    """Not within a line, and not before a decimal fraction."""
    text = " Add 1. and 2. twice\nand\n2.5 times.\n10. Subtract.\n 11) Multiply.\n12."
    assert split_list(text) == ["Add 1. and 2. twice and 2.5 times.", "Subtract.", "Multiply.", ""]


@pytest.mark.parametrize(("ended", "reason"), [("length", "truncated"), ("loop", "looping")])
async def test_the_last_task_of_a_list_that_was_cut_is_dropped(ended: str, reason: str, tmp_path: Path) -> None:
    """What stands before it is kept; copies of shown and earlier tasks are not."""
    seed = load_few_shot("tiny").examples[0].instruction.upper()
    items = ["Count the words of a text.", "count the words, of a text", seed, "Reverse the words of"]
    text = "\n".join(f"{number}. {item}" for number, item in enumerate(items, 7)).removeprefix("7.")
    model = ScriptedModel(lambda *_: Completion(text, ended))  # type: ignore[arg-type]
    recipe = small("self_instruct.lineages=1", "self_instruct.rounds=1")
    await run_recipe(recipe, tmp_path / "run", until="self_instruct", model=model)
    assert books(tmp_path / "run")["self_instruct"] == (1, 1, {"same_words": 2, reason: 1})


async def test_a_task_near_a_seed_task_or_a_kept_one_goes(tmp_path: Path) -> None:
    """The detail names the nearest; without a limit everything stays, and the facts tell what decided."""
    seed = load_few_shot("tiny").examples[3].instruction
    text = f" Please {seed}\n8. Count the vowels in a given text.\n9. Count the vowels in a text."
    recipe = small("self_instruct.lineages=1", "self_instruct.rounds=1")
    model = ScriptedModel(lambda *_: text)
    await run_recipe(recipe, tmp_path / "run", until="novel", model=model)
    drops = {row["reason"]: row["detail"] for row in rows_of(tmp_path / "run", "novel", "dropped")}
    (kept,) = rows_of(tmp_path / "run", "novel")
    assert drops["near_seed_task"].startswith("seed task 4 (0.9")
    assert drops["near_task"].startswith(f"{kept['instruction_id']} (0.9")
    told = Told()
    await run_recipe(
        small("self_instruct.lineages=1", "self_instruct.rounds=1", "novel.rouge=1"),
        tmp_path / "run",
        until="novel",
        model=model,
        progress=told,
    )
    assert any("novel.rouge changed from 0.7 to 1.0" in line for line in told.lines)
    assert len(rows_of(tmp_path / "run", "novel")) == 3
    assert model.calls == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("model.urls=http://localhost:1", "model.api=chat"), r'set model\.api = "completions"'),
        (("self_instruct.examples=11",), r"examples = 11, and tiny has 10 instructions of at most 150 words: lower it"),
        (("self_instruct.max_words=15",), r"tiny has 3 instructions of at most 15 words"),
        (("few_shot.file=nowhere",), "there is no such few-shot file"),
    ],
)
async def test_what_cannot_begin_is_refused_before_work(settings: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """One line names the fix; no list is asked for."""
    model = ScriptedModel(go_on)
    with pytest.raises(UserError, match=said) as refused:
        await plan_recipe(small(*settings), tmp_path / "run", until="novel", model=model)
    assert "\n" not in str(refused.value)
    assert model.calls == 0


def common_by_definition(one: Sequence[str], other: Sequence[str]) -> int:
    """The longest common subsequence by its recursion."""

    @cache
    def longest(a: int, b: int) -> int:
        if not a or not b:
            return 0
        if one[a - 1] == other[b - 1]:
            return longest(a - 1, b - 1) + 1
        return max(longest(a - 1, b), longest(a, b - 1))

    return longest(len(one), len(other))


TEXTS = st.lists(st.sampled_from("abcdef"), max_size=12).map(" ".join)


@given(texts=st.lists(TEXTS, max_size=12), limit=st.sampled_from([0.2, 0.5, 0.7, 1.0]))
def test_the_filter_is_that_of_all_pairs(texts: list[str], limit: float) -> None:
    """For every text the nearest kept one above the limit, by the definition of ROUGE-L."""
    kept, found = KeptTexts(limit), {}
    for number, text in enumerate(texts):
        words = split_words(text)
        scores = {}
        for name, other in found.items():
            both = len(words) + len(other)
            scores[name] = 2 * common_by_definition(words, other) / both if words and other else 0.0
            assert rouge_l(words, other) == scores[name]
        near = kept.find_near(text)
        expected = max(scores.values(), default=0.0)
        assert (near is not None) == (expected > limit)
        if near is None:
            kept.add(str(number), text)
            found[str(number)] = words
        else:
            assert near.similarity == expected == scores[near.name]


async def test_the_dry_run_counts_the_tasks_of_a_lineage(tmp_path: Path) -> None:
    """One request for each round, and answers for each task that it may give."""
    recipe, out = small("model.name=embedded", "self_instruct.rounds=3"), tmp_path / "run"
    lists, answers = forecast_recipe(recipe, out, await plan_recipe(recipe, out)).stages
    assert (lists.stage, lists.requests, lists.most_tokens) == ("self_instruct", 3, 1024)
    assert 0 < lists.typical_tokens < lists.prompt_tokens
    assert (answers.stage, answers.requests) == ("responses", 3 * 7 * recipe.responses.samples)
