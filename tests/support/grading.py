"""A benchmark read from rows, and answers to it judged in the real sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from selfcodealign.benchmarks import Benchmark, Grade, Problem
from selfcodealign.benchmarks.catalogue import find_benchmark
from selfcodealign.evaluation.grading import Judging, judge_all
from selfcodealign.settings import ExecutionSettings

Work = tuple[Benchmark[Any], Problem, Sequence[str]]


def judge(*work: Work) -> list[list[Grade]]:
    async def run() -> list[list[Grade]]:
        async with Judging(ExecutionSettings()) as judging:
            return await judge_all(judging, list(work))

    return asyncio.run(run())


def read(name: str, *rows: dict[str, Any]) -> tuple[Benchmark[Any], list[Problem]]:
    benchmark = find_benchmark(name)
    return benchmark, benchmark.problems(rows)
