"""The reward of an answer: the sandbox's verdict on its code with its task's tests.

Answers are trained to pass these tests, so whatever gets a reward without solving the task will be learned. They are
judged as the stages judge: behind the sandbox's walls, with a check for tampering, and passing answers once more in a
process apart from their tests.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from selfcodealign.fences import read_answer, read_tests
from selfcodealign.sandbox import Limits, Program, Sandbox, Status
from selfcodealign.sandbox.on_demand import OnDemandSandbox
from selfcodealign.settings import ExecutionSettings

#: The model wrote no end token within `grpo.max_tokens`: the answer is not run.
UNFINISHED = "unfinished"
#: It passed beside its tests and not in a process apart from them.
SHARED_PROOF = "passed_beside_tests_only"

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """A sampled answer, and the tests of its task. `finished`: the model ended it itself."""

    text: str
    tests: str
    finished: bool = True


class SandboxReward:
    """Judges answers in parallel. Use as a context manager: the sandbox starts on entering and ends on leaving.

    `verdicts` counts answers by status since the last `take_verdicts`. Raises `SandboxError` on entering when a wall is
    missing, and while judging when the sandbox fails on one answer after the other: a broken sandbox is no reward of 0.
    """

    def __init__(self, execution: ExecutionSettings, proof: Literal["split", "any"] = "split") -> None:
        self.proof = proof
        self.verdicts: Counter[str] = Counter()
        self._sandbox = OnDemandSandbox(
            Sandbox(
                workers=execution.workers,
                limits=Limits(seconds=execution.seconds, memory_mib=execution.memory_mib),
                mode=execution.sandbox,
                warm=tuple(name for name in execution.warm if find_spec(name)),
                mutation_testing=False,  # it measures the tests, which the run has done
                flake_reruns=execution.flake_reruns,
                split=proof == "split",
            )
        )
        # The trainer holds its thread, and the sandbox needs an event loop that runs.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox of the rewards", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._wait(self._sandbox.open())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._wait(self._sandbox.__aexit__(None, None, None))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def judge(self, answers: Sequence[Answer]) -> list[str]:
        """Return the status of each answer, in order; equal answers run once. Raises `SandboxError`."""
        distinct = list(dict.fromkeys(answers))
        found = dict(zip(distinct, self._wait(self._judge_all(distinct)), strict=True))
        return [found[answer] for answer in answers]

    def reward(self, answers: Sequence[Answer]) -> list[float | None]:
        """Return 1.0 for each answer that passed, 0.0 for others, None for one that the sandbox could not judge."""
        statuses = self.judge(answers)
        self.verdicts.update(statuses)
        return [None if status == Status.NOT_JUDGED else float(status == Status.PASSED) for status in statuses]

    def take_verdicts(self) -> dict[str, int]:
        """Return the counts by status, and count from 0 again."""
        taken, self.verdicts = dict(self.verdicts), Counter()
        return taken

    async def _judge_all(self, answers: Sequence[Answer]) -> list[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._judge_one(answer)) for answer in answers]
        return [task.result() for task in tasks]

    async def _judge_one(self, answer: Answer) -> str:
        if not answer.finished:
            return UNFINISHED
        program = Program(response=read_answer(answer.text).text, tests=read_tests(answer.tests).text)
        verdict = await self._sandbox.run(program)
        if verdict.passed and self.proof == "split" and verdict.proof != "split":
            return SHARED_PROOF
        return str(verdict.status)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the loop's thread. Ctrl-C ends the programs that it waits for."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        except BaseException:
            future.cancel()
            raise
