"""Instruction → verified responses of evolved instructions: no round begins with a task that nobody could solve.

The start task is answered first, as in `responses`; without a passing answer its lineage ends. Each round rewrites the
last task that has one, and answers the new task at once. So answers are drawn once, and run.json counts by round how
many tasks got an answer that passed: whether evolution makes tasks harder, or only unanswerable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from selfcodealign.baseline_settings import EvolveVerifiedSettings
from selfcodealign.rows import Dropped, Instruction, Response, extended
from selfcodealign.stages import Asked, Each
from selfcodealign.stages.baselines.evolve import Evolved, Evolver, asked_for_tasks, check_evolving, evolving_facts
from selfcodealign.stages.context import Context
from selfcodealign.stages.responses import Answerer, answering_facts, asked_for_answers, check_answering

#: The stage, and its section.
NAME = "evolve_verified"


class VerifiedLineage:
    """Takes a start task through its rounds, with answers to each task."""

    def __init__(self, context: Context) -> None:
        self._count = context.count
        self._evolver, self._answer = Evolver(context, NAME), Answerer(context, NAME)

    async def __call__(self, row: Instruction) -> list[Response | Dropped]:
        task = self._evolver.start(row)
        dropped, answers = await self._answer_to(task)
        kept = [answers]
        for number in range(1, self._evolver.settings.rounds + 1) if answers else ():
            evolved = await self._evolver.rewrite(task, number)
            if isinstance(evolved, Dropped):
                dropped.append(evolved)
                continue
            lost, answers = await self._answer_to(evolved)
            dropped += lost
            if answers:
                task = evolved
                kept.append(answers)
        if self._evolver.settings.keep == "last":
            for earlier in kept[:-1]:
                dropped += [
                    Dropped(parent=row.id, reason="earlier_round", detail="", row=one.fields()) for one in earlier
                ]
            kept = kept[-1:]
        return [*dropped, *(one for answers in kept for one in answers)]

    async def _answer_to(self, task: Evolved) -> tuple[list[Dropped], list[Response]]:
        """The dropped answers to a task, and those that passed."""
        found = await self._answer(task)
        passed = [one for one in found if isinstance(one, Response)]
        told = f"round {task.round}"
        self._count(NAME, f"{told}: tasks answered")
        self._count(NAME, f"{told}: tasks with a verified answer", int(bool(passed)))
        self._count(NAME, f"{told}: answers", len(found))
        self._count(NAME, f"{told}: verified answers", len(passed))
        start = task.start_instruction_id
        return [replace(one, parent=start) for one in found if isinstance(one, Dropped)], passed


def _check(context: Context) -> Iterator[str]:
    yield from check_evolving(context, NAME)
    yield from check_answering(context, NAME)
    responses, own = context.recipe.responses, context.model_name(NAME)
    if not responses.execute:
        yield f'{NAME} runs answers: set responses.execute = true, or name the stages "evolve" and "responses" instead'
    if responses.model not in ("", own):
        yield (
            f"{NAME} asks one model for tasks and answers: responses.model is {responses.model}, so set "
            f'{NAME}.model = "{responses.model}", too'
        )


def _asks(context: Context) -> list[Asked]:
    rounds = context.recipe.evolve_verified.rounds
    return [asked_for_tasks(context, NAME)._replace(rows=1), asked_for_answers(context, rounds + 1)]


EVOLVE_VERIFIED = Each(
    name=NAME,
    takes=Instruction,
    gives=extended(Response, Evolved),
    settings=EvolveVerifiedSettings,
    needs=("model", "sandbox"),
    parent="start_instruction_id",
    check=_check,
    decided_by=lambda context: {**answering_facts(context, NAME), **evolving_facts(context, NAME)},
    build=VerifiedLineage,
    rows_at_once=lambda context: 2 * context.model_of(NAME).concurrency + 2 * context.cores,
    asks=_asks,
)
