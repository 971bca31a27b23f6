"""What the server sees of a running program: its clock, memory, processes, output, reports and end."""

from __future__ import annotations

import marshal
import os
import select
import signal
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK_SECONDS = 0.05
_NONCE = 16
_LENGTH = struct.Struct("!I")
_MOST_REPORT = 16 << 20
_MOST_READS = 64  # at a time, so that a flood cannot keep the clock from being read


# The answer on a program that was never started.
UNSTARTED = {"ended_by": "", "exit_code": 0, "seconds": 0.0, "peak_memory_mib": 0.0, "output": ""}


class Watch:
    """Watches one program at a time; `control` is the server's socket, whose end means that nobody waits any more."""

    def __init__(self, control: int) -> None:
        self._control = control
        self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._me = int(os.readlink("/proc/self"))
        self._own_pages = 0

    def open_proc(self, name: str, pid: int | None = None) -> IO[str]:
        """A file of /proc/<pid>, by the /proc of the host even where the root folder has none."""
        return open(f"{pid or self._me}/{name}", opener=lambda path, flags: os.open(path, flags, dir_fd=self._proc))

    def measure_itself(self) -> int:
        """Note what this process holds, which its children share; returns its address space in bytes."""
        with self.open_proc("statm") as statm:
            total, self._own_pages = map(int, statm.read().split()[:2])
        return total * _PAGE

    def see_to_its_end(
        self,
        pid: int,
        job: dict[str, Any],
        nonce: bytes,
        report: int,
        output: int,
        own_pid_namespace: bool,
        over_scratch: Callable[[], bool] | None,
    ) -> dict[str, Any]:
        """Follow the program until it has ended or has to be ended; everything it started is dead on return."""
        limits = job["limits"]
        started = time.monotonic()
        reports, text = _Reports(nonce), _Tail(job["keep_output_kib"] * 1024, limits["output_kib"] * 1024)
        os.set_blocking(report, False)
        os.set_blocking(output, False)
        ended = os.pidfd_open(pid)
        sources = {report: reports, output: text}
        ended_by, peak = self._follow(ended, sources, limits, started + limits["seconds"], over_scratch)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        status, usage = os.wait4(pid, 0)[1:]
        if not own_pid_namespace:
            self.kill_children()
        if ended_by == "abandoned":
            os._exit(0)
        seconds = time.monotonic() - started
        for fd, source in sources.items():
            source.read_from(fd)
        for fd in (ended, *sources):
            os.close(fd)
        return {
            "ended_by": ended_by or ("tampering" if reports.overdone else ""),
            "exit_code": os.waitstatus_to_exitcode(status),
            "seconds": seconds,
            "peak_memory_mib": max(peak, usage.ru_maxrss / 1024),
            "output": text.decode(),
            "reports": reports.messages,
        }

    def _follow(
        self,
        ended: int,
        sources: dict[int, _Reports | _Tail],
        limits: dict[str, Any],
        deadline: float,
        over_scratch: Callable[[], bool] | None,
    ) -> tuple[str, float]:
        """Until the program ends or breaks a bound: what it has to be ended for (or ""), and its peak memory in MiB."""
        poll = select.poll()
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
                memory, processes = self._usage()
                peak = max(peak, memory)
                if memory > limits["memory_mib"]:
                    return "memory", peak
                if processes > limits["processes"] + 1:
                    return "processes", peak
                if over_scratch is not None and over_scratch():
                    return "scratch", peak

    def _usage(self) -> tuple[float, int]:
        """Resident MiB and number of all processes below this server; pages of the server's own count once."""
        pages, count, waiting = self._own_pages, 0, self._children(self._me)
        while waiting:
            child = waiting.pop()
            count += 1
            with suppress(OSError, ValueError, IndexError), self.open_proc("statm", child) as statm:
                pages += max(0, int(statm.read().split()[1]) - self._own_pages)
            waiting += self._children(child)
            if count > 4096:
                break
        return pages * _PAGE / 2**20, count

    def _children(self, pid: int) -> list[int]:
        try:
            with self.open_proc(f"task/{pid}/children", pid) as file:
                return [int(word) for word in file.read().split()]
        except OSError:
            return []

    def kill_children(self) -> None:
        """Kill and reap everything below this process (which adopts orphans) until nothing is left."""
        while True:
            family, waiting = [], self._children(self._me)
            while waiting:
                child = waiting.pop()
                family.append(child)
                with suppress(OSError):
                    os.kill(child, signal.SIGSTOP)
                waiting += self._children(child)
            for child in family:
                with suppress(OSError):
                    os.kill(child, signal.SIGKILL)
            try:
                while os.waitpid(-1, 0 if family else os.WNOHANG)[0] and not family:
                    pass
            except ChildProcessError:
                return


class _Reports:
    """Messages from the harness inside the program's process, each under the secret of this run."""

    OVERDOING = "tampering"

    def __init__(self, nonce: bytes) -> None:
        self._nonce = nonce
        self._buffer = bytearray()
        self._seen = 0
        self.messages: list[Any] = []
        self.overdone = False

    def read_from(self, fd: int) -> bool:
        """Take in what is there; False at its end."""
        with suppress(BlockingIOError):
            for _ in range(_MOST_READS):
                chunk = os.read(fd, 1 << 16)
                if not chunk:
                    return False
                self._seen += len(chunk)
                if not self.overdone:
                    self._buffer += chunk
                    self._take_messages()
        return True

    def _take_messages(self) -> None:
        start = _NONCE + _LENGTH.size
        while len(self._buffer) >= start:
            size = _LENGTH.unpack_from(self._buffer, _NONCE)[0]
            if self._buffer[:_NONCE] != self._nonce or size > _MOST_REPORT or self._seen > 2 * _MOST_REPORT:
                self.overdone = True
                return
            if len(self._buffer) < start + size:
                return
            self.messages.append(marshal.loads(bytes(self._buffer[start : start + size])))
            del self._buffer[: start + size]


class _Tail:
    """The last of an output, and whether there was too much of it."""

    OVERDOING = "output"

    def __init__(self, keep: int, most: int) -> None:
        self._keep = keep
        self._most = most
        self._total = 0
        self._text = bytearray()

    @property
    def overdone(self) -> bool:
        return self._total > self._most

    def read_from(self, fd: int) -> bool:
        """Take in what is there, one pipe full at a time; False at its end."""
        with suppress(BlockingIOError):
            for _ in range(_MOST_READS):
                chunk = os.read(fd, 1 << 16)
                if not chunk:
                    return False
                self._total += len(chunk)
                self._text += chunk
                del self._text[: -self._keep]
        return True

    def decode(self) -> str:
        """Text; bytes that are no UTF-8 become replacement characters."""
        return self._text.decode("utf-8", "replace")
