"""What the server sees of a running program: its clock, memory, processes, output, reports and end."""

from __future__ import annotations

import marshal
import os
import select
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from selfcodealign.sandbox.server.forker import NONCE_BYTES, Forker, Standby
from selfcodealign.sandbox.server.frames import HEADER
from selfcodealign.sandbox.server.process_tree import Family

_TICK_SECONDS = 0.05
_MOST_REPORT = 16 << 20
_MOST_READS = 64  # at a time, so that a flood cannot keep the clock from being read


# The answer on a program that was never started.
UNSTARTED = {"ended_by": "", "exit_code": 0, "seconds": 0.0, "peak_memory_mib": 0.0, "output": ""}


class Watch:
    """Watches one program at a time; `control` is the server's socket, whose end means that nobody waits any more."""

    def __init__(self, control: int, forker: Forker, family: Family) -> None:
        self._control = control
        self._forker = forker
        self._family = family

    def see_to_its_end(
        self, program: Standby, limits: dict[str, Any], keep_output: int, over_scratch: Callable[[], bool] | None
    ) -> dict[str, Any]:
        """Follow the program until it has ended or has to be ended; everything it started is dead on return.

        `keep_output` bytes of its output come back, the last ones.
        """
        started = time.monotonic()
        reports, text = _Reports(program.nonce), _Tail(keep_output, limits["output_kib"] * 1024)
        sources: dict[int, _Source] = {program.report: reports, program.output: text}
        for fd in sources:
            os.set_blocking(fd, False)
        ended_by, peak = self._follow(sources, limits, started + limits["seconds"], over_scratch)
        if ended_by:
            program.kill()
        exit_code, own_peak = self._forker.wait()
        if ended_by == "abandoned":
            os._exit(0)
        seconds = time.monotonic() - started
        for fd, source in sources.items():
            source.read_from(fd)
        program.close()
        return {
            "ended_by": ended_by or ("tampering" if reports.overdone else ""),
            "exit_code": exit_code,
            "seconds": seconds,
            "peak_memory_mib": max(peak, own_peak),
            "output": text.decode(),
            "reports": reports.messages,
        }

    def _follow(
        self,
        sources: dict[int, _Source],
        limits: dict[str, Any],
        deadline: float,
        over_scratch: Callable[[], bool] | None,
    ) -> tuple[str, float]:
        """Until the program ends or breaks a bound: what it has to be ended for (or ""), and its peak memory in MiB."""
        poll = select.poll()
        ended = self._forker.fileno()
        for fd in (ended, self._control, *sources):
            poll.register(fd, select.POLLIN)
        peak = 0.0
        next_tick = time.monotonic() + _TICK_SECONDS
        while True:
            wait = max(0.0, min(deadline, next_tick) - time.monotonic())
            ready = {fd for fd, _ in poll.poll(wait * 1000)}
            for fd in ready & sources.keys():
                if not sources[fd].read_from(fd):
                    poll.unregister(fd)
                if sources[fd].overdone:
                    return sources[fd].OVERDOING, peak
            if self._control in ready:
                return "abandoned", peak
            if ended in ready:
                return "", peak
            now = time.monotonic()
            if now >= deadline:
                return "timeout", peak
            if now >= next_tick:
                next_tick = now + _TICK_SECONDS
                memory, processes = self._family.usage()
                peak = max(peak, memory)
                if memory > limits["memory_mib"]:
                    return "memory", peak
                if processes > limits["processes"] + 1:  # its first one is no choice of its own
                    return "processes", peak
                if over_scratch is not None and over_scratch():
                    return "scratch", peak


class _Source(ABC):
    """What comes through a pipe from a program's process; `overdone` says that it has to be ended for it."""

    OVERDOING: str
    overdone = False

    def read_from(self, fd: int) -> bool:
        """Take in what is there, one pipe full at a time; False at its end."""
        with suppress(BlockingIOError):
            for _ in range(_MOST_READS):
                chunk = os.read(fd, 1 << 16)
                if not chunk:
                    return False
                self.take(chunk)
        return True

    @abstractmethod
    def take(self, chunk: bytes) -> None:
        """Take in one part."""


class _Reports(_Source):
    """Messages from the harness inside the program's process, each under the secret of this run."""

    OVERDOING = "tampering"

    def __init__(self, nonce: bytes) -> None:
        self._nonce = nonce
        self._buffer = bytearray()
        self._seen = 0
        self.messages: list[Any] = []

    def take(self, chunk: bytes) -> None:
        self._seen += len(chunk)
        if not self.overdone:
            self._buffer += chunk
            self._take_messages()

    def _take_messages(self) -> None:
        start = NONCE_BYTES + HEADER.size
        while len(self._buffer) >= start:
            size = HEADER.unpack_from(self._buffer, NONCE_BYTES)[0]
            if self._buffer[:NONCE_BYTES] != self._nonce or size > _MOST_REPORT or self._seen > 2 * _MOST_REPORT:
                self.overdone = True
                return
            if len(self._buffer) < start + size:
                return
            self.messages.append(marshal.loads(bytes(self._buffer[start : start + size])))
            del self._buffer[: start + size]


class _Tail(_Source):
    """The last of an output, and whether there was too much of it."""

    OVERDOING = "output"

    def __init__(self, keep: int, most: int) -> None:
        self._keep = keep
        self._most = most
        self._total = 0
        self._text = bytearray()

    def take(self, chunk: bytes) -> None:
        self._total += len(chunk)
        self.overdone = self._total > self._most
        self._text += chunk
        del self._text[: -self._keep]

    def decode(self) -> str:
        """Text; bytes that are no UTF-8 become replacement characters."""
        return self._text.decode("utf-8", "replace")
