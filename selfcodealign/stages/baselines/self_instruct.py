"""Instructions without code: a model is shown a numbered list of tasks and continues it (Self-Instruct).

A list begins with seed tasks, the instructions of the few-shot file, and with tasks that the model has written before
(Wang et al. 2023). One worker takes a lineage through all its rounds with the tasks of that lineage alone, so a row
needs no other lineage. An item of the list that is no new task is dropped:

    truncated, looping    the last item of a list that was cut
    too_short, too_long
    forbidden_word        a word of `self_instruct.forbidden_words`: what a text cannot show
    write_a_program       it begins so
    punctuation           it begins with punctuation, or with a character that is not ASCII
    same_words            those of a seed task, or of an earlier task of the lineage
    only_code, repeated, prompt_markup    as in `instructions`
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from selfcodealign.baseline_settings import SelfInstructSettings
from selfcodealign.curation.rouge import split_words
from selfcodealign.errors import FewShotError, UserError
from selfcodealign.generation.question import find_cut, sample, shorten
from selfcodealign.generation.tasks import find_fault
from selfcodealign.models import Sampling, Unanswered
from selfcodealign.models.usage import Usage
from selfcodealign.rows import Dropped, Instruction, digest, seed_of
from selfcodealign.stages import Asked, Source
from selfcodealign.stages.context import Context
from selfcodealign.stages.without_seed import without_seed

#: What stands above the list.
HEADING = "Tasks for Python programmers. Each is complete in itself, and no two ask for the same:"
#: The name under which the seed tasks are recorded, as a digest.
SEED_TASKS = "seed tasks"
_NUMBER = re.compile(r"\n\s*\d+\s*[.)](?:\s+|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Instruction):
    """A task of a list: the `place`-th (from 1) that the model wrote in a `round` (from 1) of its lineage, `seed_id`.
    `shown_tasks` are the tasks of earlier rounds that the list showed."""

    round: int
    place: int
    shown_tasks: list[str]


@dataclass(frozen=True)
class Lineage:
    """One small pool of tasks; its number is all that tells it from the others."""

    number: int

    @property
    def id(self) -> str:
        return digest("self_instruct", self.number)


class TaskLists:
    """Lays out the lists of tasks."""

    def __init__(self, context: Context) -> None:
        self.settings = context.recipe.self_instruct
        self.seed_tasks = find_seed_tasks(context)
        self._random_seed = context.recipe.random_seed

    def draw_own(self, lineage: str, number: int, own: Sequence[str]) -> list[str]:
        """The tasks of earlier rounds that a round shows."""
        random = self._random(lineage, number, "own tasks")
        return random.sample(own, min(len(own), self.settings.own_examples))

    def lay_out(self, lineage: str, number: int, own: Sequence[str]) -> str:
        """The prompt of a round that shows these tasks of earlier ones."""
        random = self._random(lineage, number, "seed tasks")
        shown = [*random.sample(self.seed_tasks, self.settings.examples), *own]
        random.shuffle(shown)
        items = "\n".join(f"{place}. {task}" for place, task in enumerate(shown, 1))
        return f"{HEADING}\n\n{items}\n{len(shown) + 1}."

    def sampling(self, own: Sequence[str]) -> Sampling:
        """How a list is continued: up to an empty line, or the number behind the last wanted one."""
        settings = self.settings
        behind = settings.examples + len(own) + settings.tasks + 1
        stops = ("\n\n", f"\n{behind}.")
        return Sampling(settings.temperature, settings.top_p, settings.max_tokens, stops, True)

    def _random(self, lineage: str, number: int, purpose: str) -> Random:
        return Random(seed_of(digest(self._random_seed, lineage, number), purpose))


class ListWriter:
    """Takes a lineage through its rounds."""

    def __init__(self, context: Context) -> None:
        self._lists = TaskLists(context)
        self._settings = settings = context.recipe.self_instruct
        self._seed = context.recipe.random_seed
        self._model = context.model_of("self_instruct")
        self._usage = context.asked.setdefault("self_instruct", Usage())
        identity = self._model.identity()
        self._origin = identity["name"]
        self._digest = digest(
            settings.result_digest(),
            identity["name"],
            identity["revision"],
            HEADING,
            self._lists.seed_tasks,
            self._seed,
        )

    async def __call__(self, lineage: Lineage) -> list[Listed | Dropped]:
        found: list[Listed | Dropped] = []
        own: list[str] = []
        known = {_squeeze(task) for task in self._lists.seed_tasks}
        for number in range(1, self._settings.rounds + 1):
            for one in await self._write(lineage, number, self._lists.draw_own(lineage.id, number, own), known):
                found.append(one)
                if isinstance(one, Listed):
                    own.append(one.instruction)
        return found

    async def _write(self, lineage: Lineage, number: int, shown: list[str], known: set[str]) -> list[Listed | Dropped]:
        """The items of one list; `known` are the words of the tasks before, and those of the kept ones come in."""
        try:
            prompt, sampling = self._lists.lay_out(lineage.id, number, shown), self._lists.sampling(shown)
            seed = seed_of(digest(self._seed, lineage.id, number), "self_instruct")
            completion = await sample(self._model, prompt, sampling, seed, self._usage)
        except Unanswered as error:
            return [Dropped(parent=lineage.id, reason=error.reason, detail=str(error), row={"seed_id": lineage.id})]
        items, cut = split_list(completion.text), find_cut(completion)
        found: list[Listed | Dropped] = []
        for place, text in enumerate(items[: self._settings.tasks], 1):
            row = without_seed(
                Listed,
                seed_id=lineage.id,
                origin=self._origin,
                instruction_id=digest(lineage.id, self._digest, number, place),
                instruction=text,
                round=number,
                place=place,
                shown_tasks=shown,
            )
            if cut and place == len(items):
                fault: tuple[str, str] | None = cut, shorten(text)
            else:
                fault = find_list_fault(text, self._settings)
                if fault is None and _squeeze(text) in known:
                    fault = "same_words", shorten(text)
            if fault is None:
                known.add(_squeeze(text))
                found.append(row)
            else:
                found.append(Dropped(parent=lineage.id, reason=fault[0], detail=fault[1], row=row.fields()))
        return found


def split_list(text: str) -> list[str]:
    """The items of a list that goes on behind a number, each in one line.

    >>> split_list(" Sort a list.\\n10. Reverse\\n a text.\\n11.")
    ['Sort a list.', 'Reverse a text.', '']
    """
    return [" ".join(item.split()) for item in _NUMBER.split(text)]


def find_list_fault(text: str, settings: SelfInstructSettings) -> tuple[str, str] | None:
    """Reason and detail for an item that is no task for a model of texts; None for any other."""
    words = len(text.split())
    if words < settings.min_words:
        return "too_short", text
    if words > settings.max_words:
        return "too_long", f"{words} words"
    for word in settings.forbidden_words:
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE):
            return "forbidden_word", word
    if settings.drop_programs and text.lower().startswith("write a program"):
        return "write_a_program", text[:100]
    if not re.match(r"[A-Za-z0-9]", text):
        return "punctuation", text[:100]
    return find_fault(text)


def find_seed_tasks(context: Context) -> list[str]:
    """The instructions of the few-shot file that are no longer than a task may be, each in one line. Raises
    `FewShotError`."""
    tasks = [" ".join(example.instruction.split()) for example in context.few_shot.examples]
    return [task for task in tasks if len(task.split()) <= context.recipe.self_instruct.max_words]


def lay_out_list(context: Context, row: Mapping[str, Any]) -> str:
    """The prompt that a stored row was written behind."""
    return TaskLists(context).lay_out(row["seed_id"], row["round"], row["shown_tasks"])


def has_other_tasks(context: Context) -> bool:
    """Whether the seed tasks are no longer those of the run."""
    stored = context.folder.look_at("self_instruct")
    known = stored.decided_by.get(SEED_TASKS) if stored is not None else None
    return known is not None and known != _name(find_seed_tasks(context))


def _name(tasks: Sequence[str]) -> str:
    return digest(*tasks)


def _squeeze(text: str) -> str:
    return " ".join(split_words(text))


def _check(context: Context) -> Iterable[str | UserError]:
    wanted, model = context.recipe.self_instruct, context.model_settings("self_instruct")
    section = context.model_section("self_instruct")
    if model.api == "chat":
        yield f'self_instruct continues a list, which a chat model answers instead: set {section}.api = "completions"'
    try:
        seed_tasks = find_seed_tasks(context)
    except FewShotError as error:
        yield error
        return
    if len(seed_tasks) < wanted.examples:
        yield (
            f"self_instruct.examples = {wanted.examples}, and {context.recipe.few_shot.file} has {len(seed_tasks)} "
            f'instructions of at most {wanted.max_words} words: lower it, add "## Example: name" sections, or raise '
            "self_instruct.max_words"
        )


def _decided_by(context: Context) -> dict[str, Any]:
    return {
        **context.deciding("self_instruct"),
        **context.asking_model("self_instruct"),
        SEED_TASKS: _name(find_seed_tasks(context)),
    }


def _asks(context: Context) -> Iterable[Asked]:
    lists, settings = TaskLists(context), context.recipe.self_instruct
    seed_tasks, rows = lists.seed_tasks, settings.rounds * settings.tasks
    own = [seed_tasks[number % len(seed_tasks)] for number in range(settings.own_examples)]
    written = [seed_tasks[number % len(seed_tasks)] for number in range(settings.tasks)]
    sample = lists.lay_out("forecast", 1, own), "\n".join(f"10. {task}" for task in written)
    return [Asked("", 0, settings.max_tokens, settings.rounds, rows=rows, sample=sample)]


def _read(context: Context) -> Iterator[Lineage]:
    return map(Lineage, range(context.recipe.self_instruct.lineages))


SELF_INSTRUCT = Source(
    name="self_instruct",
    gives=Listed,
    settings=SelfInstructSettings,
    columns=("instruction", "round", "place"),
    needs=("model",),
    check=_check,
    decided_by=_decided_by,
    read=_read,
    parent="seed_id",
    build=ListWriter,
    asks=_asks,
)
