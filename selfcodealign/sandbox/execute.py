"""Rows in, the same rows out with their verdicts: `selfcodealign execute`.

A row is a JSON object with `response` and `tests` (or one `response` that holds both sections) and any other fields;
every row is returned, in order, with the verdict's fields added. A row without these texts gets the status "no_code",
so line n of the output is line n of the input.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from selfcodealign.errors import UserError
from selfcodealign.sandbox import Limits, Program, Sandbox, Status, Verdict
from selfcodealign.sandbox.pool import Mode

_AHEAD_PER_WORKER = 8
# The fields added to each row. `records` is for benchmark programs, which this command does not run.
VERDICT_FIELDS = ("status", "error_type", "message", "line", "output", "seconds", "peak_memory_mib")
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
    response, tests = row.get("response"), row.get("tests") or ""
    if not isinstance(response, str) or not isinstance(tests, str):
        return Verdict(Status.NO_CODE, message='the row has no text in "response" (and "tests")')
    return await sandbox.run(Program(response, tests))


def add_verdict(row: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    """Return the row with the verdict's fields; they replace fields of the same names."""
    fields = {name: getattr(verdict, name) for name in VERDICT_FIELDS}
    return row | fields | dict.fromkeys(SCORE_FIELDS, verdict.mutation_score)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a .jsonl or .jsonl.gz file. Raises `UserError` naming the bad line."""
    try:
        with _open(path, "rt") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _parse(path, number, line)
    except (OSError, UnicodeDecodeError, EOFError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"cannot read {path}: {reason}") from None


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {number}: not JSON ({error.msg}); every line must be one JSON object") from None
    if not isinstance(row, dict):
        raise UserError(f"{path}, line {number}: a {type(row).__name__}; every line must be one JSON object")
    return row


@contextmanager
def write_whole(path: Path) -> Iterator[IO[str]]:
    """Open a file that appears under its name only when complete. Raises `UserError` when it cannot be written."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with _open(unfinished, "wt", compressed=path.suffix == ".gz") as file:
            yield file
        os.replace(unfinished, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _open(path: Path, mode: str, compressed: bool | None = None) -> Any:
    if path.suffix == ".gz" if compressed is None else compressed:
        return gzip.open(path, mode, encoding="utf-8")
    return open(path, mode, encoding="utf-8")


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
    on_row: Callable[[], None] = lambda: None,
) -> Counter[str]:
    """Execute every row of `source` into `target`; return the number of rows per status."""
    counts: Counter[str] = Counter()
    sandbox = Sandbox(workers, limits or Limits(), mode, warm, mutation_testing, flake_reruns)
    rows = read_rows(source)
    first = next(rows, None)  # an unreadable file fails before anything is started
    with write_whole(target) as file:
        async with sandbox:
            async for row, verdict in execute_rows(_chain(first, rows), sandbox):
                file.write(json.dumps(add_verdict(row, verdict), ensure_ascii=False) + "\n")
                counts[verdict.status] += 1
                on_row()
    return counts


def _chain(first: dict[str, Any] | None, rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    if first is not None:
        yield first
    yield from rest
