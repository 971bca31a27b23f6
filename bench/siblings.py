"""The matrix of siblings: what it costs, and whether agreement chooses right answers more often than chance.

    python bench/siblings.py cost                                  # a few minutes on two cores
    python bench/siblings.py choose --seeds 5 --tasks 60           # draws answers first; they are kept in --out

`cost` runs the matrix after the usual execution of the same answers (second process and mutants, as by default) and
prints the ratio of both times: for answers of the embedded model where `choose` has drawn them, and for the worked
examples of the package as siblings that all differ, so that no program is spared.

`choose` asks the embedded model for answers to tasks of the miniature world, each with hidden tests that decide what is
right. P(right | chosen) is that of a verified answer: drawn at random, or of the strongest agreement (mean over ties).
Intervals are by bootstrap over compositions of tasks; differences are paired.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.models.opening import open_model
from selfcodealign.recipe import load_recipe
from selfcodealign.sandbox import Program, Sandbox, Verdict
from selfcodealign.settings import ModelSettings
from selfcodealign.stages.siblings import Sibling, Standing, fill_matrix, rate
from tiny.evaluate import ask_for, read_tasks

RESAMPLES = 2000
COSTED = 20  # instructions of the embedded model whose cost is measured
EXAMPLES = 3
#: Numbers of samples that are compared: the first of those that were drawn.
NUMBERS = (2, 4, 10)

Answers = dict[str, list[dict[str, str]]]


async def draw(seed: int, rows: Sequence[dict[str, Any]], samples: int) -> Answers:
    """Ask the embedded model, as the recipe quickstart does, for this many answers to each task."""
    async with open_model(ModelSettings(name="embedded", dtype="float32")) as model:
        question = ask_for(model, load_recipe("quickstart", [f"random_seed={seed}"]), "responses")
        slots = asyncio.Semaphore(model.concurrency)

        async def ask(row: dict[str, Any], sample: int) -> dict[str, str]:
            async with slots:
                prompt = question.lay_out(row["task_id"], {"instruction": row["instruction"]})
                return (await question.ask(prompt, row["task_id"], sample)).sections

        found = await asyncio.gather(*(ask(row, sample) for row in rows for sample in range(samples)))
    texts = iter(found)
    return {row["task_id"]: [next(texts) for _ in range(samples)] for row in rows}


def drawn(folder: Path, seed: int, rows: Sequence[dict[str, Any]], samples: int) -> Answers:
    """Read the answers of a seed, or draw and keep them."""
    path = folder / f"answers-{seed}.json"
    kept: Answers = json.loads(path.read_text("utf-8")) if path.exists() else {}
    missing = [row for row in rows if len(kept.get(row["task_id"], ())) < samples]
    if missing:
        kept |= asyncio.run(draw(seed, missing, samples))
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept), "utf-8")
    return {row["task_id"]: kept[row["task_id"]][:samples] for row in rows}


class Judges:
    """A sandbox that runs each program once, whoever wrote it again."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._known: dict[Program, asyncio.Task[Verdict]] = {}

    async def run(self, program: Program) -> Verdict:
        if program not in self._known:
            self._known[program] = asyncio.create_task(self._sandbox.run(program))
        return await self._known[program]


@dataclass(frozen=True)
class Task:
    """The answers to one task: which are right by the hidden tests, which are verified, and their matrix."""

    key: str
    right: list[bool]
    verified: list[bool]
    matrix: list[list[str]]


async def judge(row: dict[str, Any], answers: list[dict[str, str]], judges: Judges, sandbox: Sandbox) -> Task:
    check = row["test"] + f"\n\ncheck({row['entry_point']})\n"
    written = [(one.get("response", ""), one.get("tests", "")) for one in answers]
    own = await asyncio.gather(*(judges.run(Program(response, tests or "pass")) for response, tests in written))
    hidden = await asyncio.gather(
        *(judges.run(Program(response or "pass", check, kind="check")) for response, _ in written)
    )
    samples = [Sibling(*texts, str(verdict.status)) for texts, verdict in zip(written, own, strict=True)]
    return Task(
        row["key"],
        [verdict.passed for verdict in hidden],
        [verdict.passed for verdict in own],
        await fill_matrix(samples, sandbox.run_against),
    )


async def judge_all(rows: Sequence[dict[str, Any]], found: Sequence[Answers]) -> list[Task]:
    async with Sandbox(warm=()) as sandbox:
        judges = Judges(sandbox)
        asked = [(row, answers[row["task_id"]]) for answers in found for row in rows]
        return await asyncio.gather(*(judge(row, answers, judges, sandbox) for row, answers in asked))


Score = Callable[[Standing], float]
#: Ways to choose among the verified answers; the largest score wins.
METHODS: dict[str, Score] = {
    "random": lambda one: 0.0,
    "agreement": lambda one: one.agreement,
    "passes most siblings' tests": lambda one: one.passes_siblings if one.passes_siblings >= 0 else -1.0,
}


