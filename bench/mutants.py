"""What mutation testing adds to a program's own time: mutants together, against each in its own process, in one run."""

from __future__ import annotations

import statistics
import time
from typing import Any

from selfcodealign.generation.few_shot_file import load_few_shot
from selfcodealign.sandbox import Limits, Program, Sandbox, mutation, pool

_COUNT = "def count(n):\n    total = 0\n    while n > 0:\n        n, total = n - 1, total + 1\n    return total\n"
_STACK = """class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)
        return len(self.items)

    def pop(self):
        if not self.items:
            raise IndexError("empty")
        return self.items.pop()
"""
_UNITTEST = """import unittest

class StackTest(unittest.TestCase):
    def test_push(self):
        self.assertEqual(Stack().push(7), 1)

    def test_pop(self):
        stack = Stack()
        stack.push(7)
        self.assertEqual(stack.pop(), 7)
        with self.assertRaises(IndexError):
            stack.pop()

if __name__ == "__main__":
    unittest.main()
"""
_PYTEST = """import pytest

@pytest.mark.parametrize("n, expected", [(0, 0), (1, 1), (5, 5)])
def test_count(n, expected):
    assert count(n) == expected
"""
_CENTRE = "import numpy as np\n\ndef centre(x):\n    x = np.asarray(x, float)\n    return x - x.mean()\n"
STYLES = {
    "unittest": Program(_STACK, _UNITTEST),
    "pytest": Program(_COUNT, _PYTEST),
    "class": Program(_STACK, "s = Stack()\nassert s.push(7) == 1\nassert s.push(8) == 2\nassert s.pop() == 8"),
    "while loop": Program(_COUNT, "assert count(5) == 5\nassert count(0) == 0"),
    "numpy": Program(_CENTRE, "assert centre([1, 2, 3]).tolist() == [-1.0, 0.0, 1.0]"),
}
ROUNDS = 3
_outcomes: dict[str, Any] = {}


class _Recorded(mutation.MutationTest):
    """Keeps each mutant's outcome; `apart` runs each in its own process."""

    apart = False

    async def _results(self, mutants: list[str]) -> Any:
        results = await super()._results(mutants)
        _outcomes.update(zip(mutants, (result.outcome for result in results), strict=True))
        return results

    async def _run_together(self, mutants: list[str]) -> Any:
        if self.apart:
            raise mutation.Dependent
        return await super()._run_together(mutants)


async def compare(recorded: list[Program]) -> None:
    """Print the time that mutants add, as a multiple of the program's own, and how often the two ways agree."""
    examples = load_few_shot("python").examples
    sets = {name: [program] * 5 for name, program in STYLES.items()}
    sets |= {"worked examples": [Program(e.response, e.tests) for e in examples], "KodCode": recorded}
    pool.MutationTest = _Recorded  # type: ignore[misc]
    async with Sandbox(1, Limits(seconds=10), split=False) as sandbox:
        print(f"mode {sandbox.mode}, added time as a multiple of the program's own: median (90th percentile)")
        for name, programs in sets.items():
            await _compare_set(sandbox, name, programs)


async def _compare_set(sandbox: Sandbox, name: str, programs: list[Program]) -> None:
    added: dict[str, list[float]] = {"together": [], "apart": []}
    mutants = differ = unstable = 0
    for program in programs:
        if not (await _timed(sandbox, program, False))[0].passed:
            continue
        own = statistics.median([(await _timed(sandbox, program, False))[1] for _ in range(ROUNDS)])
        _Recorded.apart = False
        first, seconds = await _timed(sandbox, program, True)
        together = dict(_outcomes)
        again, _ = await _timed(sandbox, program, True)
        unstable += (first.status, first.mutation_score) != (again.status, again.mutation_score)
        _Recorded.apart = True
        _, seconds_apart = await _timed(sandbox, program, True)
        added["together"].append((seconds - own) / own)
        added["apart"].append((seconds_apart - own) / own)
        mutants += len(together)
        differ += sum((together[mutant] is _SURVIVED) != (_outcomes.get(mutant) is _SURVIVED) for mutant in together)
    if added["apart"]:
        shown = "   ".join(f"{way} {_spread(values)}" for way, values in added.items())
        print(f"{name:16} {len(added['apart']):4} programs   {shown}   {differ} of {mutants} mutants differ", end="   ")
        print(f"{unstable} scores changed in a second run", flush=True)


_SURVIVED = mutation.MutantOutcome.SURVIVED


async def _timed(sandbox: Sandbox, program: Program, mutation_testing: bool) -> tuple[Any, float]:
    _outcomes.clear()
    started = time.perf_counter()
    verdict = await sandbox.run(Program(program.response, program.tests, mutation_testing=mutation_testing))
    return verdict, time.perf_counter() - started


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered):5.2f} ({ordered[len(ordered) * 9 // 10]:5.2f})"
