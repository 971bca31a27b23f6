"""A small world for tests of the pipeline: source files with seeds, and a model that answers every stage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from selfcodealign import Sampling, ScriptedModel
from selfcodealign.pipeline import CATALOGUE
from selfcodealign.recipe import load_recipe
from selfcodealign.sandbox import Program, Status, Verdict
from selfcodealign.sandbox.on_demand import OnDemandSandbox
from selfcodealign.settings import Recipe
from selfcodealign.stages.journey import edit_journey

WORDS = ["alder", "birch", "cedar", "daphne", "elder", "fir", "gorse", "hazel", "iris", "juniper"]


def write_sources(folder: Path, count: int) -> Path:
    """Write `count` files of one documented function each, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        word, other = WORDS[number % 10], f"{WORDS[number // 10 % 10]}s"
        (folder / f"{word}_{number}.py").write_text(
            f"import math\n\n\ndef {word}_{other}_{number}({word}, {other}):\n"
            f'    """Return the {word} of {other} number {number}, rounded down for the {number * 7}th row."""\n'
            f"    {word}_total = math.floor({word} * {number + 2}) + len('{other}' * {number % 7})\n"
            f"    return {word}_total - {other} // {number + 1}\n"
        )
    return folder


def answer(prompt: str, sampling: Sampling, seed: int) -> str:
    """Continue any prompt of the pipeline, depending on the arguments only. About half of the responses are right."""
    if prompt.endswith("<concepts>\n"):
        names = re.findall(r"def (\w+)", prompt)[-1]
        return ", ".join(["arithmetic", "rounding", *names.split("_")]) + "\n</concepts>\n"
    if prompt.endswith("<judgement>\n"):
        return "yes\n" if seed % 5 else "no\n"
    if prompt.endswith(("<instruction>\n", "### Instruction\n")):
        return f"Write a function `task_{seed}(n)` that returns n plus {seed % 97}.\n</instruction>\n"
    if number := re.search(r"\n(\d+)\.$", prompt):  # a list of tasks
        first = int(number[1])
        tasks = [f"Write a function `task_{seed + place}(n)` that returns n plus {place}." for place in range(4)]
        return " " + "\n".join(f"{first + place}. {task}" for place, task in enumerate(tasks)).split(". ", 1)[1]
    if prompt.endswith("<evolved>\n"):
        return f"Write a function `task_{seed}(n)` that returns n plus {seed % 97}.\n</evolved>\n"
    added = int(re.findall(r"plus (\d+)\.", prompt)[-1])
    name = re.findall(r"`(task_\d+)\(n\)`", prompt)[-1]
    kind = seed % 6
    if kind == 5:
        return "I do not know.\n"
    wrong = 1 if kind >= 3 else 0
    return (
        f"```python\ndef {name}(n):\n    return n + {added + wrong}\n```\n</response>\n<tests>\n"
        f"```python\nassert {name}(0) == {added}\nassert {name}(10) == {added + 10}\n```\n</tests>\n"
    )


def judge_by_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give `answer`'s programs the verdicts of the sandbox without starting one, for tests of decisions about rows."""

    async def open_nothing(self: OnDemandSandbox) -> None:
        """No process is started."""

    async def read(self: OnDemandSandbox, program: Program) -> Verdict:
        added, expected = re.search(r"return n \+ (\d+)", program.response), re.search(r"\(0\) == (\d+)", program.tests)
        right = added is not None and expected is not None and added[1] == expected[1]
        return Verdict(Status.PASSED, mutation_score=1.0, killed_by_value=True) if right else Verdict(Status.FAILED)

    monkeypatch.setattr(OnDemandSandbox, "open", open_nothing)
    monkeypatch.setattr(OnDemandSandbox, "run", read)


def scripted_model(**options: object) -> ScriptedModel:
    return ScriptedModel(answer, **options)  # type: ignore[arg-type]


def small_recipe(sources: Path, *settings: str, added: Sequence[str] = (), without: Sequence[str] = ()) -> Recipe:
    """The shipped defaults for little work: almost no near-dedup, four samples, two workers."""
    recipe = load_recipe(
        sources.parent / _empty_recipe(sources.parent),
        [
            f'seeds.sources=["{sources}"]',
            'seeds.licences=["any"]',
            'decontamination.benchmarks=["tiny-eval"]',
            "near_dedup.jaccard=0.95",
            "selection.jaccard=1.0",
            "selection.near_dedup=[]",
            "responses.samples=4",
            "execution.workers=2",
            "execution.warm=[]",
            "flush_seconds=0.2",
            *settings,
        ],
    )
    return recipe.model_copy(update={"journey": edit_journey(recipe.journey, added, without, CATALOGUE)})


def _empty_recipe(folder: Path) -> str:
    (folder / "empty.toml").write_text("")
    return "empty.toml"
