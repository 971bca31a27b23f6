"""A run in shards: the rows of a run by one process, whatever the number of shards and whichever of them is killed."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from selfcodealign import Completion, Sampling, ScriptedModel
from selfcodealign.engine.gather import gather
from selfcodealign.errors import RecipeError, RunFolderError, UserError
from selfcodealign.pipeline import merge_shards, run_recipe, run_shard
from selfcodealign.rows import Seed
from selfcodealign.run_folder.folder import RunFolder
from selfcodealign.run_folder.partition import Partition
from selfcodealign.run_folder.shards import Shards
from selfcodealign.run_folder.writers import WriterFolder
from tests.support.journey import answer, judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.processes import wait_for
from tests.support.rows import make_seed
from tests.support.runs import books, everything
from tests.support.shards import asked, rows_on_disk, run_in_shards, run_locally, start_shard


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    judge_by_text(monkeypatch)
    return write_sources(tmp_path / "sources", 24)


@pytest.mark.parametrize("counts", [(1,), (2,), (3, 5)])
async def test_shards_give_the_rows_of_one_process(sources: Path, tmp_path: Path, counts: tuple[int, ...]) -> None:
    """1, 2, and 3 then 5 shards at once: same rows, same books, same requests, nothing left over."""
    recipe = small_recipe(sources)
    await run_locally(recipe, tmp_path / "local")
    await run_in_shards(recipe, tmp_path / "run", *counts)
    assert everything(tmp_path / "run") == everything(tmp_path / "local")
    assert books(tmp_path / "run") == books(tmp_path / "local")
    assert asked(tmp_path / "run") == asked(tmp_path / "local")
    assert not (tmp_path / "run" / "journal").exists()
    assert [path for path in (tmp_path / "run" / "shards").iterdir() if path.is_dir()] == []


def test_killed_shards_are_taken_up_by_others(sources: Path, tmp_path: Path) -> None:
    """Two of three shards are killed with rows under way; two shards and a run without --shard end with the same rows,
    and no answer of the killed ones is asked for again."""
    run = tmp_path / "run"
    recipe = small_recipe(sources)
    asyncio.run(run_locally(recipe, tmp_path / "local"))
    for shard in ("0/2", "1/2"):
        assert start_shard(sources, run, shard).wait() == 0
    asyncio.run(merge_shards(recipe, run, until="dataset", model=scripted_model()))
    shards = [start_shard(sources, run, f"{number}/3", answers) for number, answers in enumerate((14, 14, 10_000))]
    for number in (0, 1):
        assert wait_for(lambda number=number: rows_on_disk(run, "concepts", f"p{number}") > 0)
        shards[number].send_signal(signal.SIGKILL)
        shards[number].wait()
    assert shards[2].wait() == 0
    with pytest.raises(RunFolderError, match="shards 0/3, 1/3 are missing"):
        asyncio.run(merge_shards(recipe, run, until="dataset", model=scripted_model()))
    assert start_shard(sources, run, "1/2").wait() == 0
    asyncio.run(run_locally(recipe, run))
    assert everything(run) == everything(tmp_path / "local")
    assert books(run) == books(tmp_path / "local")
    assert asked(run) == asked(tmp_path / "local")


async def test_merge_names_the_missing_shards_and_a_whole_run_does_their_rows(sources: Path, tmp_path: Path) -> None:
    """With one of three shards, merge refuses and changes nothing; a run without --shard goes on with the rest."""
    recipe, run = small_recipe(sources), tmp_path / "run"
    await run_shard(recipe, run, Partition(1, 3), until="dataset", model=scripted_model())
    with pytest.raises(RunFolderError, match=r"seeds and decontamination: rows of shards 0/3, 2/3 are missing; start"):
        await merge_shards(recipe, run, until="dataset", model=scripted_model())
    await run_locally(recipe, tmp_path / "local")
    await run_locally(recipe, run)
    assert everything(run) == everything(tmp_path / "local")


async def test_what_does_not_fit_together_is_refused(sources: Path, tmp_path: Path) -> None:
    """While a shard works: the same shard, another number of shards, other settings and a whole run are refused, in
    one line each; a shard that fits joins."""
    recipe, run = small_recipe(sources), tmp_path / "run"
    working, goes_on = asyncio.Event(), asyncio.Event()

    class Waiting(ScriptedModel):
        async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
            working.set()
            await goes_on.wait()
            return await super().complete(prompt, sampling, seed=seed)

    await run_recipe(recipe, run, until="near_dedup", model=scripted_model())
    first = asyncio.create_task(run_shard(recipe, run, Partition(0, 3), until="dataset", model=Waiting(answer)))
    await working.wait()
    other = small_recipe(sources, "concepts.temperature=0.1")
    for part, what, told in (
        (Partition(0, 3), recipe, "another process works on the same shard"),
        (Partition(1, 4), recipe, "is divided into 3 shards that are at work, and this is shard 1/4"),
        (Partition(1, 3), other, r"other shards work on .*concepts.temperature changed from 0.7 to 0.1"),
    ):
        with pytest.raises(RunFolderError, match=told):
            await run_shard(what, run, part, until="dataset", model=scripted_model())
    with pytest.raises(UserError, match="is in use by another run"):
        await run_locally(recipe, run)
    goes_on.set()
    joined = await run_shard(recipe, run, Partition(1, 3), until="dataset", model=scripted_model())
    assert joined.startswith("shard 1/3 of concepts, instructions and responses has ended")
    await first
    again = await run_shard(recipe, run, Partition(1, 3), until="dataset", model=scripted_model())
    assert again.startswith("shard 1/3 of concepts, instructions and responses has ended before")


async def test_shards_after_changed_settings(sources: Path, tmp_path: Path) -> None:
    """A complete run under another random seed of the model's stages: finished answers move only with `replace`, and
    the later stages, which were complete, are made of the new rows."""
    run = tmp_path / "run"
    await run_locally(small_recipe(sources), run)
    changed = small_recipe(sources, "concepts.temperature=0.1")
    with pytest.raises(RunFolderError, match="finished work of a model that would move to superseded"):
        await run_shard(changed, run, Partition(0, 2), until="dataset", model=scripted_model())
    for number in range(2):
        part = Partition(number, 2)
        await run_shard(changed, run, part, until="dataset", model=scripted_model(), replace_finished=True)
    assert await merge_shards(changed, run, until="dataset", model=scripted_model()) == ""
    await run_locally(changed, tmp_path / "local")
    assert everything(run) == everything(tmp_path / "local")


async def test_sources_that_are_gone_before_the_shards_end(sources: Path, tmp_path: Path) -> None:
    """Seeds of a file that is removed between two attempts are retired, as in a run by one process."""
    recipe, run = small_recipe(sources), tmp_path / "run"
    for number in range(2):
        await run_shard(recipe, run, Partition(number, 2), until="dataset", model=scripted_model())
    next(sources.glob("alder_0.py")).unlink()
    for number in range(3):
        await run_shard(recipe, run, Partition(number, 3), until="dataset", model=scripted_model())
    await merge_shards(recipe, run, until="dataset", model=scripted_model())
    await run_locally(recipe, run)
    await run_locally(recipe, tmp_path / "local")
    assert everything(run) == everything(tmp_path / "local")


async def test_with_nothing_to_do_a_shard_says_what_is_next(sources: Path, tmp_path: Path) -> None:
    """A whole-table stage is next: merge; all is complete: nothing. Merge without shards names the next flow."""
    recipe, run = small_recipe(sources), tmp_path / "run"
    await run_recipe(recipe, run, until="decontamination", model=scripted_model())
    told = await run_shard(recipe, run, Partition(0, 2), until="dataset", model=scripted_model())
    assert told == "nothing for shards to do: near_dedup needs all rows together; go on with --shard merge"
    coming = await merge_shards(recipe, run, until="dataset", model=scripted_model())
    assert coming.startswith("next: concepts, instructions and responses, by shards")
    assert await merge_shards(recipe, run, until="dataset", model=scripted_model()) == coming
    await run_locally(recipe, run)
    assert await run_shard(recipe, run, Partition(0, 2), until="selection", model=scripted_model()) == (
        "nothing is left for shards: all stages are complete"
    )


def test_a_writer_that_was_shut_out_commits_nothing(tmp_path: Path) -> None:
    """Its folder is moved away while it is at work: what it writes later is refused, and readers see none of it."""
    run = RunFolder(tmp_path / "run")
    (run.path / "shards" / "w1").mkdir(parents=True)
    (run.path / "seeds").mkdir()
    run.record({"form": 3, "journey": ["seeds"]})
    folder = WriterFolder(run.path, "w1")
    shards = Shards(run.path / "seeds", Seed, "source_id", "w1", folder.own)
    shards.write([make_seed(1)], [])
    gather(run)
    with pytest.raises(RunFolderError, match="cannot write to"):
        shards.write([make_seed(2)], [])
    with pytest.raises(RunFolderError):
        folder.record({"asked": {}})
    assert [row.id for row in Shards(run.path / "seeds", Seed, "source_id").rows()] == [make_seed(1).id]


@pytest.mark.parametrize("text", ["3/3", "1", "a/b", "-1/2", "0/0"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    """The message shows the form."""
    with pytest.raises(RecipeError, match=r"give i/n with i from 0 to n-1, as in 0/16"):
        Partition.parse(text)
