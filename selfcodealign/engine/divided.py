"""A flow whose rows several processes divide among them: begun once, worked on by partitions, completed once.

    begin      one process alone: rows of other settings move away, the stages are described, the models are known
    each       any processes at once, `local.each` with a partition
    complete   one process alone: checks that no row lacks an outcome, and writes the books

The rows are those of a run by one process, in whatever number of partitions, since ids and draws depend on no order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from selfcodealign.engine import local
from selfcodealign.engine.gather import ended
from selfcodealign.errors import RunFolderError
from selfcodealign.rows import Books
from selfcodealign.run_folder.folder import COUNTED, COUNTED_ANSWERS, RunFolder, StageFolder
from selfcodealign.run_folder.journal import Journal
from selfcodealign.run_folder.writers import DIVIDED, ENDED
from selfcodealign.stages import Each, Source
from selfcodealign.stages.context import Context
from selfcodealign.stages.plan import Action, Decision, describe_rows, parts


def next_part(decisions: Sequence[Decision]) -> list[Decision]:
    """What a run would do first: a flow, or one stage that is not row-wise; empty when all is done."""
    return next(parts([one for one in decisions if one.action is not Action.REST]), [])


def is_flow(part: Sequence[Decision]) -> bool:
    """Whether these are stages that look at one row at a time."""
    return bool(part) and isinstance(part[0].step.stage, Each)


def name_flow(part: Sequence[Decision]) -> str:
    """The stages of a flow in words."""
    names = [one.step.name for one in part]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


async def begin(context: Context, flow: Sequence[Decision], of: int, *, models: bool = True) -> None:
    """Prepare the folder for the partitions of a flow; the caller has it alone. `models`: open and record them."""
    again = {one.step.name for one in flow if one.action is Action.START_AGAIN}
    for one in flow:
        local.open_stage(context, one).begin(one.decided_by)
    whole = RunFolder(context.folder.path)
    counted = {stage: counts for stage, counts in whole.facts().get(COUNTED, {}).items() if stage not in again}
    names, before = [one.step.name for one in flow], whole.facts().get(DIVIDED, {})
    same = before.get("of") == of and before.get("stages") == names and not again
    whole.record({COUNTED: counted, DIVIDED: {"of": of, "stages": names, ENDED: before[ENDED] if same else {}}})
    asking = [one.step.name for one in flow if "model" in one.step.stage.needs]
    if asking and models:
        await context.open_models(asking)
    for one in flow:
        stage = one.step.stage
        assert isinstance(stage, Each)
        stage.build(context)  # what it keeps in the folder is there before partitions begin


def complete(context: Context, flow: Sequence[Decision]) -> int | None:
    """Complete the stages of a divided flow; return how many rows lack an outcome, None where that is not known.

    Stages whose rows are all there are complete after the call, whatever the later ones lack. No model is opened.
    """
    through = ended(context.folder)
    of = context.folder.facts()[DIVIDED]["of"]
    before: StageFolder[Any] | None = None
    for one in flow:
        place, kind = one.step.place, one.step.place.gives
        assert kind is not None
        folder = context.folder.stage(one.step.name, describe_rows(one.step), kind)
        left = folder.shards.parents()
        if before is not None:
            came = before.shards.row_ids()
        elif isinstance(one.step.stage, Source):
            if len(through) < of:  # only those who have read the sources know their rows
                return None
            came = np.setdiff1d(left, _numbers(through, one.step.name))
        else:
            assert place.after is not None
            assert place.given is not None
            came = context.folder.open(place.after, place.given).shards.row_ids()
        if lost := len(np.setdiff1d(came, left)):
            return lost
        context.progress.start(one.step.name, len(came))
        context.progress.skip(one.step.name, len(came))
        if len(np.setdiff1d(left, came)):
            folder.retire_strangers(came)
            left = folder.shards.parents()
        books = Books(len(left), *folder.shards.counts())
        folder.finish(one.decided_by, books)
        context.progress.finish(one.step.name, folder.summary(books))
        before = folder
    _forget(context, flow)
    return 0


def tell_missing(folder: RunFolder) -> str:
    """Which shards of a divided flow are not through, in words."""
    of, through = folder.facts()[DIVIDED]["of"], ended(folder)
    missing = [number for number in range(of) if number not in through]
    shown = ", ".join(f"{number}/{of}" for number in missing[:5])
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return f"shards {shown}{more}" if len(missing) > 1 else f"shard {shown}"


def divided(folder: RunFolder, part: Sequence[Decision]) -> bool:
    """Whether partitions of this very flow have been begun."""
    return folder.facts().get(DIVIDED, {}).get("stages") == [one.step.name for one in part]


def forget(folder: RunFolder) -> None:
    """The divided flow is complete."""
    if folder.facts().get(DIVIDED):
        folder.record({DIVIDED: {}})


def begin_again(folder: RunFolder) -> None:
    """Rows lack an outcome although every partition was through: all are to be looked at again."""
    folder.record({DIVIDED: folder.facts()[DIVIDED] | {ENDED: {}}})


def refuse_changes(folder: RunFolder, flow: Sequence[Decision]) -> None:
    """Raise `RunFolderError` where shards of a flow that other shards have begun would have other settings."""
    if not divided(folder, flow):
        return
    for one in flow:
        if one.action is Action.START_AGAIN:
            raise RunFolderError(
                f"other shards work on {folder.path} with other settings ({one.sentence}): give the same ones; --yes "
                "on a shard that runs alone begins the stage again"
            )


def _forget(context: Context, flow: Sequence[Decision]) -> None:
    """Drop what was kept for the rows of a flow that is complete."""
    forget(context.folder)
    journal = Journal(context.folder.journal_folder)
    journal.open(context.folder.facts().get(COUNTED_ANSWERS, (0, 0)))
    for one in flow:
        journal.finish(one.step.name)
    journal.close()


def _numbers(through: Mapping[int, Mapping[str, list[str]]], stage: str) -> np.ndarray:
    gone = [one for by_stage in through.values() for one in by_stage.get(stage, ())]
    return np.array([int(one, 16) for one in gone], np.uint64)
