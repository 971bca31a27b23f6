"""New verdicts take the place of a stage's old ones; no row is made, none is lost, all ids stay.

The new rows are written whole beside the old ones, which then move to superseded/. A kill leaves the one or the other
under the stage's name, or for a moment the new ones beside it, which the next writer puts in place.
"""

from __future__ import annotations

import os
import shutil
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
    lacking = set(describe_rows(step).fields) - set(stored.description.fields) - set(STORED_VERDICT)
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


def replace_verdicts(
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
    for pair in stored.shards.outcomes_by_pair([*fresh.description.fields, "parent", "reason", "detail"]):
        rows = [_judge_row(row, row[step.parent] if kept else row["parent"], kind, verdicts) for kept, row in pair]
        fresh.shards.write(
            [row for row in rows if not isinstance(row, Dropped)], [row for row in rows if isinstance(row, Dropped)]
        )
    books = Books(stored.books().entered, *fresh.shards.counts())
    fresh.finish(decision.decided_by, books)
    fresh.note_rejudged(mark)
    supersede(stored.path)
    os.rename(path, stored.path)


def _judge_row(row: dict[str, Any], parent: str, kind: type[Row], verdicts: Recall[Judged]) -> Row | Dropped:
    """The row with its new verdict, kept or dropped by it; a row that has no program as it was."""
    reason, detail = row.pop("reason", ""), row.pop("detail", "")
    row.pop("parent", None)
    if not has_program(row):
        return Dropped(parent=parent, reason=reason, detail=detail, row=row)
    found = verdicts.outcome(row["response_id"])
    judged = found[0] if found else None
    assert isinstance(judged, Judged), "every answer with a program has been judged"
    row |= judged.verdict()
    if judged.status == Status.PASSED:
        return kind(**{name: row[name] for name in kind.field_names()})
    return Dropped(parent=parent, reason=judged.status, detail=judged.message, row=row)


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
