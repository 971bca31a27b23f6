"""Codes → what is wrong with each, by programs that read them: one process of each tool for a whole batch."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from selfcodealign.curation.static_tools import Finding, Findings, Tool, clean_environment, first_line, parse_report
from selfcodealign.errors import CheckerError

#: Processor time of a tool, in seconds, and a part for each file: time on the clock would depend on other programs.
_SECONDS, _SECONDS_PER_FILE = 30, 0.1
#: A tool that uses no processor time and does not end is stopped after this time.
_SILENT_SECONDS = 3600
#: A batch that a tool fails on is checked again in so many parts.
_PARTS = 16
#: A tool that works finds the type error and the undefined name, and nothing in the rest.
_PROBE = "def f(x: int) -> int:\n    return x\n", "def f():\n    return undefined_name + (1 + '')\n"


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A code that a tool fails on again and again, where it checks others: the tool and what came of it."""

    tool: str
    what: str


Result = Sequence[Finding] | Unchecked


class _ToolFailed(Exception):
    """A tool gave no report; the message says what it did."""


async def check_codes(codes: Sequence[str], tools: Sequence[Tool]) -> list[Result]:
    """What each tool finds in each code, in the order of the tools.

    Raises `CheckerError` when a tool fails on any code. A single code that a tool fails on is `Unchecked`.
    """
    found: list[Result] = [[] for _ in codes]
    for results in await asyncio.gather(*(_check_with(tool, codes) for tool in tools)):
        for number, result in enumerate(results):
            known = found[number]
            if not isinstance(known, Unchecked):
                found[number] = result if isinstance(result, Unchecked) else [*known, *result]
    return found


def probe(tool: Tool) -> str | None:
    """Run a tool on two small files; what is wrong with it, or None."""
    with tempfile.TemporaryDirectory(prefix="selfcodealign-check-") as folder:
        command = _lay_out(Path(folder), _PROBE, tool)
        try:
            answer = subprocess.run(
                command, cwd=folder, env=clean_environment(), capture_output=True, timeout=_SILENT_SECONDS, check=False
            )
        except (OSError, subprocess.SubprocessError) as error:
            return f"{tool.describe()} does not start: {error}"
    found = parse_report(tool, answer.stdout)
    if found is None or set(found) != {_name(1)}:
        said = first_line(answer.stderr) or first_line(answer.stdout) or "it reports nothing"
        return f"{tool.describe()} does not check code here (exit status {answer.returncode}): {said}"
    return None


async def _check_with(tool: Tool, codes: Sequence[str]) -> list[Result]:
    try:
        found = await _run(tool, codes)
    except _ToolFailed as failure:
        if len(codes) > 1:
            size = -(-len(codes) // _PARTS)
            parts = [codes[start : start + size] for start in range(0, len(codes), size)]
            return [one for part in parts for one in await _check_with(tool, part)]
        problem = await asyncio.to_thread(probe, tool)
        if problem is not None:
            raise CheckerError(problem) from None
        return [Unchecked(tool.describe(), str(failure))]
    return [found.get(_name(number), ()) for number in range(len(codes))]


async def _run(tool: Tool, codes: Sequence[str]) -> Findings:
    with tempfile.TemporaryDirectory(prefix="selfcodealign-check-", ignore_cleanup_errors=True) as folder:
        command = await asyncio.to_thread(_lay_out, Path(folder), codes, tool)
        status, output, complaint = await _run_command(command, folder, len(codes))
    found = await asyncio.to_thread(parse_report, tool, output) if status in (0, 1) else None
    if found is None:
        ended = f"it was ended by signal {-status}" if status < 0 else f"exit status {status}"
        raise _ToolFailed(f"{ended}; {complaint}" if complaint else ended)
    return found


async def _run_command(command: Sequence[str], folder: str, files: int) -> tuple[int, bytes, str]:
    """Exit status, output and first complaint. The processes are gone when this ends, however it does."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=clean_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the run, which ends the tool
        )
    except OSError as error:
        raise CheckerError(f"{command[0]} does not start: {error}") from None
    seconds = int(_SECONDS + _SECONDS_PER_FILE * files)
    try:
        with suppress(OSError):  # it has ended already
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (seconds, seconds))
        async with asyncio.timeout(_SILENT_SECONDS):
            output, complaint = await process.communicate()
    except TimeoutError:
        raise _ToolFailed(f"no result in {_SILENT_SECONDS} s") from None
    finally:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    assert process.returncode is not None
    return process.returncode, output, first_line(complaint)


def _lay_out(folder: Path, codes: Sequence[str], tool: Tool) -> list[str]:
    """Write the codes and the configuration; return the command."""
    for number, code in enumerate(codes):
        (folder / _name(number)).write_text(code, "utf-8")
    return tool.configure(folder)


def _name(number: int) -> str:
    return f"seed_{number:06d}_of_this_batch.py"
