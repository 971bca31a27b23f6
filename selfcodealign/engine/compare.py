"""All rows through a stage that compares them: made again from all of its input, put in place at once.

With one way for both kinds of stage, a resumed selection would forget what it had already chosen.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, TypeVar

from selfcodealign.errors import BooksDoNotBalance
from selfcodealign.progress import Progress
from selfcodealign.rows import Books, Dropped
from selfcodealign.run_folder.folder import StageFolder

Result = TypeVar("Result")

#: Rows written together.
BATCH = 4096


async def compare(
    stage: StageFolder[Any],
    decide: Callable[[], Iterable[Any]],
    entered: int,
    *,
    decided_by: Mapping[str, Any],
    progress: Progress,
    stop: Callable[[], None] = lambda: None,
) -> None:
    """Make a stage again: `decide` yields every row, kept or dropped.

    The rows are written beside the stage and put in place at the end, so a reader sees the old or the new stage.
    `decide` runs in a thread, so that Ctrl-C is noticed at once: `stop` makes it end soon, with any exception. Raises
    `BooksDoNotBalance` unless `entered` rows came out.
    """
    progress.start(stage.name, entered)
    fresh_path = stage.path.with_name(f".{stage.name}.new")
    shutil.rmtree(fresh_path, ignore_errors=True)
    fresh_path.mkdir(parents=True)
    fresh: StageFolder[Any] = StageFolder(fresh_path, stage.description, stage.shards.row)
    left = 0
    rows = iter(await _in_thread(decide, stop))
    while batch := await _in_thread(lambda: list(islice(rows, BATCH)), stop):
        left += len(batch)
        drops = [row for row in batch if isinstance(row, Dropped)]
        fresh.shards.write([row for row in batch if not isinstance(row, Dropped)], drops)
        reasons = [drop.reason for drop in drops]
        progress.advance(stage.name, len(batch), kept=len(batch) - len(drops), dropped=reasons)
    if not left:
        fresh.shards.write([], [])
    if left != entered:
        raise BooksDoNotBalance(f"{stage.name}: {entered} rows entered, {left} left")
    books = Books(entered, *fresh.shards.counts())
    fresh.finish(decided_by, books)
    shutil.rmtree(stage.path, ignore_errors=True)
    os.rename(fresh_path, stage.path)
    progress.count_rows(stage.name, books.entered, books.kept)
    progress.finish(stage.name, stage.summary(books))


async def _in_thread(work: Callable[[], Result], stop: Callable[[], None]) -> Result:
    """Work that takes long: this coroutine can be cancelled meanwhile, and ends when the work has."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop()
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # it says that the work was stopped, as was asked for
        raise
