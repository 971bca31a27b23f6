"""tiny-eval: tasks of held-out compositions with hidden tests, in HumanEval's format; and the development split.

python -m tiny.benchmark        # writes selfcodealign/embedded/tiny_eval.jsonl and tiny_dev.jsonl
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny.corpus import document, draw_task
from tiny.tasks import Task, call_of, evaluate, is_development, is_held_out, run_code, same
from tiny.wording import write_instruction

EMBEDDED = Path(__file__).resolve().parent.parent / "selfcodealign" / "embedded"
SPLITS = {"eval": 600, "dev": 240}
PER_KEY = 10


def in_split(key: Sequence[str], split: str) -> bool:
    return is_held_out(key) and is_development(key) == (split == "dev")


def draw_tasks(split: str, count: int) -> list[tuple[Task, str]]:
    """Draw `count` tasks of a split with distinct instructions, at most `PER_KEY` of one composition."""
    rng = random.Random(f"tiny-eval {split}")
    drawn: list[tuple[Task, str]] = []
    keys: Counter[tuple[str, ...]] = Counter()
    asked: set[str] = set()
    while len(drawn) < count:
        task = draw_task(rng, lambda key: in_split(key, split) and keys[tuple(key)] < PER_KEY)
        instruction = write_instruction(task, rng)
        if instruction in asked or task.category != "function" or not write_check(task):
            continue
        asked.add(instruction)
        keys[task.key] += 1
        drawn.append((task, instruction))
    return drawn


def write_check(task: Task) -> str:
    """Write the hidden tests as `check(candidate)`, or "" if a wrong version would pass them."""
    reference = run_code(task.code)
    lines = []
    for arguments in dict.fromkeys(task.cases):
        lines.append(f"    assert candidate({arguments}) == {evaluate(reference, call_of(task, arguments))!r}")
    check = "def check(candidate):\n" + "\n".join(lines) + "\n"
    return "" if any(passes_check(code, task.name, check) for code in task.wrong) else check


def passes_check(code: str, name: str, check: str) -> bool:
    """Return whether a program of this world passes a `check` (trusted code only: it runs in this process)."""
    scope = run_code(code + "\n\n" + check)
    return not isinstance(evaluate(scope, f"check({name})"), type)


def write_row(number: int, split: str, task: Task, instruction: str) -> dict[str, Any]:
    """Make one line of the file; `prompt` + `canonical_solution` is the whole program."""
    program = document(task.code, task.description)
    head, quotes, body = program.rpartition('."""\n')
    row = {
        "task_id": f"tiny{'' if split == 'eval' else '-' + split}/{number}",
        "instruction": instruction,
        "prompt": head + quotes,
        "entry_point": task.name,
        "canonical_solution": body + "\n",
        "test": write_check(task),
        "key": "|".join(task.key),
    }
    assert same(passes_check(row["prompt"] + row["canonical_solution"], task.name, row["test"]), True), task.key
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=EMBEDDED)
    options = parser.parse_args()
    for split, count in SPLITS.items():
        rows = [write_row(number, split, *drawn) for number, drawn in enumerate(draw_tasks(split, count))]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (options.folder / f"tiny_{split}.jsonl").write_text(text, "utf-8")
        print(f"tiny_{split}.jsonl: {len(rows)} tasks of {len({row['key'] for row in rows})} compositions")


if __name__ == "__main__":
    main()
