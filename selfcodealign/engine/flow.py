"""Rows through stages that look at one row at a time: all stages at once, every outcome on disk soon after.

    rows ─▶ lane ─▶ lane ─▶ lane          a lane: one stage, `rows_at_once` workers, outcomes not yet on disk
              │       │       │
              └───────┴───────┴─▶ disk    written together, in the order of the lanes

A row enters the next lane as soon as it leaves the one before, through a short queue, so a model is not idle while the
last rows of a stage come back. Outcomes are taken from all lanes at one moment and written in the order of the lanes:
whatever a kill interrupts, a row on disk always has its parent on disk. Rows that an earlier run has finished are
skipped, and what was made of them goes on to the next lane when the lane's other rows are through.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np

from selfcodealign.engine.drops import DropWatch
from selfcodealign.engine.ids import Ids
from selfcodealign.errors import BooksDoNotBalance, UserError
from selfcodealign.progress import Progress
from selfcodealign.rows import Books, Dropped, Identified, Outcome
from selfcodealign.run_folder.folder import StageFolder
from selfcodealign.run_folder.journal import Journal
from selfcodealign.run_folder.partition import Partition

#: A flood of rows is written before the clock strikes.
MOST_ROWS_IN_MEMORY = 8_000
#: Rows waiting between two lanes, per worker of the second one.
QUEUED_PER_WORKER = 2
#: Rows, or a tenth of them all, after which the share that is kept tells how many the next stage will get.
LEAST_THROUGH = 20


@dataclass(frozen=True)
class RowWork:
    """What a flow does in one stage: `work` makes an outcome of a row, `rows_at_once` calls of it under way.

    Rows of one id are one row: the second is not worked on. `from_outside`: the rows are no stage's; each comes once.
    `admit` is asked before every row: it returns "" or why no further row is worked on. Rows that it refuses have not
    entered; the stage stays unfinished, and a later run works on them. `part`: only these of all rows come, and the
    stage is completed elsewhere.
    """

    folder: StageFolder[Any]
    work: Callable[[Any], Awaitable[Outcome[Any]]]
    rows_at_once: int
    decided_by: Mapping[str, Any]
    from_outside: bool = False
    admit: Callable[[], Awaitable[str]] | None = None
    part: Partition | None = None


@dataclass(frozen=True)
class Answers:
    """Where a model's answers are kept until the outcomes of their rows are on disk. `note` records what was asked so
    far: before each write, since answers whose rows are written leave the journal."""

    journal: Journal
    note: Callable[[], None]


async def flow(
    stages: Sequence[RowWork],
    rows: Iterable[Identified],
    total: int | None,
    *,
    flush_seconds: float,
    progress: Progress,
    answers: Answers | None = None,
) -> None:
    """Put every one of `rows` (`total` of them, None: unknown) through `stages`, one after the other.

    When a stage's work raises, or the task is cancelled, what is finished is written before the error goes on; rows
    under way are forgotten, and a resumed run makes them again. Raises `BooksDoNotBalance` for a row without outcome.
    """
    lanes = [_Lane(stage, progress, answers.journal if answers else None) for stage in stages]
    for lane, following in pairwise(lanes):
        lane.following = following
    lanes[0].total = total
    lanes[0].begin()
    writer = _Writer(lanes, progress, answers)
    try:
        async with asyncio.TaskGroup() as group:
            flushing = group.create_task(writer.keep_flushing(flush_seconds))
            async with asyncio.TaskGroup() as working:
                for number, lane in enumerate(lanes):
                    source = lane.pending(rows) if number == 0 else None
                    working.create_task(_run_lane(lane, source, writer, progress))
            flushing.cancel()
    except BaseExceptionGroup as errors:
        # A group tells a person nothing: raise the error that someone can act on, else the first.
        found = list(_leaves(errors))
        raise next((one for one in found if isinstance(one, UserError)), found[0]) from None
    finally:
        writer.take()
        writer.write()


class _Lane:
    """One stage of a flow: where its rows come from, and what came of them."""

    def __init__(self, stage: RowWork, progress: Progress, journal: Journal | None) -> None:
        self.folder, self.work, self.decided_by = stage.folder, stage.work, stage.decided_by
        self.admit, self.from_outside = stage.admit, stage.from_outside
        self.stopped = ""  # why no further row is worked on
        self.cut = False  # not all rows that could come have been seen
        self.part = stage.part
        self.workers = max(1, stage.rows_at_once)
        self.folder.begin(stage.decided_by)
        self.name = self.folder.name
        self.following: _Lane | None = None
        self.outcomes: list[Outcome[Any]] = []
        self.waiting = 0
        self.total: float | None = None
        self.begun = self.complete = False
        self.through = self.kept = self.kept_again = 0
        self.reasons: Counter[str] = Counter()  # of drops, by this flow
        parents = self.folder.shards.parents()
        self._done = Ids(parents)
        self._journal = journal
        if journal is not None:
            journal.settle_known(self.name, parents)
        self._kept_before = self.folder.shards.sizes()[0]
        self._entered = Ids()
        self._refused = array("Q")  # rows that came and were not worked on
        self._again = array("Q")  # parents that an earlier run finished
        self._queue: asyncio.Queue[Any] = asyncio.Queue(QUEUED_PER_WORKER * self.workers)
        self._progress = progress
        # A source drops most of what it reads, and that is what it is for.
        run, resumed = self.folder.path.parent, len(self._done) > 0
        self._watch = None if stage.from_outside else DropWatch(run, self.name, resumed=resumed)

    def begin(self) -> None:
        """The first row has come, or none will: show the stage."""
        if not self.begun:
            self.begun = True
            self._progress.start(self.name, None if self.total is None else round(self.total))

    def expect(self, total: float | None) -> None:
        """A better estimate of how many rows will come."""
        self.total = total
        if total is not None:
            (self._progress.expect if self.begun else self._progress.foresee)(self.name, round(total))

    def pending(self, rows: Iterable[Identified]) -> Iterator[Identified]:
        """The rows that have no outcome on disk; the others are counted."""
        return (row for row in rows if self._admit(row))

    async def send(self, row: Identified) -> None:
        """Let a row of the lane before come in; waits while many are waiting."""
        if self._admit(row):
            await self._queue.put(row)

    async def send_finished(self, before: _Lane) -> None:
        """Let in what an earlier run made of rows that have come to the lane before again."""
        again = np.array(before._again, np.uint64)
        ids = before.folder.shards.ids(again) if len(again) else again  # partitions need not read all that others made
        before.kept_again = len(ids)
        known = np.isin(ids, self._done.sorted())
        self.begin()
        for number in ids[known].tolist():
            self._entered.add(number)
        self._again.extend(ids[known].tolist())
        self._progress.skip(self.name, int(known.sum()))
        if not known.all():
            for row in before.folder.shards.rows_of(ids[~known]):
                await self.send(row)

    async def close(self) -> None:
        """No more rows will come."""
        for _ in range(self.workers):
            await self._queue.put(None)

    async def receive(self) -> Identified | None:
        """The next row that waits; None when no more will come."""
        return await self._queue.get()

    async def make(self, row: Identified) -> Outcome[Any]:
        """Do the stage's work on a row; the answers it gets belong to the row."""
        with self._journal.working_on(self.name, row.id) if self._journal is not None else nullcontext():
            return await self.work(row)

    def write(self, outcomes: Sequence[Outcome[Any]]) -> None:
        """Put outcomes on disk; the answers they are made of are kept no longer."""
        rows = [row for outcome in outcomes for row in outcome]
        kept = [row for row in rows if not isinstance(row, Dropped)]
        dropped = [row for row in rows if isinstance(row, Dropped)]
        if not rows:
            return
        self.folder.shards.write(kept, dropped)
        if self._journal is not None:
            parents = {getattr(row, self.folder.description.parent) for row in kept} | {row.parent for row in dropped}
            self._journal.settle(self.name, (int(one, 16) for one in parents))

    def add(self, outcome: Outcome[Any]) -> None:
        """An outcome that is to be written."""
        drops = [row.reason for row in outcome if isinstance(row, Dropped)]
        self.outcomes.append(outcome)
        self.waiting += len(outcome)
        self.through += 1
        self.kept += len(outcome) - len(drops)
        if drops:  # an empty update costs as much as all else here
            self.reasons.update(drops)
        self._progress.advance(self.name, kept=len(outcome) - len(drops), dropped=drops)
        if self._watch is not None and (line := self._watch.add(outcome)):
            self._progress.say(line)

    async def refuses(self, row: Identified) -> bool:
        """Whether this row may not be worked on; the stage is stopped then."""
        why = await self.admit() if self.admit is not None else ""
        if why:
            self.stopped = why
            self._refused.append(int(row.id, 16))
        return bool(why)

    def expected(self) -> float | None:
        """How many rows will have been kept in the end, by what is known now; None while too little is known."""
        through = self.through + len(self._done)
        if self.total is None or through < min(LEAST_THROUGH, self.total / 10):
            return None
        return self.total * (self.kept + self._kept_before) / through if through else None

    def settle(self) -> Books:
        """Retire rows of inputs that are gone, and check that every row that entered has an outcome on disk.

        Of a stage that was stopped, rows that were refused have not entered. Where a source was left before its end,
        outcomes of earlier runs may belong to rows that have not come.
        """
        if self.part is not None:
            return self._settle_part(self.part)
        came = self._entered.sorted()
        entered = np.setdiff1d(came, np.array(self._refused, np.uint64))
        retired = 0 if self.cut else self.folder.retire_strangers(came)
        if retired:
            self._progress.say(
                f"{self.name}: rows of {retired} inputs that are no longer there were moved to superseded/"
            )
        left = self.folder.shards.parents()
        lost, strange = len(np.setdiff1d(entered, left)), 0 if self.cut else len(np.setdiff1d(left, entered))
        if lost or strange:
            raise BooksDoNotBalance(f"{self.name}: {lost} rows have no outcome, {strange} outcomes have no row")
        books = Books(len(left), *self.folder.shards.counts())
        if self.stopped:
            self.folder.stop(self.decided_by, self.stopped)
            return books
        self.folder.finish(self.decided_by, books)
        if self._journal is not None:
            self._journal.finish(self.name)
        return books

    def _settle_part(self, part: Partition) -> Books:
        """Check that every row of the partition has an outcome on disk, and note outcomes of rows that are gone."""
        came = self._entered.sorted()
        lost = len(np.setdiff1d(came, np.union1d(self._done.sorted(), self.folder.shards.parents(own=True))))
        if lost:
            raise BooksDoNotBalance(f"{self.name}: {lost} rows have no outcome")
        if self.from_outside:
            done = self._done.sorted()
            self.folder.note_gone(np.setdiff1d(done[part.mask(done)], came))
        return Books(len(came), self.kept + self.kept_again, dict(self.reasons.most_common()))

    def _admit(self, row: Identified) -> bool:
        """Count a row that enters; whether there is work to do for it."""
        self.begin()
        number = int(row.id, 16)
        new = self._entered.add(number)
        if number in self._done:
            self._again.append(number)
            self._progress.skip(self.name)
            return False
        return new or self.from_outside


