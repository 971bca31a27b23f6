"""`--shard i/n`: one of several processes takes its rows through the next flow, on any machine that sees the folder.

The first shard to come finds itself alone and begins the flow; the others join it. A run without `--shard`, or
`--shard merge`, completes the flow when they have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from selfcodealign.engine import divided, local
from selfcodealign.engine.gate import Gate
from selfcodealign.engine.gather import ended, gather
from selfcodealign.errors import RunFolderError
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.run_folder.partition import Partition
from selfcodealign.run_folder.writers import DIVIDED, ENDED, GONE, WriterFolder
from selfcodealign.stages.checks import prepare
from selfcodealign.stages.context import Context
from selfcodealign.stages.journey import Step
from selfcodealign.stages.plan import Action, Decision, list_lost, plan

#: Seconds between two looks whether another shard has let this one in.
LOOK_SECONDS = 0.1

#: Says in the run folder what the run is, and what it is about to do.
Record = Callable[[Sequence[Decision]], None]


def writer_of(part: Partition) -> str:
    """The name under which a shard writes; no name is the beginning of another one and a hyphen."""
    return f"p{part.number}"


async def take_shard(
    context: Context,
    steps: Sequence[Step],
    part: Partition,
    replace: bool,
    record: Record,
) -> str:
    """Take the rows of `part` through the next flow; return what came of it, in one line.

    `context.folder` is the `WriterFolder` of this shard. With `replace`, a shard that is alone moves rows of other
    settings to superseded/.
    """
    folder = context.folder
    assert isinstance(folder, WriterFolder)
    try:
        await _enter(context, folder)
        if folder.alone:
            flow = await _begin(context, folder, steps, part, replace, record)
        else:
            folder.end_turn()
            flow = divided.next_part(await _check_next(context, steps))
            _check_joined(folder, flow, part)
        if told := _nothing_to_do(folder, flow, part):
            return told
        context.progress.reach([one.step.name for one in flow])
        await local.each(context, flow, part=part)
        folder.record({ENDED: [[part.number, part.of]]})
        return f"shard {part} of {divided.name_flow(flow)} has ended; when all have, go on with --shard merge"
    finally:
        folder.leave()


async def _enter(context: Context, folder: WriterFolder) -> None:
    with context.progress.waiting("waiting for the shard that prepares the run folder"):
        while not folder.take_turn():
            await asyncio.sleep(LOOK_SECONDS)
    folder.enter()
    if folder.alone:
        folder.complete_renames()
        gather(RunFolder(folder.path))
    folder.own.mkdir(parents=True, exist_ok=True)
    folder.record({ENDED: [], GONE: {}})


async def _begin(
    context: Context,
    folder: WriterFolder,
    steps: Sequence[Step],
    part: Partition,
    replace: bool,
    record: Record,
) -> list[Decision]:
    """Prepare the next flow, alone, and let other shards in."""
    decisions = await _check_next(context, steps)
    flow = divided.next_part(decisions)
    if divided.is_flow(flow):
        if not replace:
            divided.refuse_changes(folder, flow)
            if lost := list_lost(flow):
                raise RunFolderError(
                    f"{folder.path} holds finished work of a model that would move to superseded/: {lost}. Give the "
                    "settings of that run again, or --yes to go on without that work"
                )
        record(decisions)
        await divided.begin(context, flow, part.of)
        flow = divided.next_part(plan(context, steps))
    folder.share()
    folder.end_turn()
    return flow


async def _check_next(context: Context, steps: Sequence[Step]) -> list[Decision]:
    """Check what the next flow needs, and decide about all stages: other machines may work on the later ones."""
    decisions = plan(context, steps)
    if divided.is_flow(flow := divided.next_part(decisions)):
        await prepare(context, steps[: steps.index(flow[-1].step) + 1])
    return decisions


def _check_joined(folder: WriterFolder, flow: Sequence[Decision], part: Partition) -> None:
    """Raise `RunFolderError` unless this shard does what those at work do."""
    facts = folder.facts().get(DIVIDED, {})
    if facts and facts["of"] != part.of:
        raise RunFolderError(
            f"{folder.path} is divided into {facts['of']} shards that are at work, and this is shard {part}: give "
            f"i/{facts['of']}, or wait for them"
        )
    if not facts or not divided.is_flow(flow):
        return
    divided.refuse_changes(folder, flow)
    if not divided.divided(folder, flow) or any(one.action is not Action.RESUME for one in flow):
        raise RunFolderError(
            f"the shards at work on {folder.path} take {', '.join(facts['stages'])}, and this one would take "
            f"{', '.join(one.step.name for one in flow)}: give the same recipe and --until, or wait for them"
        )


def _nothing_to_do(folder: WriterFolder, flow: Sequence[Decision], part: Partition) -> str:
    """Why this shard has nothing to do; empty if it has."""
    if not flow:
        return "nothing is left for shards: all stages are complete"
    if not divided.is_flow(flow):
        return f"nothing for shards to do: {flow[0].step.name} needs all rows together; go on with --shard merge"
    if part.number in ended(folder) and folder.facts()[DIVIDED]["of"] == part.of:
        return f"shard {part} of {divided.name_flow(flow)} has ended before; when all have, go on with --shard merge"
    return ""


async def merge(context: Context, steps: Sequence[Step]) -> tuple[list[Decision], str]:
    """Complete the divided flow; return the decisions about the stages up to the next flow, and what comes then.

    The caller has the folder's lock alone. Raises `RunFolderError` while rows of shards are missing.
    """
    gather(context.folder)
    flow = divided.next_part(plan(context, steps))
    if divided.is_flow(flow) and divided.divided(context.folder, flow):
        _complete(context, flow)
    decisions = plan(context, steps)
    working = [place for place, one in enumerate(decisions) if one.action is not Action.REST]
    flows = [place for place in working if divided.is_flow([decisions[place]])]
    upto = flows[0] if flows else len(steps)
    if not working or upto == working[0]:
        return [], _tell_next(decisions[upto:])
    return await prepare(context, steps[:upto]), _tell_next(decisions[upto:])


def _complete(context: Context, flow: Sequence[Decision]) -> None:
    folder = context.folder
    missing = divided.tell_missing(folder) if len(ended(folder)) < folder.facts()[DIVIDED]["of"] else ""
    lost = divided.complete(context, flow)
    if lost == 0:
        return
    count = f"{lost:,} rows" if lost else "rows"
    if not missing:
        divided.begin_again(folder)
    raise RunFolderError(
        f"{divided.name_flow(flow)}: {count} of {missing or 'the shards'} are missing; start "
        f"{'these' if missing else 'all'} again, or leave out --shard to work on the rows here"
    )


def _tell_next(decisions: Sequence[Decision]) -> str:
    flow = divided.next_part(decisions)
    return f"next: {divided.name_flow(flow)}, by shards (--shard i/n) or here (without --shard)" if flow else ""


async def each_here(context: Context, part: Sequence[Decision], gate: Gate | None = None) -> None:
    """Take all rows through a flow in this process, after the shards that have begun it."""
    if not _continue_here(context, part):
        await local.each(context, part, gate)


def _continue_here(context: Context, part: Sequence[Decision]) -> bool:
    """Complete a flow that shards have begun, in a run of one process; whether nothing of it is left to do."""
    folder = context.folder
    if not divided.divided(folder, part) or any(one.action is not Action.RESUME for one in part):
        divided.forget(folder)
        return False
    missing = divided.tell_missing(folder) if len(ended(folder)) < folder.facts()[DIVIDED]["of"] else ""
    if divided.complete(context, part) == 0:
        return True
    if missing:
        context.progress.say(f"{missing} of {divided.name_flow(part)} did not end: the other rows are worked on here")
    divided.forget(folder)
    return False
