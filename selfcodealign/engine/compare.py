"""All rows through a stage that compares them: made again from all of its input, put in place at once.

With one way for both kinds of stage, a resumed selection would forget what it had already chosen.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from selfcodealign.errors import BooksDoNotBalance
from selfcodealign.progress import Progress
from selfcodealign.rows import Books, Dropped
from selfcodealign.run_folder.folder import StageFolder

#: Rows written together.
BATCH = 4096


async def compare(
    stage: StageFolder[Any],
    decide: Callable[[], Iterable[Any]],
    entered: int,
    *,
    decided_by: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Make a stage again: `decide` yields every row, kept or dropped.

    The rows are written beside the stage and put in place at the end, so a reader sees the old or the new stage.
    Raises `BooksDoNotBalance` unless `entered` rows came out.
    """
    progress.start(stage.name, entered)
    fresh_path = stage.path.with_name(f".{stage.name}.new")
    shutil.rmtree(fresh_path, ignore_errors=True)
    fresh_path.mkdir(parents=True)
    fresh: StageFolder[Any] = StageFolder(fresh_path, stage.description, stage.shards.row)
    left = 0
    rows = iter(decide())
    while batch := list(islice(rows, BATCH)):
        left += len(batch)
        drops = [row for row in batch if isinstance(row, Dropped)]
        fresh.shards.write([row for row in batch if not isinstance(row, Dropped)], drops)
        reasons = [drop.reason for drop in drops]
        progress.advance(stage.name, len(batch), kept=len(batch) - len(drops), dropped=reasons)
        await asyncio.sleep(0)  # lets Ctrl-C in
    if not left:
        fresh.shards.write([], [])
    if left != entered:
        raise BooksDoNotBalance(f"{stage.name}: {entered} rows entered, {left} left")
    books = Books(entered, *fresh.shards.counts())
    fresh.finish(decided_by, books)
    shutil.rmtree(stage.path, ignore_errors=True)
    os.rename(fresh_path, stage.path)
    progress.finish(stage.name, stage.summary(books))
