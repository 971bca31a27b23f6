"""The processes below one process, as the host's /proc shows them: counted, measured, ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST = 4096


class Family:
    """Made before the root folder changes, it keeps its way into /proc; `head` is the one process it is about."""

    def __init__(self) -> None:
        self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.head = 0
        self.head_pages = 0
        self.become_head()

    def become_head(self) -> int:
        """Make the calling process the head; returns its address space in bytes, which its children share."""
        self.head = int(os.readlink("self", dir_fd=self._proc))
        with self._open("statm", self.head) as statm:
            total, self.head_pages = map(int, statm.read().split()[:2])
        return total * _PAGE

    def offer_head(self) -> None:
        """Make the calling process, and what it starts from now on, the first to go when memory runs out."""
        with open("self/oom_score_adj", "w", opener=self._open_here) as score:
            score.write("1000")

    def usage(self) -> tuple[float, int]:
        """Resident MiB and number of all processes below the head; pages that the head has, too, count once."""
        pages, count = self.head_pages, 0
        for child in self._below():
            count += 1
            with suppress(OSError, ValueError, IndexError), self._open("statm", child) as statm:
                pages += max(0, int(statm.read().split()[1]) - self.head_pages)
        return pages * _PAGE / 2**20, count

    def kill(self) -> None:
        """By the head itself, who adopts orphans: kill and reap all below it, until nothing is left."""
        while True:
            family = []
            for child in self._below():
                family.append(child)
                with suppress(OSError):
                    os.kill(child, signal.SIGSTOP)
            for child in family:
                with suppress(OSError):
                    os.kill(child, signal.SIGKILL)
            if not family:
                return
            for child in family:  # those that are not the head's own children become so when their parents are reaped
                with suppress(ChildProcessError):
                    os.waitpid(child, 0)

    def _below(self) -> Iterator[int]:
        waiting, count = self._children(self.head), 0
        while waiting and count < _MOST:
            child = waiting.pop()
            count += 1
            yield child
            waiting += self._children(child)

    def _children(self, pid: int) -> list[int]:
        try:
            with self._open(f"task/{pid}/children", pid) as file:
                return [int(word) for word in file.read().split()]
        except OSError:
            return []

    def _open(self, name: str, pid: int) -> IO[str]:
        return open(f"{pid}/{name}", opener=self._open_here)

    def _open_here(self, path: str, flags: int) -> int:
        return os.open(path, flags, dir_fd=self._proc)
