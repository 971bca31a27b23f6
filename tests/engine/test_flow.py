"""Rows through stages that look at one row at a time: resumed, cancelled, failing, several stages at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfcodealign.engine.flow import RowWork, flow
from selfcodealign.errors import BooksDoNotBalance, ModelError, RunFolderError
from selfcodealign.progress import Progress
from selfcodealign.rows import Concepts, Dropped, Instruction, Seed
from selfcodealign.run_folder.folder import Description, RunFolder, StageFolder
from tests.support.flows import (
    SEEDS,
    concepts_folder,
    expected,
    expected_instructions,
    ids,
    instructions_folder,
    run_flow,
    write_concepts,
    write_instructions,
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    with RunFolder(tmp_path / "run") as opened:
        opened.record({"form": 2, "journey": ["concepts", "instructions"]})
        yield opened


async def test_every_row_has_its_outcome_and_the_books_say_so(folder: RunFolder) -> None:
    """60 rows in: 20 dropped, the others kept, one or two rows each; the stage is finished."""
    stage = concepts_folder(folder)
    await run_flow(folder, SEEDS, stages=1)
    assert ids(stage) == expected(SEEDS)
    assert stage.finished
    assert stage.intact
    assert (stage.books().entered, stage.books().dropped) == (60, {"third": 20})


async def test_rows_go_on_to_the_next_stage_before_the_first_is_through(folder: RunFolder) -> None:
    """The second stage has worked on a row while most rows of the first one are still to come."""
    at_first_instruction: list[int] = []
    asked = 0

    async def counted(seed: Seed) -> list[Concepts | Dropped]:
        nonlocal asked
        asked += 1
        return await write_concepts(seed)

    async def watched(row: Concepts) -> list[Instruction | Dropped]:
        at_first_instruction.append(asked)
        return await write_instructions(row)

    await run_flow(folder, SEEDS, concepts=counted, instructions=watched)
    assert at_first_instruction[0] < 20
    assert ids(concepts_folder(folder)) == expected(SEEDS)
    assert ids(instructions_folder(folder)) == expected_instructions(SEEDS)
    assert instructions_folder(folder).books().entered == concepts_folder(folder).books().kept


async def test_the_queue_between_two_stages_is_short(folder: RunFolder) -> None:
    """A slow second stage throttles the first: rows wait on disk or in the source, not in memory."""
    made = used = most = 0

    async def fast(seed: Seed) -> list[Concepts | Dropped]:
        nonlocal made, most
        outcome = await write_concepts(seed)
        made += sum(not isinstance(row, Dropped) for row in outcome)
        most = max(most, made - used)
        return outcome

    async def slow(row: Concepts) -> list[Instruction | Dropped]:
        nonlocal used
        await asyncio.sleep(0.002)
        used += 1
        return await write_instructions(row)

    await run_flow(folder, SEEDS, concepts=fast, instructions=slow, rows_at_once=2)
    assert most <= 2 * 2 + 2 * 2 + 2 * 2  # waiting, under way in the second stage, held by the first one's workers
    assert ids(instructions_folder(folder)) == expected_instructions(SEEDS)


async def test_finished_stages_do_no_work_again(folder: RunFolder) -> None:
    """The second pass calls nothing and changes nothing."""
    await run_flow(folder, SEEDS)

    async def never(row: Any) -> list[Any]:
        raise AssertionError("called for a row that was done")

    await run_flow(folder, SEEDS, concepts=never, instructions=never)
    assert ids(instructions_folder(folder)) == expected_instructions(SEEDS)


@pytest.mark.parametrize("dies_in", ["concepts", "instructions"])
async def test_an_error_keeps_what_is_finished_and_a_second_run_completes_it(folder: RunFolder, dies_in: str) -> None:
    """A dead server stops the flow with its own error, not an exception group; no row on disk lacks its parent."""
    calls = 0

    async def dies(row: Any) -> list[Any]:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise ModelError("the server is gone")
        return await (write_concepts(row) if dies_in == "concepts" else write_instructions(row))

    options: dict[str, Any] = {dies_in: dies}
    with pytest.raises(ModelError, match="the server is gone"):
        await run_flow(folder, SEEDS, **options)
    concepts, instructions = concepts_folder(folder), instructions_folder(folder)
    assert not instructions.finished
    assert 0 < concepts.books().entered <= 60
    assert set(instructions.shards.parents()) <= {int(one, 16) for one in ids(concepts)}
    await run_flow(folder, SEEDS)
    assert ids(concepts) == expected(SEEDS)
    assert ids(instructions) == expected_instructions(SEEDS)


async def test_a_flush_that_never_began_loses_nothing(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes that were taken for writing are written in the end, when the error comes before the write begins."""

    async def never_begins(work: Any) -> None:
        await asyncio.sleep(60)

    async def dies(seed: Seed) -> list[Concepts | Dropped]:
        if seed.source_line == 40:
            await asyncio.sleep(0.3)  # a flush has taken the others meanwhile
            raise ModelError("the server is gone")
        return await write_concepts(seed)

    monkeypatch.setattr("selfcodealign.engine.flow.asyncio.to_thread", never_begins)
    with pytest.raises(ModelError):
        await run_flow(folder, SEEDS[:41], concepts=dies, stages=1, rows_at_once=41)
    assert concepts_folder(folder).books().entered == 40


