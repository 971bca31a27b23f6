"""The two verbs that fill a run folder.

`each` is for stages that look at one row: many rows at once, every outcome on disk soon after, resumed by the ids of
the parents that are done. `whole` is for stages that compare rows: always made anew from all of its input and put in
place at once; with one verb, a resumed selection would forget what it had already chosen.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from array import array
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np

from selfcodealign.errors import BooksDoNotBalance, UserError
from selfcodealign.progress import Progress
from selfcodealign.rows import Dropped, Identified, Row
from selfcodealign.run_folder.folder import Books, Stage
from selfcodealign.run_folder.shards import Shards

P = TypeVar("P", bound=Identified)
R = TypeVar("R", bound=Row)

#: What a stage makes of one row.
Outcome = Sequence[R | Dropped]

#: A flood of rows is written before the clock strikes.
MOST_ROWS_IN_MEMORY = 8_000
#: Rows of a `whole` stage written together.
WHOLE_BATCH = 4096


async def each(
    stage: Stage[R],
    inputs: Iterable[P],
    total: int | None,
    work: Callable[[P], Awaitable[Outcome[R]]],
    *,
    settings: dict[str, Any],
    concurrency: int,
    flush_seconds: float,
    progress: Progress,
) -> None:
    """Put every row of `inputs` through `work`, up to `concurrency` at once, and its outcome on disk.

    Rows that an earlier run finished are skipped. When `work` raises, or the task is cancelled, what is finished is
    written before the error goes on; rows under way are forgotten, and a resumed run makes them again.
    """
    stage.begin(settings)
    done = stage.shards.parents()
    entered = array("Q")  # 8 bytes per row: millions of rows stay within memory
    buffer = _Buffer(stage.shards)
    progress.start(stage.name, total)

    def pending() -> Iterator[P]:
        for row in inputs:
            number = int(row.id, 16)
            entered.append(number)
            place = int(np.searchsorted(done, np.uint64(number)))
            if place < len(done) and done[place] == number:
                progress.skip(stage.name)
            else:
                yield row

    rows = pending()

    async def worker() -> None:
        for row in rows:
            outcome = await work(row)
            buffer.add(outcome)
            _advance(progress, stage.name, 1, outcome)
            await buffer.make_room()

    try:
        await _work_while_flushing([worker() for _ in range(max(1, concurrency))], buffer, flush_seconds)
    finally:
        buffer.write(buffer.take())
    parents = np.unique(np.array(entered, np.uint64))
    retired = stage.retire_strangers(parents)
    if retired:
        progress.say(f"{stage.name}: rows of {retired} inputs that are no longer there were moved to superseded/")
    _check_books(stage, parents)
    books = Books(len(parents), *stage.shards.counts())
    stage.finish(settings, books)
    progress.finish(stage.name, books.summary())


async def whole(
    stage: Stage[R],
    decide: Callable[[], Iterable[R | Dropped]],
    entered: int,
    *,
    settings: dict[str, Any],
    progress: Progress,
) -> None:
    """Make a stage anew from all of its input: `decide` yields every row, kept or dropped.

    The rows are written beside the stage and put in place at the end, so a reader sees the old or the new stage.
    Raises `BooksDoNotBalance` unless `entered` rows came out.
    """
    progress.start(stage.name, entered)
    fresh = stage.folder.with_name(f".{stage.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    shards = Shards(fresh, stage.shards.row, stage.shards.parent_field)
    left = 0
    rows = iter(decide())
    while batch := list(islice(rows, WHOLE_BATCH)):
        left += len(batch)
        _Buffer(shards).write([batch])
        _advance(progress, stage.name, len(batch), batch)
        await asyncio.sleep(0)  # lets Ctrl-C in
    if not left:
        shards.write([], [])
    if left != entered:
        raise BooksDoNotBalance(f"{stage.name}: {entered} rows entered, {left} left")
    books = Books(entered, *shards.counts())
    Stage(stage.name, fresh, shards, stage.digest, lambda old: old).finish(settings, books)
    shutil.rmtree(stage.folder, ignore_errors=True)
    os.rename(fresh, stage.folder)
    progress.finish(stage.name, books.summary())


def _advance(progress: Progress, name: str, parents: int, rows: Sequence[Row | Dropped]) -> None:
    drops = [row.reason for row in rows if isinstance(row, Dropped)]
    progress.advance(name, parents, kept=len(rows) - len(drops), dropped=drops)


class _Buffer(Generic[R]):
    """Outcomes that are not on disk yet. An outcome is never split between two pairs of shards."""

    def __init__(self, shards: Shards[R]) -> None:
        self._shards = shards
        self._outcomes: list[Outcome[R]] = []
        self._one_writer = Lock()
        self._making_room = asyncio.Lock()
        self.rows = 0

    def add(self, outcome: Outcome[R]) -> None:
        self._outcomes.append(outcome)
        self.rows += len(outcome)

    async def make_room(self) -> None:
        """Write when there are many rows, and hold up whoever would add more meanwhile."""
        if self.rows >= MOST_ROWS_IN_MEMORY:
            async with self._making_room:
                if self.rows >= MOST_ROWS_IN_MEMORY:
                    await asyncio.to_thread(self.write, self.take())

    def take(self) -> list[Outcome[R]]:
        """All outcomes so far; called in the event loop only, as `add` is."""
        taken, self._outcomes, self.rows = self._outcomes, [], 0
        return taken

    def write(self, outcomes: Sequence[Outcome[R]]) -> None:
        """Put outcomes on disk; waits for a write in another thread that a cancelled task has left running."""
        kept: list[R] = []
        dropped: list[Dropped] = []
        for outcome in outcomes:
            for row in outcome:
                dropped.append(row) if isinstance(row, Dropped) else kept.append(row)
        with self._one_writer:
            if kept or dropped:
                self._shards.write(kept, dropped)


async def _work_while_flushing(crew: Sequence[Coroutine[Any, Any, None]], buffer: _Buffer[Any], seconds: float) -> None:
    """Run all workers to their end, writing the buffer every so often. The first error stops everything, a full disk
    included: no model is to be paid for rows that cannot be stored."""
    ended = asyncio.Event()

    async def keep_flushing() -> None:
        last = time.monotonic()
        while not ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), min(0.2, seconds))
            if time.monotonic() - last >= seconds:
                await asyncio.to_thread(buffer.write, buffer.take())
                last = time.monotonic()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_flushing())
            await asyncio.gather(*(group.create_task(one) for one in crew))
            ended.set()
    except BaseExceptionGroup as errors:
        # A group tells a person nothing: hand on the error that someone can act on, else the first.
        found = list(_leaves(errors))
        raise next((one for one in found if isinstance(one, UserError)), found[0]) from None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _check_books(stage: Stage[Any], entered: np.ndarray) -> None:
    """Every row that entered has an outcome on disk, and no outcome lacks a row that entered."""
    left = stage.shards.parents()
    if not np.array_equal(entered, left):
        lost, strange = len(np.setdiff1d(entered, left)), len(np.setdiff1d(left, entered))
        raise BooksDoNotBalance(f"{stage.name}: {lost} rows have no outcome, {strange} outcomes have no row")
