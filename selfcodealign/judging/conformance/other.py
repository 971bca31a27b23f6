"""Ask another judge about the suite: rows go to its standard input, verdicts come from its standard output.

A row and a verdict are one line of JSON each. A verdict has the row's `id` and `passed` (true or false), or `status`,
of which only "passed" is a pass. The order is free. Whatever else the judge writes, and whether it hangs, dies or
leaves processes behind, costs verdicts of rows and nothing more.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from selfcodealign.errors import UserError, reason_of
from selfcodealign.judging.conformance.suite import ConformanceProgram
from selfcodealign.progress import Progress

TASK = "judge"
#: Bytes of a line, and of the end of stderr that is kept.
_LONGEST_LINE, _KEPT_ERRORS = 1 << 20, 2000
#: Seconds for the judge to end, and for its last lines to arrive, when nothing more is expected.
_GRACE = 2.0
_SHOWN = 80


@dataclass
class Answers:
    """What another judge said: by id, whether the program passed, or why there is no verdict.

    `strays` are lines that are no verdict on any row, the first few; `errors` is the end of its stderr.
    """

    passed: dict[str, bool] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)
    stray_lines: int = 0
    errors: str = ""

    def take(self, line: bytes, ids: set[str]) -> bool:
        """Take one line of the judge's output; return whether it says something new about a row."""
        if not line.strip():
            return False
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        answer = answer if isinstance(answer, dict) else {}
        name = answer.get("id")
        if not isinstance(name, str) or name not in ids:
            self.stray_lines += 1
            if len(self.strays) < 3:
                self.strays.append(line[:_SHOWN].decode("utf-8", "replace").strip())
            return False
        return self._note(name, answer)

    def _note(self, name: str, answer: dict[str, Any]) -> bool:
        known = name in self.passed or name in self.faults
        passed = answer.get("passed")
        if "passed" not in answer and isinstance(answer.get("status"), str):
            passed = answer["status"] == "passed"
        if type(passed) is not bool:
            self.faults.setdefault(name, 'its line has neither "passed" (true or false) nor "status" (a text)')
        elif self.passed.setdefault(name, passed) is not passed:
            self.faults[name] = "two lines that contradict each other"
        return not known

    def verdict(self, name: str) -> bool | None:
        """Whether the program passed; None where the judge gave no verdict, or more than one."""
        return None if name in self.faults else self.passed.get(name)


async def ask_judge(
    command: str, programs: Sequence[ConformanceProgram], timeout: float, progress: Progress
) -> Answers:
    """Start the judge, give it all programs, and read its verdicts until it ends or gives none for `timeout` seconds.

    All of its processes that are still in its process group are killed then. Raises `UserError` when it cannot be
    started.
    """
    judge = await _start(command)
    answers = Answers()
    rows = "".join(json.dumps(one.row()) + "\n" for one in programs).encode()
    feeding = asyncio.create_task(_feed(judge, rows))
    errors = asyncio.create_task(_read_errors(judge, answers))
    progress.start(TASK, len(programs), "programs")
    try:
        reason = await _read(judge, answers, {one.id for one in programs}, timeout, progress)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(judge.pid, signal.SIGKILL)
        await judge.wait()
        await asyncio.wait([feeding, errors], timeout=_GRACE)
        feeding.cancel()
        errors.cancel()
    for one in programs:
        if one.id not in answers.passed:
            answers.faults.setdefault(one.id, reason)
    progress.finish(TASK, f"{len(answers.passed)} of {len(programs)} programs judged")
    return answers


async def _start(command: str) -> asyncio.subprocess.Process:
    try:
        words = shlex.split(command)
    except ValueError as found:
        raise UserError(f"--judge {command!r}: {found}; quote it as a shell would read it") from None
    if not words:
        raise UserError("--judge: name a command that reads rows and writes verdicts")
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(
            *words, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
    except OSError as found:
        raise UserError(f"--judge: cannot start {words[0]}: {reason_of(found)}; check the command") from None


async def _feed(judge: asyncio.subprocess.Process, rows: bytes) -> None:
    assert judge.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):
        judge.stdin.write(rows)
        await judge.stdin.drain()
        judge.stdin.close()


async def _read_errors(judge: asyncio.subprocess.Process, answers: Answers) -> None:
    assert judge.stderr is not None
    end = b""
    while data := await judge.stderr.read(1 << 16):
        end = (end + data)[-_KEPT_ERRORS:]
        answers.errors = end.decode("utf-8", "replace").strip()


async def _read(
    judge: asyncio.subprocess.Process, answers: Answers, ids: set[str], timeout: float, progress: Progress
) -> str:
    """Read verdicts; return why rows without one have none."""
    assert judge.stdout is not None
    loop = asyncio.get_running_loop()
    ended = asyncio.create_task(judge.wait())
    rest, deadline = b"", loop.time() + timeout
    try:
        while True:
            reading = asyncio.create_task(judge.stdout.read(1 << 16))
            await asyncio.wait([reading, ended], timeout=deadline - loop.time(), return_when="FIRST_COMPLETED")
            if not reading.done() and ended.done():  # its last lines; a child may hold the pipe open
                await asyncio.wait([reading], timeout=_GRACE)
            if not reading.done():
                reading.cancel()
                break
            data = reading.result()
            *lines, rest = (rest + data).split(b"\n")
            new = sum(answers.take(line, ids) for line in ([*lines, rest] if not data else lines))
            rest = rest[-_LONGEST_LINE:]  # the end of a line that is too long is no JSON
            progress.advance(TASK, new)
            if new:
                deadline = loop.time() + timeout
            if not data:
                await asyncio.wait([ended], timeout=_GRACE)
                break
            if loop.time() > deadline:
                break
        if ended.done():
            return f"the judge ended with exit status {ended.result()} and said nothing about it"
        return f"the judge gave no verdict for {timeout:g} s and was ended"
    finally:
        ended.cancel()
