"""The engine of one machine: takes rows through stages as their decisions say, with asyncio and processes."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from selfcodealign.addresses import REMOVED, hide_in
from selfcodealign.engine.compare import compare
from selfcodealign.engine.flow import Answers, RowWork, flow
from selfcodealign.engine.gate import Gate
from selfcodealign.engine.order import in_groups
from selfcodealign.engine.processes import work_in_processes
from selfcodealign.rows import Outcome
from selfcodealign.run_folder.folder import StageFolder, supersede
from selfcodealign.run_folder.partition import Partition
from selfcodealign.run_folder.recall import Recall, find_superseded
from selfcodealign.stages import Each, Last, Source, Whole
from selfcodealign.stages.context import Context
from selfcodealign.stages.journey import Step
from selfcodealign.stages.plan import Action, Decision, describe_rows, explain_changes, stored_facts


async def each(
    context: Context, decisions: Sequence[Decision], gate: Gate | None = None, part: Partition | None = None
) -> None:
    """Take rows through neighbouring stages that look at one row at a time, all of them at once.

    A `gate` lets rows into the stages that ask the model while a budget lasts. With `part`, only the rows of this
    partition are taken, and the stages are left to be completed (`divided`).
    """
    asking = [one.step.name for one in decisions if "model" in one.step.stage.needs]
    if asking:
        context.open_journal()
        await context.open_models(asking)
        if gate is not None:
            gate.begin_flow(asking)
    first = decisions[0].step
    with ExitStack() as pools:
        works = []
        for one in decisions:
            stage = one.step.stage
            assert isinstance(stage, Each)
            work: Any = stage.build(context)
            if stage.cpu:
                work = pools.enter_context(work_in_processes(stage.name, work, one.step.place.given))
            folder = open_stage(context, one)
            if "model" in stage.needs:
                kind = one.step.place.gives
                assert kind is not None
                earlier = find_superseded(context.folder, stage.name, folder.description, one.decided_by)
                if recall := Recall[Any](earlier, kind):
                    work = partial(_recall, recall, work)
            outside = isinstance(stage, Source)
            admit = None
            if gate is not None and stage.name in asking:
                work, admit = gate.watch(stage.name, work), gate.admit(stage.name)
            elif gate is not None and asking and outside:
                admit = gate.admit_source
            works.append(RowWork(folder, work, stage.count_rows_at_once(context), one.decided_by, outside, admit, part))
        rows, total = _incoming(context, first, part)
        if prefix := _find_prefix(context, decisions):
            rows = in_groups(rows, prefix)
        try:
            with context.clock_asking(asking[0]) if asking else nullcontext():
                await flow(
                    works,
                    rows,
                    total,
                    flush_seconds=context.recipe.flush_seconds,
                    progress=context.progress,
                    # A kill must not make a budget forget what was paid.
                    answers=Answers(context.journal, context.record_asked) if asking else None,
                )
        finally:
            context.record_counts({one.step.name: one.action is Action.START_AGAIN for one in decisions})
            if asking:
                context.record_asked()
                context.journal.close()
    if asking:
        context.record_models(asking)


async def whole(context: Context, decision: Decision) -> None:
    """Compare all rows of the stage before; they come in the order of their ids, as often as asked for."""
    stage, place = decision.step.stage, decision.step.place
    assert isinstance(stage, Whole)
    assert place.after is not None
    assert place.given is not None
    before = context.folder.open(place.after, place.given)
    reasons = stage.drops_too(context)
    cursors: list[duckdb.DuckDBPyConnection] = []
    with context.folder.connect() as connection:

        def rows() -> Iterator[Any]:
            order = (before.description.row_id, before.description.parent)
            # A second pass may begin before the first has ended, so each has a cursor.
            cursors.append(connection.cursor())
            for row in before.shards.sorted_rows(cursors[-1], *order, drops=reasons):
                context.go_on()
                yield row

        def stop() -> None:
            context.stopping.set()
            for cursor in cursors:
                cursor.interrupt()

        await compare(
            open_stage(context, decision),
            lambda: stage.decide(context, rows),
            before.books().kept + sum(before.books().dropped.get(reason, 0) for reason in reasons),
            decided_by=decision.decided_by,
            progress=context.progress,
            stop=stop,
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
            moved = context.folder.facts().get("superseded", {}) | {where.name: stored_facts(context, name)}
            context.folder.record({"superseded": moved})
            if decision.action is not Action.START_AGAIN:
                context.progress.say(
                    f"{name}: starts again because {changes}; the earlier {output.name}/ is in {where}"
                )
        elif stage.is_complete(context):
            context.progress.rest(name)
            return
    facts = context.folder.facts().get("last_stages", {})
    made = {"decided_by": decision.decided_by, "made_from": made_from}
    context.folder.record({"last_stages": facts | {name: made}})
    if not output.exists() and (back := _find_output(context, output.name, made)):
        os.rename(back, output)
        context.progress.say(f"{name}: {output.name}/ is back from superseded/{back.name}")
        if stage.is_complete(context):
            context.progress.rest(name)
            return
    context.progress.start(name, None)
    summary = await stage.run(context)
    context.progress.finish(name, summary or f"{output.name}/ is written")


def _find_output(context: Context, output: str, made: Mapping[str, Any]) -> Path | None:
    """The superseded output of a last stage that was made by the same settings of the same, if there is one."""
    for name, facts in reversed(context.folder.facts().get("superseded", {}).items()):
        path = context.folder.path / "superseded" / name
        if name.rpartition("-")[0] == output and facts == hide_in(made, REMOVED) and path.is_dir():
            return path
    return None


async def _recall(recall: Recall[Any], work: Callable[[Any], Awaitable[Outcome[Any]]], row: Any) -> Outcome[Any]:
    """What superseded/ has of a row, else the work on it."""
    known = recall.outcome(row.id)
    return known if known is not None else await work(row)


def _find_prefix(context: Context, decisions: Sequence[Decision]) -> Callable[[Any], Any] | None:
    """What tells which prompts of the rows that come in begin alike; the first stage that asks about them says it."""
    given = decisions[0].step.place.given
    for one in decisions:
        stage = one.step.stage
        if "model" in stage.needs:
            assert isinstance(stage, Each)
            # Rows of another type are made on the way; they come as those that they are made of.
            return stage.prefix(context) if one.step.place.given is given else None
    return None


def open_stage(context: Context, decision: Decision) -> StageFolder[Any]:
    """The stage's folder, its earlier rows moved away when the stage starts again."""
    kind = decision.step.place.gives
    assert kind is not None
    folder = context.folder.stage(decision.step.name, describe_rows(decision.step), kind)
    if decision.action is Action.START_AGAIN and folder.path.exists():
        supersede(folder.path)
    return folder


def _incoming(context: Context, step: Step, part: Partition | None) -> tuple[Iterable[Any], int | None]:
    """The rows that come into a stage, all or those of a partition, and about how many there are."""
    if isinstance(step.stage, Source):
        rows = step.stage.read(context)
        return rows if part is None else part.own(rows), None
    assert step.place.after is not None
    assert step.place.given is not None
    before = context.folder.open(step.place.after, step.place.given)
    return before.shards.rows(part), before.books().kept // (1 if part is None else part.of)
