"""Functions that do what a benchmark's task asks for are found by running them, whatever their words."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from selfcodealign.benchmarks.texts import load_benchmark_texts
from selfcodealign.curation.contamination.behaviour import Behaviour, Behaviours, find_candidates, is_generic
from selfcodealign.sandbox import Sandbox
from tests.support.places import DATA
from tests.support.rewrites import REWRITES

TASKS = [
    {
        "task_id": "valleys",
        "text": "Count the valleys.",
        "code": "def v(path): ...",
        "test_list": ["assert v('DU') == 1", "assert v('UD') == 0", "assert v('DUDU') == 2", "assert v('DDUU') == 1"],
    },
    {
        "task_id": "length",
        "text": "Count the letters.",
        "code": "def n(text): ...",
        "test_list": ["assert n('a') == 1", "assert n('') == 0", "assert n('abc') == 3"],
    },
]
SAME = """def depth_changes(walk):
    height = count = 0
    for one in walk:
        before, height = height, height + {"U": 1, "D": -1}[one]
        count += before < 0 <= height
    return count
"""


def known_tasks(folder: Path) -> Behaviours:
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in TASKS))
    return Behaviours.collect([load_benchmark_texts(str(path))])


async def try_code(sandbox: Sandbox, known: Behaviours, code: str) -> Behaviour | None:
    candidates = find_candidates(code, ast.parse(code))
    arity = max(candidates.values())
    program = known.program(code, {name: count for name, count in candidates.items() if count == arity})
    if program is None:
        return None
    found = known.read(await sandbox.run(program), arity)
    return found[1] if found else None


@pytest.mark.parametrize(
    ("code", "task"),
    [
        (SAME, "valleys"),
        (SAME.replace("before < 0", "before <= 0"), None),
        ("def f(x):\n    raise SystemExit\n", None),
        ("def f(x):\n    while True: pass\n", None),
        (f"def stuck(x):\n    while True: pass\n{SAME}", "valleys"),
        ("def f(x):\n    return len(x)\n", None),
        ("def f(x, y):\n    return 1\n", None),
        ("import no_such_module\n" + SAME, None),
    ],
    ids=["same", "differs", "exits", "hangs", "after one that hangs", "generic", "arity", "cannot run"],
)
async def test_the_results_decide(tmp_path: Path, code: str, task: str | None) -> None:
    """Agreement on all calls is the task; a function that exits, hangs or cannot run is none."""
    async with Sandbox(workers=1, warm=(), mutation_testing=False, split=False) as sandbox:
        found = await try_code(sandbox, known_tasks(tmp_path), code)
    assert (found.task if found else None) == task


def test_tasks_that_results_do_not_tell_apart_are_named(tmp_path: Path) -> None:
    """What a builtin does as well, one result for all, and few yes-or-no results are no evidence."""
    assert known_tasks(tmp_path).generic == {"own": ["length"]}
    assert is_generic([(("a",), 5), (("b",), 5), (("c",), 5)])
    assert is_generic([((1,), True), ((2,), False), ((3,), True)])
    assert not is_generic([((1,), 11), ((2,), 222), ((3,), 3333)])


@pytest.mark.skipif(not DATA.is_dir(), reason="the real benchmarks lie in ../shared/data")
async def test_rewritten_solutions_of_a_real_benchmark_are_found() -> None:
    """Of solutions written for this test, under other names and by other means, 90 % are found as their task."""
    known = Behaviours.collect([load_benchmark_texts(str(DATA / "humaneval/HumanEval.jsonl.gz"))])
    generic = set(known.generic["HumanEval"])
    missed = []
    async with Sandbox(workers=2, warm=(), mutation_testing=False, split=False) as sandbox:
        for number, code in REWRITES.items():
            found = await try_code(sandbox, known, code)
            if f"HumanEval/{number}" not in generic and (found is None or found.task != f"HumanEval/{number}"):
                missed.append(number)
    assert len(missed) <= 0.1 * len(REWRITES), missed
