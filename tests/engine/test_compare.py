"""A stage that compares rows is made again from all rows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfcodealign.engine.compare import compare
from selfcodealign.errors import BooksDoNotBalance
from selfcodealign.progress import Progress
from selfcodealign.rows import Dropped, Seed
from selfcodealign.run_folder.folder import Description, RunFolder
from tests.support.flows import SEEDS

DESCRIBED = Description("Seed", "seed_id", "seed_id", "seeds", Seed.field_names())


async def test_every_row_is_kept_or_dropped_and_what_was_there_is_replaced(tmp_path: Path) -> None:
    """The stage is made again from all rows each time; unequal counts are an error and leave the stage unchanged."""

    def decide(limit: int) -> Iterator[Seed | Dropped]:
        for number, seed in enumerate(SEEDS):
            yield seed if number < limit else Dropped(parent=seed.id, reason="over", detail="", row=seed.fields())

    with RunFolder(tmp_path / "run") as folder:
        stage = folder.stage("near_dedup", DESCRIBED, Seed)
        for limit in (10, 40):
            await compare(
                stage, lambda limit=limit: decide(limit), 60, decided_by={"limit": limit}, progress=Progress()
            )
            assert stage.books().kept == limit
            assert stage.books().dropped == {"over": 60 - limit}
            assert stage.decided_by == {"limit": limit}
        with pytest.raises(BooksDoNotBalance, match="61 rows entered, 60 left"):
            await compare(stage, lambda: decide(1), 61, decided_by={}, progress=Progress())
        assert stage.books().kept == 40


async def test_it_is_cancelled_while_rows_are_compared(tmp_path: Path) -> None:
    """Ctrl-C does not wait for the next rows: the work is told to stop, it ends first, and the earlier stage stays."""
    begun, told, ended = threading.Event(), threading.Event(), threading.Event()

    def decide() -> Iterator[Seed]:
        begun.set()
        told.wait()
        ended.set()
        raise ValueError("stopped")
        yield

    with RunFolder(tmp_path / "run") as folder:
        stage = folder.stage("near_dedup", DESCRIBED, Seed)
        await compare(stage, lambda: SEEDS, len(SEEDS), decided_by={}, progress=Progress())
        work = asyncio.create_task(
            compare(stage, decide, 60, decided_by={"new": 1}, progress=Progress(), stop=told.set)
        )
        await asyncio.to_thread(begun.wait)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert ended.is_set()
        assert stage.books().kept == len(SEEDS)
        assert stage.decided_by == {}
