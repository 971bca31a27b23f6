"""Instructions without seeds: a tuned model is shown its chat template up to where the user's text begins, and goes on.

This is how Magpie makes instructions (Xu et al. 2024). The draws differ in their seeds alone. A text that could never
become an example is dropped: `empty`, `too_short`, `template_markup`, `broken_start` (it begins with punctuation),
`open_fence` (code that is not closed or was not opened), `open_end` (what follows a colon is missing), and what
`find_fault` finds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from selfcodealign.baseline_settings import PrequerySettings
from selfcodealign.errors import UserError
from selfcodealign.generation.question import find_cut, sample, shorten
from selfcodealign.generation.tasks import find_fault
from selfcodealign.models import Sampling, Unanswered
from selfcodealign.models.usage import Usage
from selfcodealign.models.user_turn import UserTurn, open_user_turn
from selfcodealign.rows import Dropped, Instruction, digest, seed_of
from selfcodealign.stages import Source
from selfcodealign.stages.context import Context
from selfcodealign.stages.without_seed import without_seed


@dataclass(frozen=True)
class Draw:
    """One draw; its number is all that tells it from the others."""

    number: int

    @property
    def id(self) -> str:
        return digest("prequery", self.number)


class UserWriter:
    """Draws one user's turn at a time."""

    def __init__(self, context: Context) -> None:
        self._settings = settings = context.recipe.prequery
        self._seed = context.recipe.random_seed
        self._model = context.model_of("prequery")
        self._usage = context.asked.setdefault("prequery", Usage())
        turn = _open_turn(context)
        assert turn is not None, "checked before the run"
        self._turn = turn
        self._sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, turn.stops, True)
        identity = self._model.identity()
        self._origin = identity["name"]
        self._digest = digest(
            settings.result_digest(), identity["name"], identity["revision"], turn.beginning, turn.stops, self._seed
        )

    async def __call__(self, draw: Draw) -> list[Instruction | Dropped]:
        try:
            seed = seed_of(digest(self._seed, draw.id), "prequery")
            completion = await sample(self._model, self._turn.beginning, self._sampling, seed, self._usage)
        except Unanswered as error:
            return [Dropped(parent=draw.id, reason=error.reason, detail=str(error), row={"seed_id": draw.id})]
        text, cut = completion.text.strip(), find_cut(completion)
        row = without_seed(
            Instruction,
            seed_id=draw.id,
            origin=self._origin,
            instruction_id=digest(draw.id, self._digest),
            instruction=text,
        )
        fault = (cut, shorten(text)) if cut else find_user_fault(text, self._turn, self._settings.min_words)
        return [Dropped(parent=draw.id, reason=fault[0], detail=fault[1], row=row.fields()) if fault else row]


def find_user_fault(text: str, turn: UserTurn, min_words: int) -> tuple[str, str] | None:
    """Reason and detail for a text that is no instruction, or not a whole one; None for any other."""
    if not text:
        return "empty", "the model ended the turn at once"
    if markup := next((one for one in (*turn.stops, "<|", "###") if one in text), ""):
        return "template_markup", markup
    if len(text.split()) < min_words:
        return "too_short", text
    if not re.match(r"[\w\"'`*#@]", text):
        return "broken_start", text[:100]
    if len(re.findall(r"^[ \t]*```", text, re.MULTILINE)) % 2:
        return "open_fence", text[-100:]
    if text.endswith(":"):
        return "open_end", text[-100:]
    return find_fault(text)


def _open_turn(context: Context) -> UserTurn | None:
    wanted, model = context.recipe.prequery, context.model_settings("prequery")
    own = not wanted.template
    return open_user_turn(wanted.template or model.name, model.revision if own else None, wanted.system)


def _check(context: Context) -> Iterable[str | UserError]:
    wanted, model = context.recipe.prequery, context.model_settings("prequery")
    section = context.model_section("prequery")
    if model.api == "chat":
        yield (
            f"prequery continues the beginning of a chat template, which chat servers write themselves: set "
            f'{section}.api = "completions"'
        )
        return
    try:
        turn = _open_turn(context)
    except UserError as error:
        yield error
        return
    if turn is None:
        whose = wanted.template or model.name
        yield (
            f"prequery needs a tuned model, and {whose} has no chat template: set {section}.name to one, such as the "
            f"folder RUN/tuned of a finished run, or prequery.template to whose template the model was tuned with "
            '("plain", a folder, a hub name)'
        )


def _decided_by(context: Context) -> dict[str, Any]:
    return {**context.deciding("prequery"), **context.asking_model("prequery")}


def _read(context: Context) -> Iterator[Draw]:
    return map(Draw, range(context.recipe.prequery.draws))


PREQUERY = Source(
    name="prequery",
    gives=Instruction,
    settings=PrequerySettings,
    columns=("instruction", "category", "difficulty", "language"),
    needs=("model",),
    check=_check,
    decided_by=_decided_by,
    read=_read,
    parent="seed_id",
    build=UserWriter,
)