async def _run_lane(lane: _Lane, source: Iterator[Identified] | None, writer: _Writer, progress: Progress) -> None:
    """Take all rows through one stage, then through its books."""

    async def next_row() -> Identified | None:
        return await lane.receive() if source is None else next(source, None)

    async def work() -> None:
        while (row := await next_row()) is not None:
            if await lane.refuses(row):
                if lane.from_outside:
                    lane.cut = True  # reading to the end may take hours
                    break
                continue
            outcome = await lane.make(row)
            lane.add(outcome)
            if lane.following is not None:
                for made in outcome:
                    if not isinstance(made, Dropped):
                        await lane.following.send(made)
            await writer.make_room()

    async with asyncio.TaskGroup() as group:
        for _ in range(lane.workers):
            group.create_task(work())
    await writer.flush()
    if lane.following is not None:
        await lane.following.send_finished(lane)
        lane.following.cut |= lane.cut
    books = await asyncio.to_thread(lane.settle)
    lane.begin()  # a stage that no row has come to is shown, too
    summary = lane.folder.summary(books)
    progress.count_rows(lane.name, books.entered, books.kept)
    progress.finish(lane.name, f"stopped by {lane.stopped}; so far {summary}" if lane.stopped else summary)
    lane.complete = True
    if lane.following is not None:
        # What is made of all that came is not all that there will be.
        lane.following.stopped = lane.following.stopped or lane.stopped
        lane.following.expect(books.kept)
        await lane.following.close()


