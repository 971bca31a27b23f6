"""The two verbs: resumed, cancelled, failing, and with books that balance."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.engine.local import Progress, each, whole
from selfcodealign.errors import BooksDoNotBalance, ModelError, RunFolderError
from selfcodealign.rows import Concepts, Dropped, Seed, digest
from selfcodealign.run_folder.folder import RunFolder, Stage
from tests.run_folder.test_shards import make_seed


async def write_concepts(seed: Seed) -> list[Concepts | Dropped]:
    """Every third seed is dropped, every fourth gives two rows."""
    await asyncio.sleep(0)
    if seed.source_line % 3 == 0:
        return [Dropped(parent=seed.id, reason="third", detail="", row=seed.fields())]
    return [
        Concepts(**seed.fields(), concepts_id=digest(seed.id, number), concepts=["a"])
        for number in range(2 if seed.source_line % 4 == 0 else 1)
    ]


async def run_each(stage: Stage[Any], seeds: Sequence[Seed], work: Any = write_concepts, **options: Any) -> None:
    settings: dict[str, Any] = {"concurrency": 7, "flush_seconds": 0.05, "progress": Progress()} | options
    await each(stage, iter(seeds), len(seeds), work, settings={}, **settings)


def ids(stage: Stage[Any]) -> list[str]:
    return sorted(row.id for row in stage.rows())


def expected(seeds: Sequence[Seed]) -> list[str]:
    return sorted(
        digest(seed.id, number)
        for seed in seeds
        if seed.source_line % 3
        for number in range(2 if seed.source_line % 4 == 0 else 1)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    with RunFolder(tmp_path / "run") as opened:
        yield opened


SEEDS = [make_seed(number) for number in range(60)]


async def test_every_row_has_its_outcome_and_the_books_say_so(folder: RunFolder) -> None:
    """60 rows in: 20 dropped, the others kept, one or two rows each; the stage is finished."""
    stage = folder.stage("concepts", "d")
    await run_each(stage, SEEDS)
    assert ids(stage) == expected(SEEDS)
    assert stage.finished
    assert (stage.books().entered, stage.books().dropped) == (60, {"third": 20})


async def test_a_finished_stage_does_no_work_again(folder: RunFolder) -> None:
    """The second pass calls nothing and changes nothing."""
    stage = folder.stage("concepts", "d")
    await run_each(stage, SEEDS)

    async def never(seed: Seed) -> list[Concepts | Dropped]:
        raise AssertionError("called for a row that was done")

    await run_each(folder.stage("concepts", "d"), SEEDS, never)
    assert ids(stage) == expected(SEEDS)


async def test_an_error_keeps_what_is_finished_and_a_second_run_completes_it(folder: RunFolder) -> None:
    """A dead server stops the stage with its own error, not a group of them; finished rows are on disk."""
    stage = folder.stage("concepts", "d")

    async def dies(seed: Seed) -> list[Concepts | Dropped]:
        if seed.source_line == 40:
            raise ModelError("the server is gone")
        return await write_concepts(seed)

    with pytest.raises(ModelError, match="the server is gone"):
        await run_each(stage, SEEDS, dies)
    assert not stage.finished
    assert 0 < stage.books().entered < 60
    await run_each(folder.stage("concepts", "d"), SEEDS)
    assert ids(stage) == expected(SEEDS)


async def test_cancelling_keeps_what_is_finished(folder: RunFolder) -> None:
    """Ctrl-C arrives as a cancelled task: everything finished is written, nothing twice after resuming."""
    stage = folder.stage("concepts", "d")
    seen = asyncio.Event()

    async def slow(seed: Seed) -> list[Concepts | Dropped]:
        if seed.source_line > 30:
            seen.set()
            await asyncio.sleep(60)
        return await write_concepts(seed)

    task = asyncio.create_task(run_each(stage, SEEDS, slow))
    await seen.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stage.books().entered >= 20
    await run_each(folder.stage("concepts", "d"), SEEDS)
    assert ids(stage) == expected(SEEDS)


async def test_changed_settings_start_anew_and_the_old_rows_are_kept(folder: RunFolder) -> None:
    """Another digest: the folder moves to superseded/, the person is told, the work is done again."""
    await run_each(folder.stage("concepts", "d"), SEEDS)
    told: list[str] = []
    stage = folder.stage("concepts", "other", told.append)
    assert told == [
        "concepts: settings have changed, so it starts anew; the earlier rows are in "
        f"{folder.path / 'superseded' / 'concepts-1'}"
    ]
    assert ids(stage) == []
    await run_each(stage, SEEDS)
    assert ids(stage) == expected(SEEDS)
    assert list((folder.path / "superseded" / "concepts-1").glob("kept-*.parquet"))


async def test_rows_of_inputs_that_are_gone_are_retired(folder: RunFolder) -> None:
    """With fewer inputs the stage holds just their rows; with more again, the missing ones are made."""
    stage = folder.stage("concepts", "d")
    await run_each(stage, SEEDS)
    await run_each(folder.stage("concepts", "d"), SEEDS[:25])
    assert ids(stage) == expected(SEEDS[:25])
    assert stage.books().entered == 25
    await run_each(folder.stage("concepts", "d"), SEEDS)
    assert ids(stage) == expected(SEEDS)


async def test_a_row_without_outcome_is_a_defect_that_is_not_hidden(folder: RunFolder) -> None:
    """A stage that returns nothing for a row breaks the books."""

    async def forgets(seed: Seed) -> list[Concepts | Dropped]:
        return [] if seed.source_line == 5 else await write_concepts(seed)

    with pytest.raises(BooksDoNotBalance, match="1 rows have no outcome"):
        await run_each(folder.stage("concepts", "d"), SEEDS, forgets)


async def test_whole_keeps_and_drops_every_row_and_replaces_what_was_there(folder: RunFolder) -> None:
    """Made anew each time from all rows; unequal counts are a defect."""
    stage = folder.stage("near_dedup", "d")

    def decide(limit: int) -> Iterator[Seed | Dropped]:
        for number, seed in enumerate(SEEDS):
            yield seed if number < limit else Dropped(parent=seed.id, reason="over", detail="", row=seed.fields())

    for limit in (10, 40):
        await whole(stage, lambda limit=limit: decide(limit), 60, settings={}, progress=Progress())
        assert stage.books().kept == limit
        assert stage.books().dropped == {"over": 60 - limit}
    with pytest.raises(BooksDoNotBalance, match="61 rows entered, 60 left"):
        await whole(stage, lambda: decide(1), 61, settings={}, progress=Progress())
    assert stage.books().kept == 40


def test_a_folder_is_used_by_one_run_at_a_time(tmp_path: Path) -> None:
    """The second one is told so; a folder that cannot be made is refused."""
    with RunFolder(tmp_path), pytest.raises(RunFolderError, match="in use by another run"):
        RunFolder(tmp_path).__enter__()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="choose another --out"):
        RunFolder(tmp_path / "file" / "run").__enter__()


FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from selfcodealign.errors import RunFolderError
from selfcodealign.run_folder.folder import RunFolder
from tests.engine.test_local import SEEDS, expected, ids, run_each
with RunFolder(Path(sys.argv[1])) as folder:
    stage = folder.stage("concepts", "d")
    asyncio.run(run_each(stage, SEEDS[:10]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
    try:
        asyncio.run(run_each(stage, SEEDS))
    except RunFolderError as error:
        print(error)
    assert ids(stage) == expected(SEEDS[:10])
"""


def test_a_full_disk_stops_the_run_with_a_line_and_loses_nothing(tmp_path: Path) -> None:
    """Writes that fail (here: a limit on the size of files) end the stage; earlier rows stay readable."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "cannot write" in done.stdout
    assert "make room or choose another --out" in done.stdout
    assert done.stdout.count("\n") == 1


async def test_a_damaged_state_file_is_named(folder: RunFolder) -> None:
    """A torn stage.json or run.json is an error that says which file to remove."""
    stage = folder.stage("concepts", "d")
    await run_each(stage, SEEDS[:3])
    (stage.folder / "stage.json").write_text('{"digest": "d"')
    with pytest.raises(RunFolderError, match=r"stage\.json:1: not JSON .*; remove it to go on"):
        folder.stage("concepts", "d")
    (folder.path / "run.json").write_text("[")
    with pytest.raises(RunFolderError, match=r"run\.json:1: not JSON .*; remove it to go on"):
        folder.facts()
