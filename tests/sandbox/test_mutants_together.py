"""Mutants in one process disturb neither each other nor the original, and counting runs does not tell them from it."""

from __future__ import annotations

from typing import Any

import pytest

from selfcodealign.sandbox import Verdict
from selfcodealign.sandbox.mutation import MutationTest
from tests.support.judge import Judge

COUNT = "def count(n):\n    total = 0\n    while n > 0:\n        n, total = n - 1, total + 1\n    return total\n"


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of results that each process with mutants gave."""
    results: list[int] = []
    run = MutationTest._run

    async def counted(self: MutationTest, *arguments: Any) -> Any:
        found = await run(self, *arguments)
        results.append(len(found))
        return found

    monkeypatch.setattr(MutationTest, "_run", counted)
    return results


def passed(verdict: Verdict) -> float:
    assert verdict.passed, verdict
    assert verdict.mutation_score is not None
    return verdict.mutation_score


@pytest.mark.one_mode
def test_all_mutants_run_in_one_process(judge: Judge, processes: list[int]) -> None:
    """Endless ones, too: a count of their turns ends them."""
    assert passed(judge(COUNT, "assert count(5) == 5")) > 0.5
    assert len(processes) == 1


LEFT_BEHIND = {
    "patch": (
        "def f():\n    return 1 + 1\n",
        "import time\nassert time.sleep is not print\ntime.sleep = print\nassert f() == 2",
    ),
    "environ": (
        "import os\ndef f(x):\n    os.environ['A'] = x\n    return x + ''\n",
        "import os\nassert 'A' not in os.environ\nassert f('b') == 'b'",
    ),
    "file": (
        "def f(p):\n    open(p, 'x').write('a' + 'b')\n    return open(p).read()\n",
        "assert f('new.txt') == 'ab'",
    ),
    "warnings": (
        "import warnings\ndef f():\n    warnings.simplefilter('error')\n    return 1 + 1\n",
        "import warnings\nwarnings.warn('x')\nassert f() == 2",
    ),
    "logging": (
        "import logging\nlog = logging.getLogger('own')\n"
        "def f():\n    log.addHandler(logging.NullHandler())\n    return len(log.handlers) + 0\n",
        "assert f() == 1",
    ),
    "random": ("import random\ndef f():\n    return random.random() + 0\n", "assert abs(f() - 0.8444218515) < 1e-9"),
    "modules": (
        "def f():\n    return 1 + 1\n",
        "import sys, types\nassert 'made' not in sys.modules\n"
        "sys.modules['made'] = types.ModuleType('made')\nassert f() == 2",
    ),
    "thread": (
        "import _thread, time\ndef wait():\n    while True:\n        time.sleep(0.01)\n"
        "def f():\n    _thread.start_new_thread(wait, ())\n    return 1 + 1\n",
        "assert f() == 2",
    ),
    "fork": (
        "def f():\n    return 1 + 1\n",
        "import os, signal\n[signal.pause, os.getpid][bool(os.fork())]()\nassert f() == 2",
    ),
    "loop": (
        "import asyncio\nasync def f():\n    return 1 + 1\n",
        "import asyncio\nassert asyncio.get_event_loop().run_until_complete(f()) == 2\nassert asyncio.run(f()) == 2",
    ),
}


@pytest.mark.parametrize(("response", "tests"), LEFT_BEHIND.values(), ids=LEFT_BEHIND)
def test_what_a_run_leaves_behind_is_restored(response: str, tests: str, judge: Judge, processes: list[int]) -> None:
    """Each run finds libraries, files, environment and random numbers as the first did, so one process is enough."""
    passed(judge(response, tests))
    assert len(processes) == 1


@pytest.mark.one_mode
def test_a_mutant_that_ends_the_process_loses_only_itself(judge: Judge, processes: list[int]) -> None:
    """The mutants after it go on in another process, without a further run of the original."""
    response = "import os\ndef f(x):\n    if x != 1:\n        os._exit(3)\n    return x + 1\n"
    assert passed(judge(response, "assert f(1) == 2")) > 0.5
    assert len(processes) > 1


@pytest.mark.one_mode
def test_runs_that_depend_on_each_other_get_processes(judge: Judge, processes: list[int]) -> None:
    """Where the original does not pass again, every mutant runs alone; a count of runs kills no mutant."""
    counts_its_runs = (
        "import copyreg\nseen = copyreg.dispatch_table\nseen['runs'] = seen.get('runs', 0) + 1\n"
        "def f(x):\n    return x + 1 if seen['runs'] == 1 else x\n"
    )
    alone = passed(judge(counts_its_runs, "assert f(1) >= 1\nassert f(3) == 4"))
    assert processes[0] > 1
    assert set(processes[1:]) == {1}
    assert alone < 1
