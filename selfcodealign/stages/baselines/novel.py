"""Instruction → instruction: a task stays if it is not close to a seed task, or to one that was kept before it.

This is the filter of Self-Instruct (Wang et al. 2023): the highest ROUGE-L F to all of them is at most `novel.rouge`.
Seed tasks are the instructions of the few-shot file. Rows come in the order of their ids, so which of two close ones
stays depends on no run. A drop is `near_seed_task` or `near_task`; its detail names the nearest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from selfcodealign.baseline_settings import NovelSettings
from selfcodealign.curation.rouge import KeptTexts
from selfcodealign.errors import FewShotError
from selfcodealign.rows import Dropped, Instruction, digest
from selfcodealign.stages import Rows, Whole
from selfcodealign.stages.context import Context
from selfcodealign.stages.watch import Watch


def _seed_tasks(context: Context) -> list[str]:
    return [example.instruction for example in context.few_shot.examples]


def _decide(context: Context, rows: Rows) -> Iterator[Instruction | Dropped]:
    kept = KeptTexts(context.recipe.novel.rouge)
    seed_tasks = {f"seed task {number}": text for number, text in enumerate(_seed_tasks(context), 1)}
    for name, text in seed_tasks.items():
        kept.add(name, text)
    after = context.places["novel"].after
    before = context.folder.look_at(after) if after else None
    watch = Watch(context, "novel", before.books().kept if before else None)
    for number, row in enumerate(rows()):
        watch("comparing", number, None)
        near = kept.find_near(row.instruction)
        if near is None:
            kept.add(row.id, row.instruction)
            yield row
        else:
            reason = "near_seed_task" if near.name in seed_tasks else "near_task"
            yield Dropped(parent=row.id, reason=reason, detail=f"{near.name} ({near.similarity:.2f})", row=row.fields())
    watch.end()


def _check(context: Context) -> Iterator[str]:
    try:
        _seed_tasks(context)
    except FewShotError as error:
        yield str(error)


def _decided_by(context: Context) -> dict[str, Any]:
    return {**context.deciding("novel"), "seed tasks": digest(*_seed_tasks(context))}


NOVEL = Whole(
    name="novel",
    takes=Instruction,
    gives=Instruction,
    settings=NovelSettings,
    columns=("instruction", "category", "difficulty", "concepts", "function"),
    check=_check,
    decided_by=_decided_by,
    decide=_decide,
)
