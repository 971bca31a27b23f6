"""A benchmark read from rows, and answers to it judged in the real sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from selfcodealign.benchmarks import Benchmark, Grade, Problem
from selfcodealign.benchmarks.catalogue import find_benchmark
from selfcodealign.errors import SandboxError
from selfcodealign.evaluation.grading import Judging, judge_all
from selfcodealign.settings import ExecutionSettings
from tests.support.judge import Judge

Work = tuple[Benchmark[Any], Problem, Sequence[str]]


def judge(*work: Work) -> list[list[Grade]]:
    async def run() -> list[list[Grade]]:
        async with Judging(ExecutionSettings()) as judging:
            return await judge_all(judging, list(work))

    return asyncio.run(run())


def read(name: str, *rows: dict[str, Any]) -> tuple[Benchmark[Any], list[Problem]]:
    benchmark = find_benchmark(name)
    return benchmark, benchmark.problems(rows)


#: Code that starts a process in a session of its own, without the streams of this one, and leaves it.
LEAVE_A_PROCESS = """
import os, time
ready, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    os.closerange(0, 3)
    os.write(tell, b"x")
    time.sleep(300)
    os._exit(0)
os.read(ready, 1)
"""
#: Code that raises where another process than the judge can be signalled.
BE_ALONE = """
import os
try:
    os.kill(-1, 0)
except ProcessLookupError:
    pass
else:
    raise RuntimeError("another process is left")
"""


def skip_without_pid_namespaces() -> None:
    """Elsewhere the judge cannot find processes with sessions of their own."""
    try:
        Judge("namespaces").close()
    except SandboxError as error:
        pytest.skip(str(error))
