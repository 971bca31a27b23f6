"""Instruction → evolved instructions: a model rewrites each task into a harder one, round by round (Evol-Instruct).

One worker takes a start task through all its rounds, so a row needs no other row. In each round one heuristic is drawn
from the start's id. A rewriting that fails is dropped with its reason, and its parent begins the next round, too:

    only_code, repeated, prompt_markup, echo    no task, as in `instructions`
    same_as_parent    the parent's text, white space aside, or nearly its words
    prompt_words      it talks about the rewriting, or repeats what was to change
    too_short, too_long
    refused_answer    the model declines
    earlier_round     with `evolve.keep = "last"`: a later round has evolved it further
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from selfcodealign.baseline_settings import EvolveSettings
from selfcodealign.generation.echo import find_echo
from selfcodealign.generation.question import Question
from selfcodealign.generation.tasks import find_fault
from selfcodealign.models import Sampling
from selfcodealign.rows import Dropped, Instruction, digest, extended, seed_of
from selfcodealign.stages import Asked, Each
from selfcodealign.stages.chat import ask_chat, chat_facts, check_chat
from selfcodealign.stages.context import Context

#: What a chat model is told.
WORDS = """Here is a programming task:

{instruction}

Write a harder version of it. {change} The result must be a complete task that somebody can understand and solve without
knowing this one, at most twice as long, and in the same language. Reply with the text of the new task alone: no title,
no remark on what you have changed, no solution."""
#: Words about the rewriting itself. A "new task" may be what a program handles.
_ABOUT = re.compile(
    r"\b(?:(?:rewritten|evolved|original) (?:version of the )?(?:task|prompt|instruction)|harder version)\b",
    re.IGNORECASE,
)
_DECLINED = re.compile(r"\b(?:i(?:'m| am) sorry|sorry,|i (?:cannot|can't|am unable to)|as an ai)\b", re.IGNORECASE)
#: Words from which a text that says so is a task all the same.
_REFUSAL_WORDS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolved(Instruction):
    """A task of a round, with its own `instruction` and `instruction_id`; the seed and the properties are those of the
    task it began with, `start_instruction_id` (round 0: that task itself). `parent_instruction` is the text that
    `heuristic` has changed; both are empty in round 0."""

    id_field: ClassVar[str] = "instruction_id"
    round: int
    start_instruction_id: str
    parent_instruction_id: str
    parent_instruction: str
    heuristic: str


class Evolver:
    """Rewrites one task once."""

    def __init__(self, context: Context, stage: str) -> None:
        self.settings: EvolveSettings = context.section(stage)
        self._random_seed = context.recipe.random_seed
        self._question = _ask(context, stage)
        self._digest = digest(self.settings.result_digest(), self._question.digest)

    def start(self, row: Instruction) -> Evolved:
        """The task that a row begins with, as round 0."""
        own: dict[str, Any] = {
            "round": 0,
            "start_instruction_id": row.id,
            "parent_instruction_id": "",
            "parent_instruction": "",
        }
        return extended(Evolved, type(row))(**row.fields(), **own, heuristic="")

    async def rewrite(self, parent: Evolved, number: int) -> Evolved | Dropped:
        """The task of a round made from one of an earlier round."""
        start = parent.start_instruction_id
        heuristic, change = self._draw(start, number)
        own: dict[str, Any] = {
            "instruction_id": digest(parent.id, self._digest, number),
            "round": number,
            "parent_instruction_id": parent.id,
            "parent_instruction": parent.instruction,
            "heuristic": heuristic,
        }
        row_id = own["instruction_id"]
        shown = {"instruction": parent.instruction, "change": change}
        answer = await self._question.ask(self._question.lay_out(row_id, shown, parent.seed_id, number), row_id)
        text = answer.sections.get("evolved", "")
        examples = self._question.draw(row_id, parent.seed_id, number)
        fault = (answer.problem, answer.detail) if answer.problem else self._find_fault(parent, change, text, examples)
        if fault is not None:
            written = parent.fields() | own | {"instruction": text}
            return Dropped(parent=start, reason=fault[0], detail=fault[1], row=written)
        return type(parent)(**parent.fields() | own | {"instruction": text})

    def _draw(self, start: str, number: int) -> tuple[str, str]:
        random = Random(seed_of(digest(self._random_seed, start, number), "heuristic"))
        return random.choice(self.settings.changes())

    def _find_fault(
        self, parent: Evolved, change: str, text: str, examples: Sequence[dict[str, str]]
    ) -> tuple[str, str] | None:
        words, settings = len(text.split()), self.settings
        if words < _REFUSAL_WORDS and (said := _DECLINED.search(text)):
            return "refused_answer", said[0]
        if words < settings.min_words:
            return "too_short", f"{words} words"
        if words > settings.max_words:
            return "too_long", f"{words} words"
        like = 1.0 if _squeeze(text) == _squeeze(parent.instruction) else similarity(text, parent.instruction)
        if like >= settings.similarity:
            return "same_as_parent", f"{like:.2f} of the word triples"
        said = _ABOUT.search(text)
        if said and said[0].casefold() not in parent.instruction.casefold():
            return "prompt_words", said[0]
        if _squeeze(change).rstrip(".") in _squeeze(text):
            return "prompt_words", change
        if fault := find_fault(text):
            return fault
        lifted = find_echo(text, examples, ("instruction", "evolved"), own=parent.instruction)
        return ("echo", lifted) if lifted else None


class Lineage:
    """Takes a start task through its rounds."""

    def __init__(self, context: Context) -> None:
        self._evolver = Evolver(context, "evolve")

    async def __call__(self, row: Instruction) -> list[Evolved | Dropped]:
        found: list[Evolved | Dropped] = [self._evolver.start(row)]
        parent = found[0]
        for number in range(1, self._evolver.settings.rounds + 1):
            assert isinstance(parent, Evolved)
            found.append(await self._evolver.rewrite(parent, number))
            parent = found[-1] if isinstance(found[-1], Evolved) else parent
        if self._evolver.settings.keep == "all":
            return found
        return [one if one is parent or isinstance(one, Dropped) else drop_earlier(one) for one in found]


def drop_earlier(row: Evolved) -> Dropped:
    """A task of which a later round was kept."""
    return Dropped(
        parent=row.start_instruction_id, reason="earlier_round", detail=f"round {row.round}", row=row.fields()
    )


def similarity(one: str, other: str) -> float:
    """The share of the word triples of two texts that both have.

    >>> similarity("Sort the list of names.", "Sort the list of names.")
    1.0
    >>> similarity("Sort the list of names.", "Add two numbers.")
    0.0
    """
    first, second = (_triples(text) for text in (one, other))
    return len(first & second) / max(1, len(first | second))


def _triples(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[place : place + 3]) for place in range(max(1, len(words) - 2))}


def _squeeze(text: str) -> str:
    return "".join(text.casefold().split())


def _ask(context: Context, stage: str) -> Question:
    settings: EvolveSettings = context.section(stage)
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens)
    if settings.prompt == "message":
        return ask_chat(context, "evolve", ("evolved",), WORDS, sampling, stage)
    return context.question("evolve", ("evolved",), settings.examples, sampling, stage=stage)


def ask_to_evolve(context: Context, stage: str, row: Mapping[str, Any]) -> tuple[Question, dict[str, str]]:
    """The question that a stored evolved row answered, and the sections that it showed."""
    settings: EvolveSettings = context.section(stage)
    change = dict(settings.changes()).get(row["heuristic"], row["heuristic"])
    return _ask(context, stage), {"instruction": row["parent_instruction"], "change": change}


def check_evolving(context: Context, stage: str = "evolve") -> Iterable[str]:
    """What a person has to fix where `stage` rewrites tasks."""
    settings: EvolveSettings = context.section(stage)
    if settings.prompt == "message":
        return check_chat(context, stage, f'{stage}.prompt = "message"')
    return context.check_examples("evolve", settings.examples, stage)


def evolving_facts(context: Context, stage: str = "evolve") -> dict[str, Any]:
    """What decides the tasks that `stage` writes."""
    settings: EvolveSettings = context.section(stage)
    facts = context.deciding(stage) | {"words of the heuristics": [change for _, change in settings.changes()]}
    if settings.prompt == "message":
        return facts | chat_facts(context, "evolve", WORDS, stage)
    return {**facts, **context.asking("evolve", stage)}


def asked_for_tasks(context: Context, stage: str = "evolve") -> Asked:
    """What is asked for the rounds of one task."""
    settings: EvolveSettings = context.section(stage)
    examples = 0 if settings.prompt == "message" else settings.examples
    rows = settings.rounds + 1 if settings.keep == "all" else 1
    return Asked("evolve", examples, settings.max_tokens, settings.rounds, rows=rows, wanted=("evolved",))


EVOLVE = Each(
    name="evolve",
    takes=Instruction,
    gives=Evolved,
    settings=EvolveSettings,
    columns=("instruction", "round", "heuristic", "parent_instruction"),
    needs=("model",),
    parent="start_instruction_id",
    check=check_evolving,
    decided_by=evolving_facts,
    build=Lineage,
    asks=lambda context: [asked_for_tasks(context)],
)
