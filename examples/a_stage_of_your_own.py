"""A stage of your own: tasks with too many words go no further, and the others carry their number of words on.

    selfcodealign run quickstart --with examples/a_stage_of_your_own.py:SHORT_TASKS --set own.short_tasks.max_words=40

`--with` puts it as late as its rows are still what it takes: behind `distinct`, before `responses` pays for answers. A
recipe names it in its journey:

    journey = ["seeds", "near_dedup", "concepts", "instructions", "examples/a_stage_of_your_own.py:SHORT_TASKS",
               "responses", "selection", "dataset"]

    [own.short_tasks]
    max_words = 40

Its rows, its drops with their reasons, resuming and `selfcodealign show` come with it: a stage is this file, and one
line in a recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from selfcodealign.rows import Dropped, Instruction, grow
from selfcodealign.settings import Section
from selfcodealign.stages import Each
from selfcodealign.stages.context import Context


class ShortTaskSettings(Section):
    """[own.short_tasks]: a wrong value or key is refused like one of the package's own sections."""

    max_words: int = Field(60, ge=1, description="most words of a task")


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedTask(Instruction):
    """An instruction that knows how long it is; all later rows have the field, too."""

    words: int


class KeepShortTasks:
    """The worker: built from a context alone, called once per row, several calls at a time."""

    def __init__(self, context: Context) -> None:
        settings: ShortTaskSettings = context.section("short_tasks")
        self.max_words = settings.max_words

    async def __call__(self, row: Instruction) -> Sequence[CountedTask | Dropped]:
        words = len(row.instruction.split())
        if words > self.max_words:
            return [Dropped(parent=row.id, reason="long_task", detail=f"{words} words", row=row.fields())]
        return [grow(row, CountedTask, words=words)]


SHORT_TASKS = Each(
    name="short_tasks",
    takes=Instruction,
    gives=CountedTask,
    settings=ShortTaskSettings,
    decided_by=lambda context: context.deciding("short_tasks"),
    build=KeepShortTasks,
)
