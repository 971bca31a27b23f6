"""Concepts → instruction: a new task with drawn properties (given bare seeds, a task from the seed itself)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from random import Random
from typing import Any

from selfcodealign.generation.echo import find_echo
from selfcodealign.generation.few_shot_file import lay_out_properties
from selfcodealign.generation.tasks import find_contradictions, find_fault
from selfcodealign.models import Sampling
from selfcodealign.rows import Concepts, Dropped, Instruction, Seed, digest, grow, holds, seed_of, without_concepts
from selfcodealign.settings import MOST_TOKENS, InstructionSettings
from selfcodealign.stages import Asked, Each
from selfcodealign.stages.concepts import cut_snippet
from selfcodealign.stages.context import Context

LANGUAGE = "Python"


class InstructionPrompts:
    """Draws the properties of each instruction from its id, and lays out its prompt."""

    def __init__(self, context: Context) -> None:
        self._settings = settings = context.recipe.instructions
        self._concepts = context.recipe.concepts
        self._distinct = "distinct" in context.places
        self._random_seed = context.recipe.random_seed
        most = settings.max_tokens or MOST_TOKENS["instructions"]
        self.question = context.question(
            _prompt(context),
            ("instruction",),
            settings.examples,
            Sampling(settings.temperature, settings.top_p, most),
            estimated=settings.max_tokens is None,
        )

    @cached_property
    def digest(self) -> str:
        """Digest of everything that decides the instructions; the model must be known."""
        return digest(self._settings.result_digest(distinct=self._distinct), self.question.digest)

    def find_number(self, row: Concepts, instruction_id: str) -> int:
        """Which one of its row's instructions this is, from 0."""
        numbers = range(1, self._settings.per_seed)
        return next((n for n in numbers if digest(row.id, self.digest, n) == instruction_id), 0)

    def lay_out(self, row: Concepts, instruction_id: str, number: int) -> str:
        """The prompt of the `number`-th instruction of a row."""
        category, difficulty, concepts = self.draw_properties(instruction_id, row.concepts)
        if self.question.stage == "instructions":
            shown = {"properties": lay_out_properties(category, LANGUAGE, difficulty, concepts)}
        else:
            shown = {"snippet": cut_snippet(row.fields(), self._concepts)}
        return self.question.lay_out(instruction_id, shown, row.seed_id, number)

    def draw_properties(self, instruction_id: str, concepts: list[str]) -> tuple[str, str, list[str]]:
        """Category, difficulty and the concepts to show; a category listed twice is drawn twice as often."""
        random = Random(seed_of(digest(self._random_seed, instruction_id), "properties"))
        category, difficulty = random.choice(self._settings.categories), random.choice(self._settings.difficulties)
        most = self._settings.concepts_shown
        shown = concepts if most is None or len(concepts) <= most else random.sample(concepts, most)
        return category, difficulty, shown


class InstructionWriter:
    """Asks `per_seed` times for a task, each time with its own draw of category and difficulty.

    A text that could never become an example is dropped before it is answered: `only_code`, `repeated`,
    `prompt_markup` (see `find_fault`) or `echo`, a sentence of the worked examples in its prompt.
    """

    def __init__(self, context: Context) -> None:
        self._count = context.count
        self._settings = context.recipe.instructions
        self._no_concepts = digest(context.recipe.concepts.result_digest(enabled=False))
        self._prompts = InstructionPrompts(context)
        self._question = self._prompts.question

    async def __call__(self, row: Seed) -> list[Instruction | Dropped]:
        concepts = without_concepts(row, self._no_concepts)
        return [await self._write(concepts, row.id, n) for n in range(self._settings.per_seed)]

    async def _write(self, row: Concepts, parent: str, number: int) -> Instruction | Dropped:
        instruction_id = digest(row.id, self._prompts.digest, number)
        category, difficulty, _ = self._prompts.draw_properties(instruction_id, row.concepts)
        own = {"instruction_id": instruction_id, "category": category, "language": LANGUAGE, "difficulty": difficulty}
        answer = await self._question.ask(self._prompts.lay_out(row, instruction_id, number), instruction_id)
        if answer.problem:
            return Dropped(parent=parent, reason=answer.problem, detail=answer.detail, row=row.fields() | own)
        text = answer.sections["instruction"]
        fault = find_fault(text)
        shown = self._question.draw(instruction_id, row.seed_id, number)
        if fault is None and (lifted := find_echo(text, shown, ("instruction",))):
            fault = "echo", lifted
        if fault is not None:
            written = row.fields() | own | {"instruction": text}
            return Dropped(parent=parent, reason=fault[0], detail=fault[1], row=written)
        for what in find_contradictions(text, category, difficulty):
            self._count("instructions", f"{what} contradicted by the text")
        return grow(row, Instruction, **own, instruction=text)


def _prompt(context: Context) -> str:
    """The kind of prompt: from concepts where the rows have them, else from the seed (the paper's ablation)."""
    given = context.places["instructions"].given
    return "instructions" if given is not None and holds(given, Concepts) else "instructions-from-seed"


def _by_draw(context: Context) -> Callable[[Any], int] | None:
    """What tells rows of one draw by; by a person's number of draws, an instruction's is not known of its row."""
    question = InstructionPrompts(context).question
    return question.by_draw() if question.draws is None else None


def _check(context: Context) -> Iterable[str]:
    return context.check_examples(_prompt(context), context.recipe.instructions.examples)


def _decided_by(context: Context) -> dict[str, Any]:
    found = {**context.deciding("instructions"), **context.asking(_prompt(context))}
    if _prompt(context) == "instructions-from-seed":  # the prompt shows the seed as `concepts` would
        found |= context.deciding("concepts")
    return found


def _asks(context: Context) -> list[Asked]:
    settings = context.recipe.instructions
    return [
        Asked(
            _prompt(context), settings.examples, settings.max_tokens, prompts=settings.per_seed, rows=settings.per_seed
        )
    ]


INSTRUCTIONS = Each(
    name="instructions",
    takes=Seed,
    gives=Instruction,
    settings=InstructionSettings,
    columns=("instruction", "category", "difficulty", "concepts", "function"),
    needs=("model",),
    check=_check,
    decided_by=_decided_by,
    build=InstructionWriter,
    prefix=_by_draw,
    asks=_asks,
)
