"""The sandbox: programs in, verdicts out, any number of them concurrently."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Self

from selfcodealign.errors import SandboxError
from selfcodealign.sandbox.cross import CrossRun
from selfcodealign.sandbox.language import Job, Language
from selfcodealign.sandbox.mutation import MutationTest
from selfcodealign.sandbox.python import program as python
from selfcodealign.sandbox.verdict import Limits, Program, Status, Verdict
from selfcodealign.sandbox.worker import ServerSettings, WallMissing, Worker, WorkerDied

Mode = Literal["auto", "namespaces", "landlock", "unsafe"]
#: Workers in a row that die on one program before it goes unjudged: the machine may have killed some of them.
MOST_DEATHS = 4
_FLAKE_SEEDS = (1, 2, 3, 5, 8, 13, 21, 34)


class Sandbox:
    """Runs programs behind walls.

    `workers` programs run concurrently (default: one per core the process may use); `warm` libraries are loaded once
    and forked for the programs that import any of them; `readable` are further paths that programs may read (only
    world-readable ones when root starts the sandbox, because programs then run as another user);
    `split` runs passing programs once more, with response and tests in two processes that share no memory; `proof` of
    the verdict says whether they passed there. `mutation_testing` runs the tests of passing programs against mutants of
    the response; `flake_reruns` repeats passing programs under other hash seeds.

    Raises `SandboxError` on entering when a wall is missing; "auto" takes namespaces where the machine has them and
    Landlock with the system call filter elsewhere, never less. `mode` then names the one in use.
    """

    def __init__(
        self,
        workers: int | None = None,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        mode: Mode = "auto",
        warm: Iterable[str] = ("numpy", "pandas"),
        mutation_testing: bool = True,
        flake_reruns: int = 0,
        readable: Iterable[str] = (),
        language: Language = python,
        split: bool = True,
    ) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))
        self.limits = limits
        self.mode: Mode = mode
        self.mutation_testing = mutation_testing
        self.flake_reruns = flake_reruns
        self.split = split
        self._language = language
        self._warm = tuple(warm)
        self._readable = tuple(os.path.abspath(path) for path in readable)
        self._left_out: tuple[str, ...] = ()
        self._idle: dict[ServerSettings, list[Worker]] = defaultdict(list)
        self._all: set[Worker] = set()

    async def __aenter__(self) -> Self:
        self._slots = asyncio.Semaphore(self.workers)
        try:
            await self._start_all()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    async def run(self, program: Program) -> Verdict:
        """Run one program and judge it. Waits for a free worker; cancelling kills the program."""
        job = self._language.prepare_job(program, self.limits)
        if isinstance(job, Verdict):
            return job
        wanted = self.mutation_testing if program.mutation_testing is None else program.mutation_testing
        mutation_testing = wanted and program.kind == "tests"
        async with self._slots:
            try:
                (outcome,) = await self._ask(job, job.message(mutants_wanted=mutation_testing))
            except WorkerDied as death:
                return Verdict(
                    Status.NOT_JUDGED, message=f"the worker died {MOST_DEATHS} times on this program: {death}"
                )
            verdict = self._language.judge(job, outcome)
            if verdict.passed:
                verdict = await self._confirm_apart(job, verdict, program)
            if verdict.passed and mutation_testing:
                verdict = await MutationTest(self._language, job, verdict, self._ask).run(outcome)
            if verdict.passed and self.flake_reruns:
                verdict = await self._look_for_flakes(job, verdict)
        return verdict if verdict.passed else replace(verdict, proof="")

    async def run_against(self, response: str, tests: Sequence[str]) -> list[Verdict]:
        """Run one response against each of several tests, in one plain run each: no second process, no mutants, no
        reruns. The verdicts are in the order of the tests, without output; waits and can be cancelled as `run`."""
        found: dict[int, Verdict] = {}
        groups: dict[tuple[str, ...], dict[int, Job]] = defaultdict(dict)
        for number, text in enumerate(tests):
            program = Program(response, text, mutation_testing=False, split=False)
            job = self._language.prepare_job(program, self.limits) if text.strip() else Verdict(Status.NO_TESTS)
            if isinstance(job, Verdict):
                found[number] = job
            else:
                groups[self._choose_warm(job)][number] = job
        async with self._slots:
            for jobs in groups.values():
                try:
                    verdicts = await CrossRun(self._language, list(jobs.values()), self._ask).run()
                except WorkerDied as death:
                    verdicts = [_unjudged(death)] * len(jobs)
                found |= zip(jobs, verdicts, strict=True)
        return [found[number] for number in range(len(tests))]

    @property
    def has_control_groups(self) -> bool:
        """Whether every worker has its own control group (cgroup v2, where it is delegated)."""
        return all(worker.has_control_group for worker in self._all)

    def count_programs(self) -> int:
        """Count the processes below the servers now: programs and the processes they started."""
        return sum(worker.count_programs() for worker in self._all)

    async def _confirm_apart(self, job: Job, verdict: Verdict, program: Program) -> Verdict:
        """Run a passing program again, with response and judge in two processes, where that is wanted."""
        wanted = self.split if program.split is None else program.split
        if wanted and program.kind == "tests":
            with suppress(WorkerDied):
                (outcome,) = await self._ask(job, {**job.message(), "split": True}, split=True)
                verdict = self._language.judge_split(job, verdict, outcome)
                if verdict.proof == "split" and (seen := self._language.touched(outcome)) is not None:
                    (outcome,) = await self._ask(job, {**job.message(), "split": True, "seen": seen}, split=True)
                    verdict = self._language.judge_untouched(job, verdict, outcome)
                return verdict
        return replace(verdict, proof="shared")

    async def _look_for_flakes(self, job: Job, verdict: Verdict) -> Verdict:
        for seed in (_FLAKE_SEEDS * self.flake_reruns)[: self.flake_reruns]:
            try:
                (outcome,) = await self._ask(job, job.message(), hash_seed=seed)
            except WorkerDied:
                continue
            again = self._language.judge(job, outcome)
            if not again.passed:
                message = (
                    f"passed, then under hash seed {seed}: {again.status} {again.error_type} {again.message}".strip()
                )
                scores = {name: getattr(verdict, name) for name in ("mutation_score", "killed_by_value")}
                return replace(again, status=Status.FLAKY, message=message, **scores)
        return verdict

    async def _ask(
        self, job: Job, message: dict[str, Any], hash_seed: int = 0, split: bool = False
    ) -> list[dict[str, Any]]:
        """Run the message on a worker; replace a worker that dies, and ask the next one. Raises `WorkerDied`."""
        settings = self._settings(self._choose_warm(job), hash_seed, split or (self.split and not hash_seed))
        died = WorkerDied()
        for _ in range(MOST_DEATHS):
            worker = await self._take(settings)
            try:
                outcomes = await worker.run(message)
            except WorkerDied as death:
                died = death
                await self._discard(worker)
                continue
            except BaseException:  # cancelled: the next program would read this answer
                worker.abandon()
                await asyncio.shield(self._discard(worker))
                raise
            self._idle[settings].append(worker)
            return outcomes
        raise died

    def _choose_warm(self, job: Job) -> tuple[str, ...]:
        wanted = self._language.imported_modules(job) & {name.split(".")[0] for name in self._warm}
        return self._warm if wanted else ()

    def _settings(self, warm: tuple[str, ...], hash_seed: int = 0, split: bool = False) -> ServerSettings:
        return ServerSettings(
            self.mode,
            warm,
            self._readable,
            self.limits.scratch_mib,
            self._language.RUNNER,
            hash_seed,
            self._left_out,
            split=split,
        )

    async def _take(self, settings: ServerSettings) -> Worker:
        idle = self._idle[settings]
        return idle.pop() if idle else await self._start(settings)

    async def _start(self, settings: ServerSettings) -> Worker:
        worker = Worker(settings)
        self._all.add(worker)
        try:
            await worker.start()
        except BaseException:
            self._all.discard(worker)
            raise
        return worker

    async def _discard(self, worker: Worker) -> None:
        await worker.close()
        self._all.discard(worker)  # last, so that closing the sandbox meanwhile waits for this worker too

    async def _start_all(self) -> None:
        """Start the workers; "auto" takes the first mode in which they start."""
        for mode in ("namespaces", "landlock") if self.mode == "auto" else (self.mode,):
            asked, self.mode = self.mode, mode
            settings = self._settings((), split=self.split)
            starts = (self._start(settings) for _ in range(self.workers))
            started = await asyncio.gather(*starts, return_exceptions=True)
            self._idle[settings] += [worker for worker in started if isinstance(worker, Worker)]
            failures = [failure for failure in started if isinstance(failure, BaseException)]
            if not failures:
                return
            self.mode = asked
            if not (asked == "auto" and mode == "namespaces" and isinstance(failures[0], WallMissing)):
                raise failures[0]
        raise SandboxError("no sandbox mode works on this machine")

    async def _close(self) -> None:
        workers, self._all = self._all, set()
        self._idle.clear()
        for worker in workers:
            worker.abandon()
        await asyncio.gather(*(worker.close() for worker in workers))


def _unjudged(death: WorkerDied) -> Verdict:
    return Verdict(Status.NOT_JUDGED, message=f"{MOST_DEATHS} workers died on this program: {death}")