class _Writer:
    """Puts the outcomes of all lanes on disk. An outcome is never split between two pairs of shards."""

    def __init__(self, lanes: Sequence[_Lane], progress: Progress, answers: Answers | None) -> None:
        self._lanes = lanes
        self._answers = answers
        self._progress = progress
        #: Outcomes that left their lanes and are not on disk. They stay here until they are: a cancelled flush may
        #: never have begun to write.
        self._taken: deque[tuple[_Lane, list[Outcome[Any]]]] = deque()
        self._one_writer = Lock()
        self._making_room = asyncio.Lock()

    async def make_room(self) -> None:
        """Write when there are many rows, and hold up further work meanwhile."""
        if self._waiting() >= MOST_ROWS_IN_MEMORY:
            async with self._making_room:
                if self._waiting() >= MOST_ROWS_IN_MEMORY:
                    await self.flush()

    async def flush(self) -> None:
        """Write everything there is now."""
        self.take()
        if self._answers is not None:
            self._answers.note()
        await asyncio.to_thread(self.write)

    def take(self) -> None:
        """Take all outcomes of all lanes, at one moment: called in the event loop only, as `add` is."""
        self._taken.extend((lane, lane.outcomes) for lane in self._lanes)
        for lane in self._lanes:
            lane.outcomes, lane.waiting = [], 0

    def write(self) -> None:
        """Put what was taken on disk, in order; waits for a write in a thread that a cancelled task has left."""
        with self._one_writer:
            while self._taken:
                lane, outcomes = self._taken[0]
                lane.write(outcomes)
                self._taken.popleft()

    async def keep_flushing(self, seconds: float) -> None:
        """Write every so often, and tell better estimates of how many rows will come to each lane."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(min(0.2, seconds))
            for lane, following in pairwise(self._lanes):
                if lane.complete:  # the exact number has been told, and the following stage may be finished too
                    continue
                following.expect(lane.expected())
            if time.monotonic() - last >= seconds:
                await self.flush()
                last = time.monotonic()

    def _waiting(self) -> int:
        return sum(lane.waiting for lane in self._lanes)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
