"""Rows in, the same rows out with their verdicts: `selfcodealign execute`.

A row is a JSON object, or a row of a Parquet file, with `response` and `tests` (a text or a list of texts; or one
`response` that holds both sections) and any other fields. Every row is written when it and all before it are judged,
with the verdict's fields added. A row without these texts gets the status "no_code". So does a line that is no JSON
object, as {"text": what it holds, "line": its number}: a broken line costs no other row its verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from selfcodealign.errors import UserError
from selfcodealign.judging.journal import Convert, Output, check_target, compress, open_output
from selfcodealign.judging.opening import check_source, open_source
from selfcodealign.judging.reading import PARQUET, STANDARD, Source
from selfcodealign.judging.rows import ADDED_FIELDS, SCORE_FIELDS, VERDICT_FIELDS, Fields, Row, add_verdict, join_tests
from selfcodealign.judging.stopping import StoppedBySignal, cancelled_by_signals
from selfcodealign.judging.summary import Summary
from selfcodealign.progress import Progress
from selfcodealign.sandbox import Limits, Program, Sandbox, Status, Verdict
from selfcodealign.sandbox.on_demand import OnDemandSandbox
from selfcodealign.sandbox.pool import Mode

__all__ = ["SCORE_FIELDS", "VERDICT_FIELDS", "add_verdict", "execute_file", "execute_rows", "join_tests"]

#: Rows that may be ahead of the first one that is not judged: while that takes long, others go on.
_ROWS_AHEAD, _MIB_AHEAD = 1000, 64
#: Programs that are prepared for each worker, which holds more memory than the row.
_PREPARED_PER_WORKER = 2
#: Rows that are read at once, where they are there.
_ROWS_READ = 32
#: The name under which progress is told.
TASK = "execute"

T = TypeVar("T")


async def execute_file(
    source: Path,
    target: Path,
    *,
    fields: Fields = Fields(),  # noqa: B008 (a tuple)
    workers: int | None = None,
    limits: Limits | None = None,
    warm: tuple[str, ...] = ("numpy", "pandas"),
    mode: Mode = "auto",
    mutation_testing: bool = True,
    flake_reruns: int = 0,
    split: bool = True,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> Summary:
    """Execute every row of `source` into `target`, "-" being standard input and output; return the account.

    Goes on with an unfinished `target` that was begun with these settings. Raises `UserError` when the one cannot be
    read or has no row to judge, or the other cannot be written or exists and is not to be replaced (`overwrite`);
    `StoppedBySignal` after SIGTERM or Ctrl-C, with what is judged in `target`.
    """
    for name in fields:
        if name in ADDED_FIELDS:
            raise UserError(f'the verdict goes into the field "{name}", and its text would be lost: rename the field')
    check_source(source)
    check_target(source, target, overwrite=overwrite)
    limits, progress = limits or Limits(), progress or Progress()
    settings = {"version": version("selfcodealign"), **asdict(limits), "mode": mode, "split": split}
    settings |= {"mutation_testing": mutation_testing, "flake_reruns": flake_reruns, **fields._asdict()}
    sandbox = Sandbox(workers, limits, mode, warm, mutation_testing, flake_reruns, split=split)
    summary = Summary(sandbox.workers)
    with cancelled_by_signals() as stop:
        try:
            with closing(open_source(source, fields, for_table=target.name.endswith(PARQUET))) as rows:
                if warning := await _in_thread(rows.stop, rows.look):
                    progress.say(f"warning: {warning}")
                with open_output(target, settings, _conversion(rows, target), overwrite=overwrite) as output:
                    await _execute(rows, output, sandbox, summary, progress)
        except asyncio.CancelledError:
            if not stop.number:
                raise
            raise StoppedBySignal(stop.number, _tell_stopped(summary, target)) from None
    return summary


async def _execute(source: Source, output: Output, sandbox: Sandbox, summary: Summary, progress: Progress) -> None:
    async with OnDemandSandbox(sandbox) as running:
        await running.open()  # where a wall is missing, no output is touched
        await _in_thread(source.stop, output.begin, source, summary)
        began = monotonic()
        progress.start(TASK, source.expected(), "programs")
        progress.skip(TASK, summary.resumed)
        async with aclosing(execute_rows(source, running, sandbox.workers)) as judged:
            async for row, verdict in judged:
                if output.may_wait:
                    await _in_thread(output.stop, output.write, row.with_verdict(verdict))
                else:
                    output.write(row.with_verdict(verdict))
                summary.note(verdict.status, verdict.seconds)
                progress.expect(TASK, source.expected())
                progress.advance(TASK)
    summary.seconds = monotonic() - began
    summary.notes += await _in_thread(source.stop, output.finish, source)
    judged_rows = summary.rows - summary.resumed
    progress.finish(TASK, f"{judged_rows} {'program' if judged_rows == 1 else 'programs'} judged")


async def execute_rows(
    source: Source, sandbox: Sandbox | OnDemandSandbox, workers: int
) -> AsyncGenerator[tuple[Row, Verdict], None]:
    """Run each row's program; yield rows with their verdicts, in order, with a bounded number in progress.

    What is judged before reading fails is yielded before the `UserError` is raised.
    """
    window = _Window()
    prepared = asyncio.Semaphore(_PREPARED_PER_WORKER * workers)
    queue: asyncio.Queue[tuple[Row, asyncio.Task[Verdict]] | Exception | None] = asyncio.Queue()
    tasks: set[asyncio.Task[Any]] = set()

    async def feed() -> None:
        try:
            while rows := await _in_thread(source.stop, source.take, 1 if source.is_live else _ROWS_READ):
                for row in rows:
                    await window.enter(row)
                    task = asyncio.create_task(_execute_row(row, sandbox, prepared))
                    tasks.add(task)
                    queue.put_nowait((row, task))
            queue.put_nowait(None)
        except Exception as error:
            queue.put_nowait(error)

    feeder = asyncio.create_task(feed())
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            row, task = item
            verdict = await task
            tasks.discard(task)
            window.leave(row)
            yield row, verdict
    finally:
        tasks.add(feeder)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Window:
    """The rows that are read and not yet written, bounded in number and size."""

    def __init__(self) -> None:
        self._rows = self._bytes = 0
        self._left = asyncio.Event()

    async def enter(self, row: Row) -> None:
        """Wait until there is room for the row, which there always is if no other is there."""
        while self._rows and (self._rows >= _ROWS_AHEAD or self._bytes + row.size > _MIB_AHEAD << 20):
            self._left.clear()
            await self._left.wait()
        self._rows += 1
        self._bytes += row.size

    def leave(self, row: Row) -> None:
        self._rows -= 1
        self._bytes -= row.size
        self._left.set()


async def _execute_row(row: Row, sandbox: Sandbox | OnDemandSandbox, prepared: asyncio.Semaphore) -> Verdict:
    if row.fault:
        return Verdict(Status.NO_CODE, message=row.fault, line=row.line)
    async with prepared:
        response, tests = row.response, join_tests(row.tests)
        if not isinstance(response, str) or not isinstance(tests, str):
            what = "response is no text" if not isinstance(response, str) else "tests are no text or list of texts"
            return Verdict(Status.NO_CODE, message=f"the row's {what}")
        return await sandbox.run(Program(response, tests))


def _conversion(source: Source, target: Path) -> Convert | None:
    """Return what makes `target` of the rows once all are judged; None where they are written to it at once."""
    if target.name.endswith(PARQUET):
        from selfcodealign.judging import columns, tables

        return tables.add_columns if isinstance(source, tables.ParquetRows) else columns.write_table
    return compress if target.name.endswith(".gz") else None


def _tell_stopped(summary: Summary, target: Path) -> str:
    rows = f"{summary.rows:,} {'row is' if summary.rows == 1 else 'rows are'} judged"
    return f"stopped: {rows}" + ("" if str(target) == STANDARD else "; run the same command again to resume")


async def _in_thread(stop: Callable[[], None], call: Callable[..., T], *args: Any) -> T:
    """Call what may wait or take long in a thread; when cancelled, `stop` it, and return only when it has ended."""
    future = asyncio.ensure_future(asyncio.to_thread(call, *args))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop()
        await asyncio.wait([future])
        future.exception()
        raise
