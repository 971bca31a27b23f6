"""Judges answers: every program runs in the sandbox, each distinct answer to a task once."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Self

from selfcodealign.benchmarks import Benchmark, Grade, Problem
from selfcodealign.benchmarks.programs import JUDGE_FOLDER, JUDGE_MODULE
from selfcodealign.sandbox import Limits, Program, Sandbox
from selfcodealign.sandbox.on_demand import OnDemandSandbox
from selfcodealign.settings import ExecutionSettings

_SCIENTIFIC = re.compile(r"^[ \t]*(?:import|from)[ \t]+(?:numpy|pandas|scipy|sklearn)\b", re.MULTILINE)


class Judging:
    """The sandboxes of an evaluation, each started on first use.

    Judges run in servers that have loaded only the judge, or also the scientific libraries where an answer imports
    them: a small server forks faster, and a warm one imports faster. Raises `SandboxError` when a wall is missing.
    """

    def __init__(self, execution: ExecutionSettings) -> None:
        limits = Limits(seconds=execution.seconds, memory_mib=execution.memory_mib)
        workers = execution.workers or len(os.sched_getaffinity(0))

        def on_demand(*warm: str) -> OnDemandSandbox:
            readable = (JUDGE_FOLDER,)
            return OnDemandSandbox(
                Sandbox(
                    workers, limits, execution.sandbox, warm, mutation_testing=False, readable=readable, split=False
                )
            )

        self._on_demand = on_demand
        self._light = on_demand(JUDGE_MODULE)
        self._scientific = on_demand(JUDGE_MODULE, *execution.warm)
        self._plain = on_demand(*execution.warm)
        #: By the libraries that a benchmark wants to be loaded.
        self._own: dict[tuple[str, ...], OnDemandSandbox] = {}
        self._memory_mib = execution.memory_mib
        #: Useful number of concurrent programs.
        self.concurrency = 2 * workers
        self._slots = asyncio.Semaphore(workers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for sandbox in (self._light, self._scientific, self._plain, *self._own.values()):
            await sandbox.__aexit__(*exc_info)

    async def judge(self, benchmark: Benchmark[Any], problem: Problem, codes: Sequence[str]) -> list[Grade]:
        """Return the outcome of each solution of one task, in order. Raises `SandboxError` when the machine fails."""
        distinct = list(dict.fromkeys(codes))
        size = benchmark.answers_at_once(problem)
        batches = iter([distinct[start : start + size] for start in range(0, len(distinct), size)])
        found: dict[str, Grade] = {}

        async def take() -> None:
            for batch in batches:
                found.update(zip(batch, await self._run(benchmark, problem, batch), strict=True))

        await run_workers(min(self.concurrency, -(-len(distinct) // size)), take)
        # Retry alone: an answer that crashed the judge must not fail the others, and a machine may fail once.
        again = ("not_judged", "crashed") if size > 1 else ("not_judged",)
        for code in [code for code, outcome in found.items() if outcome.status in again]:
            (found[code],) = await self._run(benchmark, problem, [code])
        return [found[code] for code in codes]

    async def _run(self, benchmark: Benchmark[Any], problem: Problem, codes: Sequence[str]) -> list[Grade]:
        program = benchmark.program(problem, codes)
        sandbox = self._plain
        if JUDGE_MODULE in program.response:
            scientific = any(_SCIENTIFIC.search(code) for code in (*codes, problem.reference))
            sandbox = self._scientific if scientific else self._light
            if scientific and benchmark.warm:
                sandbox = self._own.setdefault(benchmark.warm, self._on_demand(JUDGE_MODULE, *benchmark.warm))
        async with self._slots:
            verdict = await sandbox.run(self._limit(program))
        return benchmark.outcomes(problem, verdict, len(codes))

    def _limit(self, program: Program) -> Program:
        assert program.limits is not None
        return replace(program, limits=replace(program.limits, memory_mib=self._memory_mib))


Work = tuple[Benchmark[Any], Problem, Sequence[str]]


async def judge_all(
    judging: Judging, work: Sequence[Work], advance: Callable[[int, int], object] = lambda done, answers: None
) -> list[list[Grade]]:
    """Judge many tasks concurrently; call `advance(number, answers)` after each task.

    The first failure of the machine stops the evaluation, so no partial result is reported.
    """
    outcomes: list[list[Grade]] = [[] for _ in work]
    weights = [benchmark.weight(problem) for benchmark, problem, _ in work]
    queue = iter(sorted(range(len(work)), key=lambda number: -weights[number]))

    async def take() -> None:
        for number in queue:
            benchmark, problem, codes = work[number]
            outcomes[number] = await judging.judge(benchmark, problem, codes)
            advance(number, len(codes))

    await run_workers(judging.concurrency, take)
    return outcomes


async def run_workers(count: int, worker: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `count` workers until all are done; the first error cancels the others and is raised."""
    tasks = [asyncio.create_task(worker()) for _ in range(max(1, count))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
