"""Seed → response: one answer holds a task that the seed's code inspired, its solution and, if wanted, tests.

This is how OSS-Instruct makes its rows (Wei et al. 2024, "Magicoder"); there nothing is run. With `pairs.tests = "run"`
the tests are run as in the stage `responses`, and what does not pass is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any

from selfcodealign.baseline_settings import PairSettings
from selfcodealign.generation.echo import find_echo
from selfcodealign.generation.few_shot_file import PROMPT_TAGS
from selfcodealign.generation.question import Answer
from selfcodealign.generation.tasks import find_fault
from selfcodealign.models import Sampling
from selfcodealign.rows import Dropped, Instruction, Response, Seed, digest, grow, without_concepts
from selfcodealign.settings import MOST_TOKENS
from selfcodealign.stages import Asked, Each
from selfcodealign.stages.answering import Taker
from selfcodealign.stages.concepts import cut_snippet
from selfcodealign.stages.context import Context
from selfcodealign.stages.instructions import LANGUAGE

_SHOWN = ("snippet_lines", "snippet_characters", "snippet_carried", "snippet_docstrings")


class PairPrompts:
    """The question about a seed, and the ids of its pairs."""

    def __init__(self, context: Context) -> None:
        self._settings = settings = context.recipe.pairs
        self._concepts = context.recipe.concepts
        most = settings.max_tokens or MOST_TOKENS["pairs"]
        self.question = context.question(
            _kind(context),
            PROMPT_TAGS[_kind(context)][1:],
            settings.examples,
            Sampling(settings.temperature, settings.top_p, most),
            estimated=settings.max_tokens is None,
            stage="pairs",
        )

    @cached_property
    def digest(self) -> str:
        """Digest of everything that decides the pairs; the model must be known."""
        shown = {name: getattr(self._concepts, name) for name in _SHOWN}
        return digest(self._settings.result_digest(), sorted(shown.items()), self.question.digest)

    def name(self, seed_id: str, number: int) -> str:
        """The id of the instruction of a seed's `number`-th pair."""
        return digest(seed_id, self.digest, number)

    def find_number(self, seed_id: str, instruction_id: str) -> int:
        """Which one of its seed's pairs this is, from 0."""
        return next((n for n in range(1, self._settings.samples) if self.name(seed_id, n) == instruction_id), 0)

    def lay_out(self, row: dict[str, Any], instruction_id: str, number: int) -> str:
        """The prompt of the `number`-th pair of a seed, given by its fields."""
        shown = {"snippet": cut_snippet(row, self._concepts)}
        return self.question.lay_out(instruction_id, shown, row["seed_id"], number)


class PairWriter:
    """Asks `samples` times for a pair. A text that could never become an example is dropped before anything is run, as
    in the stages `instructions` and `responses`."""

    def __init__(self, context: Context) -> None:
        self._settings = context.recipe.pairs
        self._prompts = PairPrompts(context)
        self._question = self._prompts.question
        self._take = Taker(context, "pairs", execute=self._settings.executes)
        execution = context.recipe.execution.result_digest() if self._settings.executes else "not run"
        self._digest = digest(self._prompts.digest, execution)

    async def __call__(self, row: Seed) -> list[Response | Dropped]:
        return [await self._write(row, number) for number in range(self._settings.samples)]

    async def _write(self, row: Seed, number: int) -> Response | Dropped:
        instruction_id = self._prompts.name(row.id, number)
        response_id = digest(instruction_id, self._digest)
        answer = await self._question.ask(self._prompts.lay_out(row.fields(), instruction_id, number), instruction_id)
        task = _grow_task(row, instruction_id, answer.sections.get("instruction", ""))
        reason, detail = self._find_problem(row, task, answer, number)
        if reason:
            written = task.fields() | {"response_id": response_id, "sample": 0, "completion": answer.text}
            return Dropped(parent=row.id, reason=reason, detail=detail, row=written)
        taken = await self._take(task, response_id, 0, answer.text, answer.sections, answer.repairs)
        # The stage was given the seed: the task is made here.
        return replace(taken, parent=row.id) if isinstance(taken, Dropped) else taken

    def _find_problem(self, row: Seed, task: Instruction, answer: Answer, number: int) -> tuple[str, str]:
        if answer.problem:
            return answer.problem, answer.detail
        if fault := find_fault(task.instruction):
            return fault
        shown = self._question.draw(task.id, row.seed_id, number)
        lifted = find_echo(task.instruction, shown, ("instruction",)) or find_echo(
            answer.sections["response"], shown, ("instruction", "response"), own=task.instruction
        )
        return ("echo", lifted) if lifted else ("", "")


def _grow_task(row: Seed, instruction_id: str, text: str) -> Instruction:
    """The task as a row. Nothing was drawn for it: the model chose its kind and how hard it is."""
    row = without_concepts(row, "no concepts")
    drawn = {"category": "", "language": LANGUAGE, "difficulty": ""}
    return grow(row, Instruction, instruction_id=instruction_id, instruction=text, **drawn)


def _kind(context: Context) -> str:
    """The kind of prompt."""
    return "pairs-untested" if context.recipe.pairs.tests == "none" else "pairs"


def _check(context: Context) -> Iterable[str]:
    return context.check_examples(_kind(context), context.recipe.pairs.examples, "pairs")


def _decided_by(context: Context) -> dict[str, Any]:
    sections = ("pairs", "execution") if context.recipe.pairs.executes else ("pairs",)
    shown = {f"concepts.{name}": getattr(context.recipe.concepts, name) for name in _SHOWN}
    return {**context.deciding(*sections), **shown, **context.asking(_kind(context), "pairs")}


def _by_draw(context: Context) -> Callable[[Any], int] | None:
    """What tells rows of one draw by; by a person's number of draws, a pair's is not known of its seed."""
    question = PairPrompts(context).question
    return question.by_draw() if question.draws is None else None


def _asks(context: Context) -> list[Asked]:
    settings = context.recipe.pairs
    count = settings.samples
    return [Asked(_kind(context), settings.examples, settings.max_tokens, prompts=count, rows=count)]


PAIRS = Each(
    name="pairs",
    takes=Seed,
    gives=Response,
    settings=PairSettings,
    columns=("instruction", "status", "function", "origin"),
    needs=("model", "sandbox"),
    executes=lambda context: context.recipe.pairs.executes,
    check=_check,
    decided_by=_decided_by,
    build=PairWriter,
    prefix=_by_draw,
    asks=_asks,
)
