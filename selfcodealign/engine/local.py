"""The engine of one machine: takes rows through stages as their decisions say, with asyncio and processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from typing import Any

from selfcodealign.engine.compare import compare
from selfcodealign.engine.flow import RowWork, flow
from selfcodealign.rows import Outcome
from selfcodealign.run_folder.folder import StageFolder, supersede
from selfcodealign.stages import Each, Last, Source, Whole
from selfcodealign.stages.context import Context
from selfcodealign.stages.journey import Step
from selfcodealign.stages.plan import Action, Decision, describe_rows, explain_changes, stored_facts


async def each(context: Context, decisions: Sequence[Decision]) -> None:
    """Take rows through neighbouring stages that look at one row at a time, all of them at once."""
    asking = any("model" in one.step.stage.needs for one in decisions)
    if asking:
        await context.open_model()
    first = decisions[0].step
    with ExitStack() as pools:
        works = []
        for one in decisions:
            stage = one.step.stage
            assert isinstance(stage, Each)
            work: Any = stage.build(context)
            if stage.cpu:
                work = partial(_in_process, pools.enter_context(_processes()), work)
            folder = _open(context, one)
            outside = isinstance(stage, Source)
            works.append(RowWork(folder, work, stage.rows_at_once(context), one.decided_by, outside))
        rows, total = _incoming(context, first)
        await flow(works, rows, total, flush_seconds=context.recipe.flush_seconds, progress=context.progress)
    if asking:
        context.record_model()


async def whole(context: Context, decision: Decision) -> None:
    """Compare all rows of the stage before; they come in the order of their ids, as often as asked for."""
    stage, place = decision.step.stage, decision.step.place
    assert isinstance(stage, Whole)
    assert place.after is not None
    assert place.given is not None
    before = context.folder.open(place.after, place.given)
    with context.folder.connect() as connection:

        def rows() -> Iterator[Any]:
            order = (before.description.row_id, before.description.parent)
            # A second pass may begin before the first has ended, so each has a cursor.
            return before.shards.sorted_rows(connection.cursor(), *order)

        await compare(
            _open(context, decision),
            lambda: stage.decide(context, rows),
            before.books().kept,
            decided_by=decision.decided_by,
            progress=context.progress,
        )


async def last(context: Context, decision: Decision) -> None:
    """Use the finished rows; what an earlier run made of other ones moves to superseded/ first."""
    stage, name = decision.step.stage, decision.step.name
    assert isinstance(stage, Last)
    output = context.folder.path / stage.output
    made_from = dict(stage.made_from(context))
    if output.exists() and not stage.rewritten:
        changes = explain_changes(stored_facts(context, name).get("made_from", {}), made_from)
        if decision.action is Action.START_AGAIN or changes:
            where = supersede(output).relative_to(context.folder.path)
            if decision.action is not Action.START_AGAIN:
                context.progress.say(
                    f"{name}: starts again because {changes}; the earlier {output.name}/ is in {where}"
                )
        elif stage.is_complete(context):
            return
    facts = context.folder.facts().get("last_stages", {})
    made = {"decided_by": decision.decided_by, "made_from": made_from}
    context.folder.record({"last_stages": facts | {name: made}})
    await stage.run(context)


def _open(context: Context, decision: Decision) -> StageFolder[Any]:
    """The stage's folder, its earlier rows moved away when the stage starts again."""
    kind = decision.step.place.gives
    assert kind is not None
    folder = context.folder.stage(decision.step.name, describe_rows(decision.step), kind)
    if decision.action is Action.START_AGAIN and folder.path.exists():
        supersede(folder.path)
    return folder


def _incoming(context: Context, step: Step) -> tuple[Iterable[Any], int | None]:
    """The rows that come into a stage, and how many there are."""
    if isinstance(step.stage, Source):
        return step.stage.read(context), None
    assert step.place.after is not None
    assert step.place.given is not None
    before = context.folder.open(step.place.after, step.place.given)
    return before.shards.rows(), before.books().kept


def _processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(os.cpu_count() or 1, get_context("forkserver"), initializer=_ignore_interrupts)


def _ignore_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; the pool's are told by the main one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_process(pool: ProcessPoolExecutor, work: Callable[[Any], Outcome[Any]], row: Any) -> Awaitable[Outcome[Any]]:
    return asyncio.get_running_loop().run_in_executor(pool, work, row)
