"""Instructions that could never become examples, text lifted from worked examples, contradicted properties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from selfcodealign import Sampling, ScriptedModel, run_recipe
from selfcodealign.generation.echo import Echo
from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.generation.tasks import find_contradictions, find_fault
from selfcodealign.run_folder.folder import open_existing
from tests.support.journey import answer, small_recipe, write_sources
from tests.support.runs import books

EXAMPLES = [example for name in ("python", "tiny") for example in load_few_shot(name).examples]
LIFTED = "An empty line becomes the marks alone, without a trailing space."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("```python\ndef f(x):\n    return x\n```", "only_code"),
        ("def f(x):\n    return x", "only_code"),
        ("import os", "only_code"),
        ("1. 2. 3. — …", "only_code"),
        ("Sort it.\n</instruction >\n" + "</response>", "prompt_markup"),
        ("Sort the list in place.\n<response>\nOf course.", "prompt_markup"),
        ("Write a function that sorts a list.\n" * 4, "repeated"),
        ("Use a dictionary, " * 20, "repeated"),
        ("Schreibe eine Funktion, die eine Liste sortiert.", None),
        ("写一个函数 对列表 进行排序", None),
        ("Fix this code:\n\n```python\ndef f(x):\n    return\n```", None),
        ("Sort the list, please.", None),
    ],
)
def test_a_text_that_is_no_task_is_named(text: str, reason: str | None) -> None:
    """Code alone, repetitions and markup; a task in any language, with or without code, has no fault."""
    fault = find_fault(text)
    assert (fault[0] if fault else None) == reason


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_worked_examples_are_tasks_and_no_echoes_of_each_other(example: Any) -> None:
    """The texts that we wrote ourselves are the negative corpus."""
    assert find_fault(example.instruction) is None
    assert find_contradictions(example.instruction, example.category, example.difficulty) == []
    others = Echo(f"{one.instruction}\n{one.response}" for one in EXAMPLES if one.name != example.name)
    assert others.find(example.instruction) == others.find(example.response) == ""


def test_a_lifted_sentence_is_found_in_other_dress() -> None:
    """Case, punctuation and line breaks do not matter; short, shared and own sentences are not lifted."""
    echo = Echo(example.instruction for example in EXAMPLES)
    plain = "an empty line becomes the marks alone without a trailing space"
    assert echo.find("First: an empty line becomes\nthe marks alone, without a *trailing* space") == plain
    assert echo.find(f"Do it. {LIFTED}", own=f"Write it. {LIFTED}") == ""
    assert echo.find(f"```\n{LIFTED}\n```") == ""
    assert echo.find("An empty line becomes the marks.") == ""
    assert Echo([LIFTED, f"Other. {LIFTED}"]).find(LIFTED) == ""


@pytest.mark.parametrize(
    ("text", "category", "difficulty", "found"),
    [
        ("Write a function `f(x)`.", "class", "easy", ["category"]),
        ("Write a function `f(x)` that returns a class.", "class", "easy", []),
        ("Create a class `A`.", "function", "easy", ["category"]),
        ("Create a class `A` with a function `f(x)`.", "function", "easy", []),
        ("Write a function `f(x)`.", "program", "easy", ["category"]),
        ("Double every number.", "class", "easy", []),
        ("Difficulty: hard. Write a function.", "function", "easy", ["difficulty"]),
        ("Make the hard parts easy.", "function", "medium", []),
    ],
)
def test_only_plain_contradictions_count(text: str, category: str, difficulty: str, found: list[str]) -> None:
    """A text that does not name what it wants contradicts nothing."""
    assert find_contradictions(text, category, difficulty) == found


async def test_a_run_drops_them_by_name_and_counts_the_rest(tmp_path: Path) -> None:
    """Nothing is paid for their answers; contradictions and removed concepts are counted in run.json."""
    echoed = next(one.instruction for one in EXAMPLES if LIFTED in one.instruction)

    def script(prompt: str, sampling: Sampling, seed: int) -> str:
        if prompt.endswith("<instruction>\n"):
            seen = LIFTED in prompt
            return (
                echoed
                if seen
                else f"Write a class `A{seed}`, difficulty: easy. It has " + "a method and " * 3 * (seed % 3)
            )
        if prompt.endswith("<concepts>\n"):
            return "x = 1, sorting, hashing"
        return answer(prompt, sampling, seed)

    recipe = small_recipe(
        write_sources(tmp_path / "source", 12),
        'instructions.categories=["function"]',
        "few_shot.draws=64",
        added=["distinct"],
    )
    recipe = recipe.model_copy(update={"selection": recipe.selection.model_copy(update={"max_instruction_words": 14})})
    await run_recipe(recipe, tmp_path / "run", until="distinct", model=ScriptedModel(script))
    found = books(tmp_path / "run")
    echoes = found["instructions"][2].get("echo", 0)
    assert echoes > 0
    assert found["distinct"][2]["long_instruction"] > 0
    counted = open_existing(tmp_path / "run").facts()["counted"]
    assert counted["concepts"] == {"concepts removed: code": 12}
    assert counted["instructions"]["category contradicted by the text"] == 12 - echoes
