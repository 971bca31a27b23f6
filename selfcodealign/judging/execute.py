"""Rows in, the same rows out with their verdicts: `selfcodealign execute`.

A row is a JSON object with `response` and `tests` (a text or a list of texts; or one `response` that holds both
sections) and any other fields;
every row is returned, in order, with the verdict's fields added. A row without these texts gets the status "no_code".
So does a line that is no JSON object, as {"line": its number, "text": what it holds}: a broken line costs no other row
its verdict.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfcodealign.errors import UserError, did_you_mean
from selfcodealign.files import json_line, parse_json_line, read_lines, write_whole
from selfcodealign.progress import Progress
from selfcodealign.sandbox import Limits, Program, Sandbox, Status, Verdict
from selfcodealign.sandbox.pool import Mode

_AHEAD_PER_WORKER = 8
#: Names of fields that an error lists.
_FIELDS_SHOWN = 10
#: The name under which progress is told.
TASK = "execute"
# The fields added to each row. `records` is for benchmark programs, which this command does not run.
VERDICT_FIELDS = ("status", "error_type", "message", "line", "output", "seconds", "peak_memory_mib", "repairs", "proof")
VERDICT_FIELDS += ("killed_by_value",)
#: The mutation score, and its name in the release before.
SCORE_FIELDS = ("mutation_score", "strength")


class _Broken(dict[str, Any]):
    """Stands for a line that is no JSON object."""

    def __init__(self, number: int, line: bytes, fault: str) -> None:
        super().__init__(line=number, text=line.decode("utf-8", "replace").rstrip("\r\n"))
        self.fault = fault


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Stream the rows of a file, with a row for each broken line. Raises `UserError` when the file cannot be read."""
    for number, line in enumerate(read_lines(path), 1):
        try:
            row = parse_json_line(line, path, number)
        except UserError as error:
            row = _Broken(number, line, str(error).removeprefix(f"{path}:{number}: "))
        if row is not None:
            yield row


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
    if isinstance(row, _Broken):
        return Verdict(Status.NO_CODE, message=row.fault, line=row["line"])
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
    split: bool = True,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> Counter[str]:
    """Execute every row of `source` into `target`; return the number of rows per status.

    Raises `UserError` when the one cannot be read or has no row to judge, or the other cannot be written or exists and
    is not to be replaced (`overwrite`); nothing is written then.
    """
    _check_target(source, target, overwrite=overwrite)
    counts: Counter[str] = Counter()
    seen = _Seen()
    progress = progress or Progress()
    sandbox = Sandbox(workers, limits or Limits(), mode, warm, mutation_testing, flake_reruns, split=split)
    rows = read_rows(source)
    first = next(rows, None)  # an unreadable file fails before anything is started
    with write_whole(target) as file:
        async with sandbox:
            progress.start(TASK, None, "programs")
            async for row, verdict in execute_rows(_chain(first, rows), sandbox):
                seen.note(row)
                file.write(json_line(add_verdict(row, verdict)))
                counts[verdict.status] += 1
                progress.advance(TASK)
        if counts and not seen.answers:
            raise UserError(f"{source}: {seen.explain()}")
    progress.finish(TASK, f"{counts.total()} {'program' if counts.total() == 1 else 'programs'} judged")
    return counts


@dataclass
class _Seen:
    """What the rows of a file had."""

    answers: int = 0
    fields: dict[str, None] = field(default_factory=dict)
    broken: str = ""

    def note(self, row: dict[str, Any]) -> None:
        if isinstance(row, _Broken):
            self.broken = self.broken or f"line {row['line']}: {row.fault}"
            return
        self.answers += isinstance(row.get("response"), str)
        if not self.answers:
            self.fields |= dict.fromkeys(row)

    def explain(self) -> str:
        """Tell why no row could be judged."""
        if not self.fields:
            return f"no row has a field ({self.broken})" if self.broken else "no row has a field"
        if "response" in self.fields:
            return 'no row has a text in its field "response"'
        shown = ", ".join(list(self.fields)[:_FIELDS_SHOWN]) + (", …" if len(self.fields) > _FIELDS_SHOWN else "")
        hint = did_you_mean("response", self.fields) or "; rename the one that holds the answers"
        return f'no row has a text in the field "response" (its fields are {shown}){hint}'


def _check_target(source: Path, target: Path, *, overwrite: bool) -> None:
    """Raise `UserError` if writing `target` would lose something that was not meant to be replaced."""
    if target.is_symlink() or (target.exists() and not target.is_file()):
        kind = "a link" if target.is_symlink() else "a folder" if target.is_dir() else "no regular file"
        raise UserError(f"{target} is {kind}: name a file to write")
    if not target.exists():
        return
    if source.exists() and target.samefile(source):
        raise UserError(f"{target} holds the rows to judge: write the verdicts to another file")
    if not overwrite:
        raise UserError(f"{target} exists: give --overwrite to replace it, or name another file")


def _chain(first: dict[str, Any] | None, rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    if first is not None:
        yield first
    yield from rest