async def test_cancelling_keeps_what_is_finished(folder: RunFolder) -> None:
    """Ctrl-C arrives as a cancelled task: everything finished is written, nothing twice after resuming."""
    seen = asyncio.Event()

    async def slow(seed: Seed) -> list[Concepts | Dropped]:
        if seed.source_line > 30:
            seen.set()
            await asyncio.sleep(60)
        return await write_concepts(seed)

    task = asyncio.create_task(run_flow(folder, SEEDS, concepts=slow))
    await seen.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert concepts_folder(folder).books().entered >= 20
    await run_flow(folder, SEEDS)
    assert ids(instructions_folder(folder)) == expected_instructions(SEEDS)


async def test_rows_of_inputs_that_are_gone_are_retired(folder: RunFolder) -> None:
    """With fewer inputs both stages hold only the rows of those; with more inputs, the missing rows are made."""
    await run_flow(folder, SEEDS)
    await run_flow(folder, SEEDS[:25])
    assert ids(concepts_folder(folder)) == expected(SEEDS[:25])
    assert ids(instructions_folder(folder)) == expected_instructions(SEEDS[:25])
    assert concepts_folder(folder).books().entered == 25
    await run_flow(folder, SEEDS)
    assert ids(instructions_folder(folder)) == expected_instructions(SEEDS)


