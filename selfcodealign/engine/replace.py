"""New verdicts take the place of a stage's old ones; no row is made, none is lost, all ids stay.

The new rows are written whole beside the old ones, which then move to superseded/. A kill leaves the one or the other
under the stage's name, or for a moment the new ones beside it, which the next writer puts in place.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfcodealign.errors import RunFolderError
from selfcodealign.judging.stored import STORED_VERDICT, Judged, has_program
from selfcodealign.rows import Books, Dropped, Row
from selfcodealign.run_folder.folder import EARLIER, StageFolder, supersede
from selfcodealign.run_folder.recall import Recall
from selfcodealign.sandbox import Status
from selfcodealign.stages import Each, Last, Whole
from selfcodealign.stages.context import Context
from selfcodealign.stages.journey import Step
from selfcodealign.stages.plan import Action, Decision, describe_rows, explain_other_changes
from selfcodealign.stages.siblings import measure, unmeasured

#: The name under which progress of the matrix of siblings is told.
SIBLINGS = "siblings"


def check_replaceable(run: Path, stored: StageFolder[Any], step: Step, decisions: Sequence[Decision]) -> None:
    """Raise `RunFolderError` unless a run would find everything finished up to the stage of the answers, once they are
    judged again; `decisions` are those of a run under the new settings, of all stages."""
    names = [one.step.name for one in decisions]
    place = names.index(step.name)
    resume = f"selfcodealign run -o {run}"
    for one in decisions[:place]:
        if one.action is not Action.REST:
            raise RunFolderError(f"--apply needs finished stages ({one.sentence}): finish them first with {resume}")
    if not stored.finished or not stored.intact or stored.earlier:
        raise RunFolderError(f"--apply needs a finished stage {step.name}: finish it first with {resume}")
    if other := explain_other_changes(stored, decisions[place].decided_by, "execution"):
        raise RunFolderError(
            f"--apply cannot help: a run would ask the model for {step.name} again, because {other}; leave --apply out "
            "to judge alone"
        )
    lacking = set(describe_rows(step).fields) - set(stored.description.fields) - {*STORED_VERDICT, *unmeasured()}
    if lacking:
        raise RunFolderError(
            f"--apply cannot fill the fields {', '.join(sorted(lacking))}, which rows of that version lack; leave "
            "--apply out to judge alone"
        )
    for one in decisions[place + 1 :]:
        if isinstance(one.step.stage, Each) and "model" in one.step.stage.needs:
            raise RunFolderError(
                f"--apply would have the model asked again: its stage {one.step.name} works on judged answers; leave "
                "--apply out to judge alone"
            )


async def replace_verdicts(
    context: Context,
    stored: StageFolder[Any],
    decisions: Sequence[Decision],
    table: StageFolder[Judged],
    mark: Mapping[str, Any],
) -> None:
    """Put the stage with the verdicts of `table` in place; the run folder is locked.

    `decisions` are those of a run, of the stage and of all that follow it; these are noted as older first. `mark` says
    in stage.json what judged the rows again.
    """
    decision, *following = decisions
    _leave_behind(context, following)
    step, kind = decision.step, decision.step.place.gives
    assert kind is not None
    path = stored.path.with_name(f".{stored.name}.new")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    fresh: StageFolder[Any] = StageFolder(path, describe_rows(step), kind)
    verdicts: Recall[Judged] = Recall([table], Judged)
    if context.recipe.execution.cross:
        context.progress.start(SIBLINGS, stored.books().entered, "instructions")
    for pair in stored.shards.outcomes_by_pair([*fresh.description.fields, "parent", "reason", "detail"]):
        told = [row | {"parent": row[step.parent] if kept else row["parent"]} for kept, row in pair]
        judged = [_judge_row(row, verdicts) for row in told]
        await _measure_siblings(context, judged)
        rows = [_row_of(row, kind) for row in judged]
        fresh.shards.write(
            [row for row in rows if not isinstance(row, Dropped)], [row for row in rows if isinstance(row, Dropped)]
        )
    if context.recipe.execution.cross:
        context.progress.finish(SIBLINGS, "every answer is run against the tests of its siblings")
    books = Books(stored.books().entered, *fresh.shards.counts())
    fresh.finish(decision.decided_by, books)
    fresh.note_rejudged(mark)
    supersede(stored.path)
    os.rename(path, stored.path)


def _judge_row(row: dict[str, Any], verdicts: Recall[Judged]) -> dict[str, Any]:
    """The row with its new verdict, and with the `reason` of its drop, if it has a program."""
    if not has_program(row):
        return {name: value for name, value in row.items() if name not in unmeasured()}
    found = verdicts.outcome(row["response_id"])
    judged = found[0] if found else None
    assert isinstance(judged, Judged), "every answer with a program has been judged"
    reason = "" if judged.status == Status.PASSED else str(judged.status)
    return row | unmeasured() | judged.verdict() | {"reason": reason, "detail": judged.message}


async def _measure_siblings(context: Context, rows: list[dict[str, Any]]) -> None:
    """Fill in the matrix of siblings, where the settings want it; all answers to an instruction are in one pair."""
    if not context.recipe.execution.cross:
        return
    families: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        families[row["parent"]].append(row)
    for family in families.values():
        family.sort(key=lambda row: row["sample"])
        for row, own in zip(family, await measure(family, context.sandbox.run_against), strict=True):
            row |= own
        context.progress.advance(SIBLINGS)


def _row_of(row: dict[str, Any], kind: type[Row]) -> Row | Dropped:
    parent, reason, detail = (row.pop(name, "") for name in ("parent", "reason", "detail"))
    if reason:
        return Dropped(parent=parent, reason=reason, detail=detail, row=row)
    return kind(**{name: row[name] for name in kind.field_names()})


def _leave_behind(context: Context, following: Sequence[Decision]) -> None:
    """Have the next run make again what is made of these answers, also if this process is killed before it does.

    Rows of stages that look at one row at a time hold its verdict, so they move to superseded/.
    """
    outputs = {one.step.name for one in following if isinstance(one.step.stage, Last)}
    context.folder.record({EARLIER: sorted({*context.folder.earlier(), *outputs})})
    for one in following:
        stage = context.folder.look_at(one.step.name)
        if stage is not None and isinstance(one.step.stage, Whole):
            stage.note_earlier(True)
        elif stage is not None:
            supersede(stage.path)