def choose(task: Task, number: int) -> dict[str, float] | None:
    """The chance that the chosen one is right, by method; None if none of the first answers is verified."""
    standings = rate([row[:number] for row in task.matrix[:number]])
    verified = [place for place in range(number) if task.verified[place]]
    if not verified:
        return None
    chances = {}
    for name, score in METHODS.items():
        best = max(score(standings[place]) for place in verified)
        tied = [place for place in verified if score(standings[place]) == best]
        chances[name] = sum(task.right[place] for place in tied) / len(tied)
    return chances


def tabulate(tasks: Sequence[Task], number: int) -> None:
    """Print P(right | chosen) by method, and its difference from random, each with a 95 % interval."""
    found = [(task.key, chances) for task in tasks if (chances := choose(task, number)) is not None]
    by_key: dict[str, list[dict[str, float]]] = defaultdict(list)
    for key, chances in found:
        by_key[key].append(chances)
    mixed = sum(0 < chances["random"] < 1 for _, chances in found)
    wrong = sum(chances["random"] == 0 for _, chances in found)
    print(
        f"\n{number} samples: {len(found)} of {len(tasks)} with a verified answer; {mixed} have right and wrong ones, "
    )
    print(f"{wrong} only wrong ones")
    rng, keys = random.Random(0), sorted(by_key)
    drawn_keys = [rng.choices(keys, k=len(keys)) for _ in range(RESAMPLES)]
    for name in METHODS:
        for what, value in (
            ("P", lambda one, name=name: one[name]),
            ("− random", lambda one, name=name: one[name] - one["random"]),
        ):
            means = sorted(
                sum(map(value, sample)) / len(sample)
                for again in drawn_keys
                for sample in [[one for key in again for one in by_key[key]]]
            )
            low, high = means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES)]
            mean = sum(value(one) for _, one in found) / len(found)
            print(f"| {number} | {name} | {what} | {mean:.4f} | {low:.4f} to {high:.4f} |")


async def time_one(sandbox: Sandbox, programs: Sequence[Program]) -> tuple[float, float]:
    """Seconds of the usual execution of these answers to one instruction, and of their matrix."""
    begun = time.perf_counter()
    verdicts = await asyncio.gather(*(sandbox.run(program) for program in programs))
    ran = time.perf_counter()
    samples = [
        Sibling(program.response, program.tests, str(verdict.status))
        for program, verdict in zip(programs, verdicts, strict=True)
    ]
    await fill_matrix(samples, sandbox.run_against)
    return ran - begun, time.perf_counter() - ran


def vary(response: str, tests: str, number: int, failing: int) -> list[Program]:
    """Siblings that differ in a comment; every `failing`th returns None (0: none does)."""
    programs = []
    for place in range(number):
        spoilt = re.sub(r"return .+", "return None", response) if failing and place % failing == 0 else response
        own, checked = (re.sub(r"```python\n", f"```python\n# {place}\n", text) for text in (spoilt, tests))
        programs.append(Program(own, checked))
    return programs


def make_cases(folder: Path, number: int) -> dict[str, list[list[Program]]]:
    """Answers to several instructions, this many to each."""
    examples = [one for one in load_few_shot("python").examples if one.response and one.tests][:EXAMPLES]
    cases = {
        f"worked examples, {what}": [vary(one.response, one.tests, number, failing) for one in examples]
        for what, failing in (("all pass", 0), ("half fail", 2))
    }
    path = folder / "answers-0.json"
    if path.exists():
        answers = list(json.loads(path.read_text("utf-8")).values())[:COSTED]
        cases["embedded model"] = [
            [Program(one["response"], one["tests"]) for one in found[:number] if one] for found in answers
        ]
    return cases


async def measure_cost(folder: Path) -> None:
    print("| answers | samples | execution s | matrix s | ratio |\n| --- | --- | --- | --- | --- |")
    async with Sandbox(workers=1, warm=()) as sandbox:
        await sandbox.run(Program("def f():\n    return 1", "assert f() == 1"))
        for number in (4, 10):
            for name, instructions in make_cases(folder, number).items():
                times = [await time_one(sandbox, programs) for programs in instructions]
                own, cross = sum(one for one, _ in times), sum(two for _, two in times)
                print(f"| {name} | {number} | {own:.2f} | {cross:.2f} | {cross / own:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cost", "choose"))
    parser.add_argument("--out", type=Path, default=Path("runs/siblings"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--split", choices=("eval", "dev"), default="dev")
    options = parser.parse_args()
    if options.what == "cost":
        asyncio.run(measure_cost(options.out))
        return
    rows = read_tasks(options.split, options.tasks)
    found = [drawn(options.out, seed, rows, max(NUMBERS)) for seed in range(options.seeds)]
    tasks = asyncio.run(judge_all(rows, found))
    for number in NUMBERS:
        tabulate(tasks, number)


if __name__ == "__main__":
    main()
