"""Measure a model of this world on held-out tasks and real functions, with the settings of a recipe.

    python -m tiny.evaluate                                   # the embedded model on tiny-eval and 300 functions
    python -m tiny.evaluate --model /tmp/tried --split dev    # to choose settings: on the development split

Prompts, sampling and parsing (`selfcodealign.generation.question`) and the sandbox are the package's own. Prints one
JSON object; shares are of samples, with the number of samples beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfcodealign.generation.few_shot_file import lay_out_properties, load_few_shot
from selfcodealign.generation.question import Answer, Question
from selfcodealign.models import Model, Sampling
from selfcodealign.models.opening import open_model
from selfcodealign.recipe import load_recipe
from selfcodealign.sandbox import Program, Sandbox
from selfcodealign.settings import ModelSettings, Recipe
from selfcodealign.stages.concepts import cut_snippet, read_concepts
from tiny.benchmark import EMBEDDED
from tiny.snippets import Function, read_functions

Figures = dict[str, Any]


def ask_for(model: Model, recipe: Recipe, stage: str) -> Question:
    """Make the package's question of a stage with the recipe's settings."""
    settings = getattr(recipe, stage)
    wanted = {"concepts": ("concepts",), "instructions": ("instruction",), "responses": ("response", "tests")}[stage]
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens)
    few_shot = load_few_shot(recipe.few_shot.file)
    return Question(
        model, few_shot, stage, wanted, settings.examples, recipe.few_shot.draws, sampling, recipe.random_seed
    )


async def ask_all(question: Question, shown: Sequence[tuple[str, dict[str, str]]]) -> list[Answer]:
    """Answer many (row id, sections shown), at most `model.concurrency` at once."""
    slots = asyncio.Semaphore(question.model.concurrency)

    async def ask(row_id: str, sections: dict[str, str]) -> Answer:
        async with slots:
            return await question.ask(question.lay_out(row_id, sections), row_id)

    return await asyncio.gather(*(ask(row_id, sections) for row_id, sections in shown))


async def measure_responses(model: Model, recipe: Recipe, rows: list[dict[str, Any]], samples: int = 1) -> Figures:
    """Measure instruction → response and tests on tasks with hidden tests."""
    question = ask_for(model, recipe, "responses")
    asked = [(row, f"{row['task_id']} {number}") for row in rows for number in range(samples)]
    start = time.monotonic()
    answers = await ask_all(question, [(row_id, {"instruction": row["instruction"]}) for row, row_id in asked])
    seconds = time.monotonic() - start
    parsed = [(row, answer.sections) for (row, _), answer in zip(asked, answers, strict=True) if answer.sections]
    async with Sandbox(warm=()) as sandbox:
        verdicts = await asyncio.gather(*(judge(sandbox, row, sections) for row, sections in parsed))
    right, agree, passed = (sum(verdict[place] for verdict in verdicts) for place in range(3))
    right_passed = sum(verdict[0] and verdict[2] for verdict in verdicts)
    failed = len(parsed) - passed
    given_passed, given_failed = right_passed / max(passed, 1), (right - right_passed) / max(failed, 1)
    return {
        "samples": len(asked),
        "parsed": len(parsed) / len(asked),
        "own_code_right": right / len(asked),
        "own_tests_agree_with_reference": agree / len(asked),
        "passed_own_tests": passed / len(asked),
        "right_given_passed": given_passed,
        "right_given_failed": given_failed,
        "difference": given_passed - given_failed,
        "samples_per_second": len(asked) / seconds,
    }


async def judge(sandbox: Sandbox, row: dict[str, Any], sections: dict[str, str]) -> tuple[bool, bool, bool]:
    """Return whether the code is right, the reference passes the tests, and the code passes them (with mutants)."""
    check = row["test"] + f"\n\ncheck({row['entry_point']})\n"
    reference = row["prompt"] + row["canonical_solution"]
    right, agree, passed = await asyncio.gather(
        sandbox.run(Program(sections["response"], check, kind="check", mutation_testing=False)),
        sandbox.run(Program(reference, sections["tests"], mutation_testing=False)),
        sandbox.run(Program(sections["response"], sections["tests"])),
    )
    return right.passed, agree.passed, passed.passed


def draw_seeds(count: int) -> list[Function]:
    """Draw documented functions of the standard library that return a value and are not in the corpus."""
    functions = [
        function
        for function in read_functions(packages=())
        if function.held_out and function.documented and "return " in function.text
    ]
    return random.Random("seeds").sample(functions, min(count, len(functions)))


async def measure_concepts(model: Model, recipe: Recipe, seeds: list[Function]) -> tuple[Figures, list[list[str]]]:
    """Measure snippet → concepts against the labels of the whole function."""
    question = ask_for(model, recipe, "concepts")
    shown = [(str(n), {"snippet": cut_snippet({"seed": seed.text}, recipe.concepts)}) for n, seed in enumerate(seeds)]
    answers = await ask_all(question, shown)
    written = [read_concepts(a.sections.get("concepts", ""), recipe.concepts.max_concepts).concepts for a in answers]
    pairs = [(concept, concept in seed.labels) for seed, found in zip(seeds, written, strict=True) for concept in found]
    figures = {
        "seeds": len(seeds),
        "with_concepts": sum(map(bool, written)) / len(seeds),
        "concepts": len(pairs),
        "precision": sum(right for _, right in pairs) / max(len(pairs), 1),
        "distinct": len({concept for concept, _ in pairs}),
        "distinct_right": len({concept for concept, right in pairs if right}),
    }
    return figures, written


async def measure_instructions(model: Model, recipe: Recipe, concepts: list[list[str]]) -> Figures:
    """Measure concepts → instruction: written and distinct instructions per seed."""
    question = ask_for(model, recipe, "instructions")
    rng = random.Random("properties")
    shown = []
    for number, found in enumerate(concepts):
        if not found:
            continue
        settings = recipe.instructions
        kind, difficulty = rng.choice(settings.categories), rng.choice(settings.difficulties)
        properties = lay_out_properties(kind, "Python", difficulty, found)
        shown.append((str(number), {"properties": properties}))
    answers = await ask_all(question, shown)
    texts = [answer.sections["instruction"] for answer in answers if answer.sections]
    return {
        "seeds": len(concepts),
        "written": len(texts) / len(concepts),
        "distinct_per_seed": len(set(texts)) / len(concepts),
        "examples": texts[:5],
    }


def read_tasks(split: str, count: int | None = None) -> list[dict[str, Any]]:
    lines = (EMBEDDED / f"tiny_{split}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines[:count]]


async def measure(model_name: str, recipe: Recipe, split: str, tasks: int | None, seeds: int) -> Figures:
    figures: Figures = {"model": model_name, "split": split}
    async with open_model(ModelSettings(name=model_name, dtype="float32")) as model:
        if tasks != 0:
            figures["responses"] = await measure_responses(model, recipe, read_tasks(split, tasks))
        if seeds:
            figures["concepts"], written = await measure_concepts(model, recipe, draw_seeds(seeds))
            figures["instructions"] = await measure_instructions(model, recipe, written)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help='"embedded" or a folder')
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="settings")
    parser.add_argument("--split", choices=("eval", "dev"), default="eval")
    parser.add_argument("--tasks", type=int, default=None, help="use only the first tasks, at most this many")
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--out", type=Path, default=None, help="also write the JSON to this file")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe, options.settings)
    figures = asyncio.run(measure(options.model, recipe, options.split, options.tasks, options.seeds))
    text = json.dumps(figures, indent=2)
    if options.out:
        options.out.write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
