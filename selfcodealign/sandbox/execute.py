"""Rows in, the same rows out with their verdicts: `selfcodealign execute`.

A row is a JSON object with `response` and `tests` (a text or a list of texts; or one `response` that holds both
sections) and any other fields;
every row is returned, in order, with the verdict's fields added. A row without these texts gets the status "no_code",
so line n of the output is line n of the input.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from selfcodealign.files import json_line, read_json_lines, write_whole
from selfcodealign.progress import Progress
from selfcodealign.sandbox import Limits, Program, Sandbox, Status, Verdict
from selfcodealign.sandbox.pool import Mode

_AHEAD_PER_WORKER = 8
#: The name under which progress is told.
TASK = "execute"
# The fields added to each row. `records` is for benchmark programs, which this command does not run.
VERDICT_FIELDS = ("status", "error_type", "message", "line", "output", "seconds", "peak_memory_mib", "repairs")
#: The mutation score, and its name in the release before.
SCORE_FIELDS = ("mutation_score", "strength")


async def execute_rows(
    rows: Iterator[dict[str, Any]], sandbox: Sandbox
) -> AsyncIterator[tuple[dict[str, Any], Verdict]]:
    """Run each row's program; yield rows with their verdicts, in order, with a bounded number in progress."""
    pending: asyncio.Queue[tuple[dict[str, Any], asyncio.Task[Verdict]]] = asyncio.Queue()
    try:
        while True:
            while pending.qsize() < _AHEAD_PER_WORKER * sandbox.workers:
                row = next(rows, None)
                if row is None:
                    break
                pending.put_nowait((row, asyncio.create_task(_execute_row(row, sandbox))))
            if pending.empty():
                return
            row, task = pending.get_nowait()
            yield row, await task
    finally:
        while not pending.empty():
            pending.get_nowait()[1].cancel()


async def _execute_row(row: dict[str, Any], sandbox: Sandbox) -> Verdict:
    response, tests = row.get("response"), join_tests(row.get("tests"))
    if not isinstance(response, str) or not isinstance(tests, str):
        return Verdict(Status.NO_CODE, message='the row has no text in "response" (and "tests")')
    return await sandbox.run(Program(response, tests))


def join_tests(tests: Any) -> Any:
    """Return a list of tests, or the JSON text of one, as one text; other values unchanged (None as "").

    AceCode and opc-sft have lists of assertions, some data sets have them as JSON.
    """
    if isinstance(tests, str) and tests.lstrip().startswith("["):
        try:
            listed = json.loads(tests)
        except (ValueError, RecursionError):
            return tests
        tests = listed if isinstance(listed, list) and all(isinstance(one, str) for one in listed) else tests
    if isinstance(tests, list | tuple) and all(isinstance(one, str) for one in tests):
        return "\n".join(tests)
    return "" if tests is None else tests


def add_verdict(row: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    """Return the row with the verdict's fields; they replace fields of the same names."""
    fields = {name: getattr(verdict, name) for name in VERDICT_FIELDS}
    return row | fields | dict.fromkeys(SCORE_FIELDS, verdict.mutation_score)


async def execute_file(
    source: Path,
    target: Path,
    *,
    workers: int | None = None,
    limits: Limits | None = None,
    warm: tuple[str, ...] = ("numpy", "pandas"),
    mode: Mode = "auto",
    mutation_testing: bool = True,
    flake_reruns: int = 0,
    progress: Progress | None = None,
) -> Counter[str]:
    """Execute every row of `source` into `target`; return the number of rows per status.

    Raises `UserError` when the one cannot be read or the other cannot be written.
    """
    counts: Counter[str] = Counter()
    progress = progress or Progress()
    sandbox = Sandbox(workers, limits or Limits(), mode, warm, mutation_testing, flake_reruns)
    rows = (row for _, row in read_json_lines(source))
    first = next(rows, None)  # an unreadable file fails before anything is started
    with write_whole(target) as file:
        async with sandbox:
            progress.start(TASK, None, "programs")
            async for row, verdict in execute_rows(_chain(first, rows), sandbox):
                file.write(json_line(add_verdict(row, verdict)))
                counts[verdict.status] += 1
                progress.advance(TASK)
    progress.finish(TASK, f"{counts.total()} programs judged")
    return counts


def _chain(first: dict[str, Any] | None, rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    if first is not None:
        yield first
    yield from rest
