"""One response against several tests: all of them one after the other in one process, where that shows the same.

The first tests run once more at the end. Where they then end otherwise, runs depend on each other, and all of them get
a process. So do tests that end the process, and any that end for want of something which those before may have used up.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfcodealign.sandbox.language import Job, Language
from selfcodealign.sandbox.mutation import Ask
from selfcodealign.sandbox.verdict import Status, Verdict
from selfcodealign.sandbox.versions import read_versions
from selfcodealign.sandbox.worker import WorkerDied

# Ends that a run before cannot have caused, as what it left behind is restored.
_OWN = (Status.PASSED, Status.FAILED, Status.ERROR, Status.WEAK_TESTS, Status.NO_TESTS, Status.TAMPERING)
_MOST_ENDED = 2  # processes that may end early before every run gets one
# Longer ones run alone, under the limits that a person has set.
_SECONDS, _IDLE_SECONDS = 1.0, 0.5


class CrossRun:
    """Runs `jobs` that have one response and different tests."""

    def __init__(self, language: Language, jobs: Sequence[Job], ask: Ask) -> None:
        self._language = language
        self._jobs = jobs
        self._ask = ask

    async def run(self) -> list[Verdict]:
        """Return the verdict on each job, in order, as of one plain run. Raises `WorkerDied`."""
        found: dict[int, Verdict] = {}
        for _ in range(_MOST_ENDED):
            left = [number for number in range(len(self._jobs)) if number not in found]
            if len(left) < 2:
                break
            verdicts = await self._run_together(left)
            if len(verdicts) > len(left):
                *verdicts, again = verdicts
                if again.status is verdicts[0].status:
                    sure = zip(left, verdicts, strict=True)
                    found |= {number: verdict for number, verdict in sure if verdict.status in _OWN}
                break
            # Nothing shows that those before this one were independent: they run again without it.
            ended = left[len(verdicts) % len(left)]
            found[ended] = await self._run_alone(ended)
        for number in range(len(self._jobs)):
            if number not in found:
                found[number] = await self._run_alone(number)
        return [found[number] for number in range(len(self._jobs))]

    async def _run_together(self, numbers: Sequence[int]) -> list[Verdict]:
        """Run these and the first of them again in one process; return the verdicts until it ends."""
        numbers = [*numbers, numbers[0]]
        job = self._jobs[numbers[0]]
        bounds = {"seconds": min(job.limits.seconds, _SECONDS), "idle_seconds": min(job.limits.seconds, _IDLE_SECONDS)}
        against = [self._jobs[number].tests for number in numbers]
        try:
            (outcome,) = await self._ask(job, job.message([None] * len(numbers), together=bounds, against=against))
        except WorkerDied:
            return []
        versions = read_versions(outcome["reports"], len(numbers))
        return [
            self._language.judge(self._jobs[number], version.outcome)
            for number, version in zip(numbers, versions, strict=False)
        ]

    async def _run_alone(self, number: int) -> Verdict:
        job = self._jobs[number]
        (outcome,) = await self._ask(job, job.message())
        return self._language.judge(job, outcome)
