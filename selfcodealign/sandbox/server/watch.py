"""Watches a running program: its time, memory, processes, output, reports and end."""

from __future__ import annotations

import math
import os
import select
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

from selfcodealign.sandbox.isolation.scratch import ScratchUse
from selfcodealign.sandbox.server.forker import Forker, Standby
from selfcodealign.sandbox.server.reports import ReportReader
from selfcodealign.sandbox.server.steps import StepClock
from selfcodealign.sandbox.server.unseen_memory import UnseenMemory

_TICK_SECONDS = 0.05
_WAITS = 0.02  # a program that used less of a core than this waits; with more it is slowed by others
_MOST_READS = 64  # at a time, so that a flood of output cannot delay the time check


# The outcome of a program that was never started.
UNSTARTED = {"ended_by": "", "exit_code": 0, "seconds": 0.0, "peak_memory_mib": 0.0, "output": ""}


class Watch:
    """Watches one program at a time; `control` is the server's socket, closed when the result is no longer wanted."""

    def __init__(self, control: int, forker: Forker) -> None:
        self._control = control
        self._forker = forker
        self._tree = forker.tree
        self._unseen = UnseenMemory(forker.tree)

    def supervise(
        self,
        program: Standby,
        limits: dict[str, Any],
        keep_output: int,
        scratch: ScratchUse | None,
        together: dict[str, float] | None = None,
        errors_apart: bool = False,
    ) -> dict[str, Any]:
        """Watch the program until it ends or breaks a bound; every process it started is dead on return.

        The last `keep_output` bytes of its output are returned; with `errors_apart` as many of stderr, which is bounded
        as the output is. `together`: the bounds of each of several versions,
        instead of the limits on the time of the whole.
        """
        started = time.monotonic()
        reports, text = _Reports(program.nonce), _Tail(keep_output, limits["output_kib"] * 1024)
        sources: dict[int, _Source] = {program.report: reports, program.output: text}
        errors = _Tail(keep_output, limits["output_kib"] * 1024)
        if errors_apart:
            sources[program.errors] = errors
        for fd in sources:
            os.set_blocking(fd, False)
        steps = StepClock(together, started) if together else None
        ended_by, peak = self._follow(sources, limits, started, scratch, steps)
        if ended_by:
            program.kill()
        exit_codes, own_peak = self._forker.wait()
        if ended_by == "abandoned":
            os._exit(0)
        seconds = time.monotonic() - started
        for fd, source in sources.items():
            source.read_from(fd)
        return {
            "ended_by": ended_by or ("tampering" if reports.exceeded else ""),
            **exit_codes,
            "seconds": seconds,
            "peak_memory_mib": max(peak, own_peak),
            "output": text.decode(),
            "errors": errors.decode(),
            "reports": reports.messages,
        }

    def _follow(
        self,
        sources: dict[int, _Source],
        limits: dict[str, Any],
        started: float,
        scratch: ScratchUse | None,
        steps: StepClock | None,
    ) -> tuple[str, float]:
        """Return the reason to end the program ("" when it ended by itself), and its peak memory in MiB."""
        poll = select.poll()
        ended = self._forker.fileno()
        for fd in (ended, self._control, *sources):
            poll.register(fd, select.POLLIN)
        peak = worked = 0.0
        seen: dict[tuple[int, str], int] = {}
        # With a limit on CPU time, the clock is only looked at in ticks.
        by_clock = limits["cpu_seconds"] is None and steps is None
        deadline = started + limits["seconds"] if by_clock else math.inf
        next_tick = time.monotonic() + _TICK_SECONDS
        while True:
            wait = max(0.0, min(deadline, next_tick) - time.monotonic())
            ready = {fd for fd, _ in poll.poll(wait * 1000)}
            for fd in ready & sources.keys():
                if not sources[fd].read_from(fd):
                    poll.unregister(fd)
                if sources[fd].exceeded:
                    return sources[fd].REASON, peak
            if self._control in ready:
                return "abandoned", peak
            if ended in ready:
                return "", peak
            now = time.monotonic()
            if now >= deadline:
                return "timeout", peak
            if now >= next_tick:
                memory, pids = self._tree.usage()
                peak = max(peak, memory)
                if memory + self._unseen.mib(pids, limits, limits["memory_mib"] - memory) > limits["memory_mib"]:
                    return "memory", peak
                if steps is not None:
                    reports = next(source.messages for source in sources.values() if isinstance(source, _Reports))
                    if steps.is_over(reports, now, self._tree.cpu_seconds(seen), self._tree.is_asleep()):
                        return "timeout", peak
                elif limits["cpu_seconds"] is not None:
                    worked = max(worked, self._tree.cpu_seconds(seen))  # a process that has just ended reads as 0
                    if worked > limits["cpu_seconds"]:
                        return "cpu", peak
                    if now > started + limits["seconds"] and worked < _WAITS * (now - started):
                        return "timeout", peak
                if len(pids) > limits["processes"] + self._forker.PROCESSES:  # the first are the program itself
                    return "processes", peak
                if scratch is not None and scratch.exceeded():
                    return "scratch", peak
                next_tick = time.monotonic() + _TICK_SECONDS  # whatever the looks took: pipes are read between them


class _Source(ABC):
    """A pipe from a program's process; `exceeded` says that the program must be ended, for `REASON`."""

    REASON: str
    exceeded = False

    def read_from(self, fd: int) -> bool:
        """Read the available bytes; return False at the end of the pipe."""
        with suppress(BlockingIOError):
            for _ in range(_MOST_READS):
                chunk = os.read(fd, 1 << 16)
                if not chunk:
                    return False
                self.take(chunk)
        return True

    @abstractmethod
    def take(self, chunk: bytes) -> None:
        """Process one chunk."""


class _Reports(_Source):
    """Messages from the harness in the program's process, each with the secret of this run."""

    REASON = "tampering"

    def __init__(self, nonce: bytes) -> None:
        self._reader = ReportReader(nonce)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self._reader.messages

    def take(self, chunk: bytes) -> None:
        self._reader.take(chunk)
        self.exceeded = self._reader.broken


class _Tail(_Source):
    """The end of an output, and whether the output is too long."""

    REASON = "output"

    def __init__(self, keep: int, most: int) -> None:
        self._keep = keep
        self._most = most
        self._total = 0
        self._text = bytearray()

    def take(self, chunk: bytes) -> None:
        self._total += len(chunk)
        self.exceeded = self._total > self._most
        self._text += chunk
        del self._text[: -self._keep]

    def decode(self) -> str:
        """Return text; bytes that are not UTF-8 become replacement characters."""
        return self._text.decode("utf-8", "replace")
