"""Which answer to an instruction becomes its row, where it need not be one that passed its tests.

The answer is drawn before rows are compared, from all answers that could be read: those that passed and those that did
not. So one set of answers serves several data sets whose only difference is this choice.

    random             the answer of the lowest sample: as good as any, since the samples are drawn alike
    failed             one that did not pass, the first by id; instructions without one give no row
    passed_else_any    one that passed, the first by id; where none did, one that did not

Of those that may be drawn alike, an answer that a person has marked to be kept comes before the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from selfcodealign.judging.stored import NOT_RUN
from selfcodealign.rows import Response
from selfcodealign.sandbox import Status
from selfcodealign.settings import Recipe, SelectionSettings
from selfcodealign.stages.context import Context, Place

#: The reasons for which an answer is dropped after it was read and judged.
NOT_PASSED = tuple(str(status) for status in Status if status not in (Status.PASSED, Status.NOT_JUDGED))
#: Why a row goes: its instruction has no answer of the wanted kind.
NONE_FAILED = "no_failing_answer"
#: How the verdict ranks an answer, whether nobody wants it, its number, its id.
_Rank = tuple[int, bool, int, str]


def draw_answers(
    rows: Callable[[], Iterable[Response]], answers: str, wanted: Callable[[Response], bool] = lambda row: False
) -> dict[str, str]:
    """Return the id of the drawn answer by the id of its instruction; those that are `wanted` come first."""
    best: dict[str, tuple[_Rank, str]] = {}
    for row in rows():
        rank = _rank(row, answers, wanted(row))
        if rank is not None and (row.instruction_id not in best or rank < best[row.instruction_id][0]):
            best[row.instruction_id] = rank, row.id
    return {instruction: row_id for instruction, (_, row_id) in best.items()}


def _rank(row: Response, answers: str, wanted: bool) -> _Rank | None:
    """The smallest of an instruction is drawn; None: never."""
    if answers == "random":
        return 0, not wanted, row.sample, row.id
    if answers == "failed":
        return None if row.status in (Status.PASSED, NOT_RUN) else (0, not wanted, 0, row.id)
    return int(row.status != Status.PASSED), not wanted, 0, row.id


def check_answers(context: Context) -> Iterator[str]:
    """What would make the choice another one than its name says, one sentence each."""
    wanted = context.recipe.selection
    if wanted.answers == "passed":
        return
    asked = f'selection.answers = "{wanted.answers}"'
    yield from _check_place(context, asked)
    yield from _check_filters(wanted, asked)
    if "responses" in context.places:
        yield from _check_draws(context.recipe, asked)


def _check_place(context: Context, asked: str) -> Iterator[str]:
    names = list(context.places)
    after = context.places["selection"].after
    if after is not None and not _makes_answers(context.places[after]):
        maker = next((name for name in reversed(names) if _makes_answers(context.places[name])), "responses")
        yield (
            f"{asked} takes failing answers from {maker}, and the stage {after} between has not looked at them: leave "
            f"it out (--without {after})"
        )


def _makes_answers(place: Place) -> bool:
    given, gives = place.given, place.gives
    makes = gives is not None and gives.id_field == Response.id_field
    return makes and (given is None or given.id_field != Response.id_field)


def _check_filters(wanted: SelectionSettings, asked: str) -> Iterator[str]:
    if wanted.choose == "agreement":
        yield f'{asked} draws the answer itself: set selection.choose = "random"'
    if wanted.answers != "failed":
        return
    if wanted.proof == "split":
        yield f'{asked} takes answers that prove nothing: set selection.proof = "any"'
    if wanted.min_mutation_score:
        yield f"{asked} takes answers whose tests were run on no mutant: set selection.min_mutation_score = 0"


def _check_draws(recipe: Recipe, asked: str) -> Iterator[str]:
    settings, answers = recipe.responses, recipe.selection.answers
    if answers == "failed" and settings.stop_after_passes:
        yield (
            f"{asked} needs every sample: with responses.stop_after_passes = {settings.stop_after_passes} hard "
            "instructions have more failing answers than easy ones; set responses.stop_after_passes = 0"
        )
    if answers == "passed_else_any" and settings.give_up:
        yield (
            f"{asked} would take failing answers of instructions that responses.give_up left early: set "
            "responses.give_up = 0"
        )