@given(st.lists(st.tuples(st.sets(st.integers(0, 59)), st.integers(1, 90)), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_history_of_broken_runs_ends_with_the_rows_of_an_undisturbed_one(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[set[int], int]]
) -> None:
    """After any earlier runs, with any inputs and stopped at any point, the last run has exactly its own rows."""
    calls = 0

    def breaking_at(number: int, work: Any) -> Any:
        async def wrapped(row: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                raise ModelError("broken off")
            return await work(row)

        return wrapped

    with RunFolder(tmp_path_factory.mktemp("history") / "run") as folder:
        for chosen, breaks_at in history:
            calls = 0
            rows = [SEEDS[number] for number in sorted(chosen)]
            concepts, instructions = (breaking_at(breaks_at, one) for one in (write_concepts, write_instructions))
            try:
                await run_flow(folder, rows, concepts=concepts, instructions=instructions)
            except ModelError:
                continue
        await run_flow(folder, SEEDS[:40])
        assert ids(concepts_folder(folder)) == expected(SEEDS[:40])
        assert ids(instructions_folder(folder)) == expected_instructions(SEEDS[:40])


async def test_rows_of_one_id_are_one_row(folder: RunFolder) -> None:
    """Equal rows are worked on once."""
    await run_flow(folder, [*SEEDS[:9], *SEEDS[:9]])
    assert ids(concepts_folder(folder)) == expected(SEEDS[:9])


async def test_a_row_without_outcome_is_a_defect_that_is_not_hidden(folder: RunFolder) -> None:
    """A stage that returns nothing for a row breaks the books."""

    async def forgets(seed: Seed) -> list[Concepts | Dropped]:
        return [] if seed.source_line == 5 else await write_concepts(seed)

    with pytest.raises(BooksDoNotBalance, match="1 rows have no outcome"):
        await run_flow(folder, SEEDS, concepts=forgets, stages=1)


class Estimates(Progress):
    """Remembers what was said about totals; refuses to be told of a task that is not under way, as drawers do."""

    def __init__(self) -> None:
        self.totals: dict[str, list[int | None]] = {}
        self.counted: dict[str, int] = {}
        self.under_way: set[str] = set()

    def start(self, task: str, total: int | None, unit: str = "rows") -> None:
        self.under_way.add(task)
        self.totals[task] = [total]

    def finish(self, task: str, summary: str = "") -> None:
        self.under_way.remove(task)

    def expect(self, task: str, total: int | None) -> None:
        assert task in self.under_way
        self.totals[task].append(total)

    def skip(self, task: str, count: int = 1) -> None:
        assert task in self.under_way
        self.counted[task] = self.counted.get(task, 0) + count

    def advance(
        self, task: str, count: int = 1, *, kept: int = 0, dropped: Sequence[str] = (), facts: str = ""
    ) -> None:
        assert task in self.under_way
        self.counted[task] = self.counted.get(task, 0) + count


async def test_progress_counts_every_row_and_estimates_the_later_stages(folder: RunFolder) -> None:
    """The first stage's total is known; the second one's is estimated while the first is at work."""

    async def slow(seed: Seed) -> list[Concepts | Dropped]:
        await asyncio.sleep(0.02)
        return await write_concepts(seed)

    told = Estimates()
    await run_flow(folder, SEEDS, concepts=slow, progress=told, rows_at_once=2)
    kept = concepts_folder(folder).books().kept
    assert told.counted == {"concepts": 60, "instructions": kept}
    assert told.totals["concepts"][-1] == 60
    assert told.totals["instructions"][-1] == kept
    again = Estimates()
    await run_flow(folder, SEEDS, progress=again)
    assert again.counted == {"concepts": 60, "instructions": kept}


async def test_a_finished_stage_is_told_of_no_more_while_a_later_one_works(folder: RunFolder) -> None:
    """Estimates end with the stage that they come from: a display has put the finished one away."""

    async def slow(row: Instruction) -> list[Instruction | Dropped]:
        await asyncio.sleep(0.3)
        return [row]

    description = Description("Instruction", "instruction_id", "instruction_id", "instructions", ())
    works = [
        RowWork(concepts_folder(folder), write_concepts, 7, {}),
        RowWork(instructions_folder(folder), write_instructions, 7, {}),
        RowWork(folder.stage("slow", description, Instruction), slow, 50, {}),
    ]
    told = Estimates()
    await flow(works, SEEDS, len(SEEDS), flush_seconds=0.02, progress=told)
    assert told.under_way == set()
    assert told.counted["slow"] == instructions_folder(folder).books().kept


FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from selfcodealign.errors import RunFolderError
from selfcodealign.run_folder.folder import RunFolder
from tests.support.flows import SEEDS, concepts_folder, expected, ids, run_flow
with RunFolder(Path(sys.argv[1])) as folder:
    asyncio.run(run_flow(folder, SEEDS[:10], stages=1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
    try:
        asyncio.run(run_flow(folder, SEEDS, stages=1))
    except RunFolderError as error:
        print(error)
    assert ids(concepts_folder(folder)) == expected(SEEDS[:10])
"""


def test_a_full_disk_stops_the_run_with_a_line_and_loses_nothing(tmp_path: Path) -> None:
    """Writes that fail (here: a limit on the size of files) end the stage; earlier rows stay readable."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "cannot write" in done.stdout
    assert "make room or choose another" in done.stdout
    assert done.stdout.count("\n") == 1


async def test_an_error_of_the_disk_wins_over_the_cancelled_work(folder: RunFolder) -> None:
    """The disk's error is raised, because a person can fix it."""
    stage: StageFolder[Any] = concepts_folder(folder)

    async def work(seed: Seed) -> list[Concepts | Dropped]:
        if seed.source_line == 3:
            raise RunFolderError("no room")
        raise ValueError("a defect")

    def rows() -> Iterable[Seed]:
        return iter(SEEDS)

    works = [RowWork(stage, work, 60, {})]
    with pytest.raises(RunFolderError, match="no room"):
        await flow(works, rows(), 60, flush_seconds=1.0, progress=Progress())
