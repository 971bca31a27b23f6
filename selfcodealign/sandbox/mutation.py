"""Mutation testing: a passing program's tests against mutants of its response.

All mutants run one after the other in one process, with the original first (its turns bound the mutants), at a random
place, and last. Where the original does not pass each time, runs are not independent of each other, and every mutant
gets a process. A mutant that ends the process is killed; those after it go on in a new one. The verdict on the original
is older than all of this, and nothing in here makes a pass of anything.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfcodealign.sandbox.language import Job, Language
from selfcodealign.sandbox.verdict import MutantOutcome, Status, Verdict
from selfcodealign.sandbox.versions import read_versions
from selfcodealign.sandbox.worker import WorkerDied

_MOST_MUTANTS = 8
_LEAST_SECONDS = 0.25  # a mutant can loop where no turn is counted
_LEAST_IDLE_SECONDS = 0.15
_ORIGINAL = None
_draw = random.SystemRandom()

Ask = Callable[[Job, dict[str, Any]], Awaitable[list[dict[str, Any]]]]


@dataclass(frozen=True, slots=True)
class _Result:
    """How the tests reacted to a version (None: it failed before any test ran), the values it changed, its turns."""

    outcome: MutantOutcome | None
    changed: int = 0
    turns: int = 0


class Dependent(Exception):
    """The original did not pass between its mutants."""


class MutationTest:
    """The mutation test of one program; `verdict` is that of the original, which passed."""

    def __init__(self, language: Language, job: Job, verdict: Verdict, ask: Ask) -> None:
        self._language = language
        self._job = job
        self._verdict = verdict
        self._ask = ask
        self._bounds = {
            "seconds": min(job.limits.seconds, max(_LEAST_SECONDS, 5 * verdict.seconds)),
            "idle_seconds": min(job.limits.seconds, max(_LEAST_IDLE_SECONDS, 1.5 * verdict.seconds)),
        }

    async def run(self, outcome: dict[str, Any]) -> Verdict:
        """Return the verdict with its score: of the whole response, then of functions and places spread over it."""
        possible = self._language.mutants_of(outcome)
        first, *further = self._language.GATES
        value = self._language.VALUE_GATE
        names = [first, value, *possible[:: max(1, -(-len(possible) // _MOST_MUTANTS))]]
        results = dict(zip(names, await self._results(names), strict=True))
        by_value = results.pop(value)
        noticed = _noticed(by_value)
        if not _killed_by_assertion(results.values()) and (not noticed or _all_survive(results.values())):
            for name, result in zip(further, await self._results(further), strict=True):
                if not _killed_by_assertion(results.values()):
                    results[name] = result
        counted = [result.outcome for result in results.values() if result.outcome is not None]
        score = sum(result is not MutantOutcome.SURVIVED for result in counted) / len(counted) if counted else None
        verdict = replace(self._verdict, mutation_score=score, killed_by_value=noticed)
        if not noticed and not _killed_by_assertion(results.values()):
            return replace(verdict, status=Status.WEAK_TESTS, message="no assertion kills any mutant of the response")
        if counted and _all_survive(results.values()):  # results compared with each other, whatever they are
            return replace(verdict, status=Status.WEAK_TESTS, message="every mutant of the response survives the tests")
        if by_value.changed and by_value.outcome is MutantOutcome.SURVIVED:
            (without,) = await self._results([self._language.NO_VALUE_GATE])
            if without.outcome is MutantOutcome.SURVIVED:  # the tests look at no value: at exceptions, or at state
                return replace(verdict, killed_by_value=None)
            message = "no test notices other values of the same types"
            return replace(verdict, status=Status.WEAK_TESTS, message=message)
        return verdict

    async def _results(self, mutants: list[str]) -> list[_Result]:
        try:
            return await self._run_together(mutants)
        except Dependent:
            return [await self._run_alone(mutant) for mutant in mutants]

    async def _run_together(self, mutants: list[str]) -> list[_Result]:
        """Raises `Dependent`."""
        versions: list[str | None] = [*mutants, _ORIGINAL]
        versions.insert(_draw.randint(0, len(mutants)), _ORIGINAL)
        opening, *results = await self._run([_ORIGINAL, *versions])
        self._check(opening)
        while len(results) < len(versions):
            results += await self._run(versions[len(results) :], opening.turns)
        for version, result in zip(versions, results, strict=True):
            if version is _ORIGINAL:
                self._check(result)
        return [result for version, result in zip(versions, results, strict=True) if version is not _ORIGINAL]

    def _check(self, original: _Result) -> None:
        if original.outcome is not MutantOutcome.SURVIVED:
            raise Dependent

    async def _run_alone(self, mutant: str) -> _Result:
        (result,) = await self._run([mutant])
        return result

    async def _run(self, versions: Sequence[str | None], turns: int | None = None) -> list[_Result]:
        """Run versions in one process until one ends it; that one is killed. `turns` are the original's, if known."""
        together = self._bounds | ({} if turns is None else {"turns": turns})
        try:
            (outcome,) = await self._ask(self._job, self._job.message(versions, together=together))
        except WorkerDied:
            return [_Result(None)]
        results = [
            _Result(self._language.judge_mutant(self._job, one.outcome), one.changed, one.turns)
            for one in read_versions(outcome["reports"], len(versions))
        ]
        # What the versions before used up or left behind may have ended this one: then it runs again, as the first.
        inherited = outcome["ended_by"] not in ("", "timeout") or (not outcome["ended_by"] and outcome["exit_code"] < 0)
        if len(results) < len(versions) and not (results and inherited):
            results.append(_Result(MutantOutcome.KILLED))
        return results


def _killed_by_assertion(results: Any) -> bool:
    return any(result.outcome is MutantOutcome.KILLED_BY_ASSERTION for result in results)


def _all_survive(results: Any) -> bool:
    return all(result.outcome in (None, MutantOutcome.SURVIVED) for result in results)


def _noticed(result: _Result) -> bool | None:
    if not result.changed or result.outcome is None:
        return None
    return result.outcome is MutantOutcome.KILLED_BY_ASSERTION
