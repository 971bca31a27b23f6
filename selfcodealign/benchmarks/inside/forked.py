"""Runs code in a process of its own with limits, in an empty folder; the process reports one status and a message."""

from __future__ import annotations

import marshal
import os
import resource
import select
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from selfcodealign.benchmarks.inside.time_limit import by_clock, cpu_clock, is_waiting, read_cpu

_SECRET_BYTES = 16
_POLL_SECONDS = 0.05
#: A pipe takes this much in one piece (a report is far smaller).
_LARGEST = 4096

#: The code of an answer; returns its status ("pass", "wrong", "error") and a message.
Work = Callable[[], tuple[str, str]]


class Report(NamedTuple):
    """How the code ended: "pass", "wrong", "error", "time" or "crashed", a message, the seconds of CPU time."""

    status: str
    message: str
    seconds: float


def run_forked(work: Work, seconds: float, waits: float) -> Report:
    """Run `work` in a new process and return its report.

    The limit is `seconds` of CPU time. A process that waits ends after `waits` seconds of wall time, any other after
    `by_clock(seconds)`. What it started ends with it, as far as `end_leftovers` reaches.
    """
    # The process reports under a secret that no name of the answer refers to.
    secret = os.urandom(_SECRET_BYTES)
    report, report_in = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        pid = os.fork()
        if pid == 0:
            _become_answer(work, secret, report_in, folder, seconds)
        os.close(report_in)
        try:
            data = _read_report(report, pid, seconds, waits)
        finally:
            os.close(report)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            ended, usage = os.wait4(pid, 0)[1:]
            end_leftovers(pid)
    used = usage.ru_utime + usage.ru_stime
    if data is None or os.waitstatus_to_exitcode(ended) == -signal.SIGXCPU:
        return Report("time", f"used more than {seconds:g} s, or waited for more than {waits:g} s", used)
    if data[:_SECRET_BYTES] != secret:
        return Report("crashed", "the answer ended its process before the end of the tests", used)
    status, message = marshal.loads(data[_SECRET_BYTES:])
    return Report(status, message, used)


def end_leftovers(pid: int) -> None:
    """Kill what the ended process `pid`, which led a session, has started; this process may have no other children.

    Where the judge is the first process of its pid namespace, nothing is left; elsewhere (a sandbox of Landlock alone)
    a child with a session of its own ends with the judge's program.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if os.getpid() == 1:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)


def _become_answer(work: Work, secret: bytes, report: int, folder: str, seconds: float) -> None:
    """In the new process; never returns."""
    leave, write, dumps = os._exit, os.write, marshal.dumps
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        # The judge's other pipes, and the sandbox's own report.
        os.closerange(3, report)
        os.closerange(report + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        used = resource.getrusage(resource.RUSAGE_SELF)
        most = int(used.ru_utime + used.ru_stime + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))
        os.chdir(folder)
        try:
            status, message = work()
        except BaseException as error:
            status, message = "error", describe(error)
        write(report, secret + dumps((status, _one_line(message))))
    finally:
        leave(0)


def _read_report(report: int, pid: int, seconds: float, waits: float) -> bytes | None:
    """Return what the process wrote first ("" when it ended without); None when it ran out of time."""
    clock = cpu_clock(pid)
    started = time.monotonic()
    # One write holds the whole report; a child of the answer may keep the pipe open after it.
    while not select.select([report], [], [], _POLL_SECONDS)[0]:
        elapsed, used = time.monotonic() - started, read_cpu(clock)
        if used > seconds or elapsed > by_clock(seconds) or (elapsed > waits and is_waiting(used, elapsed)):
            return None
    return os.read(report, _LARGEST)


def _one_line(message: str) -> str:
    """Return at most 600 characters without line ends and escape sequences' controls."""
    plain = "".join(one if one.isprintable() else " " for one in message[:1000])
    return " ".join(plain.split())[:600].encode("utf-8", "replace").decode()


def describe(error: BaseException) -> str:
    """Return the type and the first 300 characters of an error, whatever its `__str__` does."""
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except BaseException:
        return type(error).__name__
