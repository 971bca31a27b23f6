"""A process tree, read from the host's /proc: count, measure and kill the processes below one process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_MOST = 4096


class ProcessTree:
    """The processes below `head`. Create it before the root folder changes: it keeps /proc open."""

    def __init__(self) -> None:
        self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.head = 0
        self.head_pages = 0
        self.become_head()

    def become_head(self) -> int:
        """Make the calling process the head; return its address space in bytes, which its children share."""
        self.head = int(os.readlink("self", dir_fd=self._proc))
        with self.open("statm", self.head) as statm:
            total, self.head_pages = map(int, statm.read().split()[:2])
        return total * PAGE

    @property
    def head_mib(self) -> float:
        """The resident memory of the head, in MiB."""
        return self.head_pages * PAGE / 2**20

    def offer_head(self) -> None:
        """Make the kernel kill the calling process and its children first when memory runs out."""
        with open("self/oom_score_adj", "w", opener=self._open_here) as score:
            score.write("1000")

    def usage(self) -> tuple[float, list[int]]:
        """Return resident MiB and ids of all processes below the head; pages shared with the head count once."""
        pages, pids = self.head_pages, list(self._below())
        for child in pids:
            with suppress(OSError, ValueError, IndexError):
                pages += max(0, self.pages(child)[1] - self.head_pages)
        return pages * PAGE / 2**20, pids

    def pages(self, pid: int) -> tuple[int, int, int]:
        """Return a process's address space, its resident part, and of that what is shared or of files, in pages.

        Raises `OSError` when the process has ended.
        """
        with self.open("statm", pid) as statm:
            total, resident, shared = map(int, statm.read().split()[:3])
        return total, resident, shared

    def descriptors(self, pid: int) -> list[str]:
        """Return the paths, below /proc, of the open descriptors of all threads of a process."""
        found = []
        for task in self._list(f"{pid}/task"):
            # A thread may have descriptors that the others do not have.
            folder = f"{pid}/task/{task}/fd"
            found += [f"{folder}/{name}" for name in self._list(folder)]
        return found

    def is_asleep(self) -> bool:
        """Whether no thread below the head runs or is ready to."""
        for child in self._below():
            with suppress(OSError):
                for task in self._list(f"{child}/task"):
                    with suppress(OSError, IndexError), self.open(f"task/{task}/stat", child) as stat:
                        if stat.read().rpartition(")")[2].split()[0] in "RD":
                            return False
        return True

    def cpu_seconds(self, seen: dict[tuple[int, str], int]) -> float:
        """Return the CPU time of all processes below the head, ended ones included.

        `seen` keeps what earlier calls read, by process and its start: nobody may have waited for those that ended.
        """
        ticks = 0
        for child in self._below():
            with suppress(OSError, ValueError, IndexError), self.open("stat", child) as stat:
                # The name, in parentheses, may hold anything. Then: state … utime, stime, cutime, cstime … start.
                fields = stat.read().rpartition(")")[2].split()
                own, waited_for = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
                seen[child, fields[19]] = own
                ticks += own + waited_for
        return max(ticks, sum(seen.values())) / _TICKS

    def kill(self) -> None:
        """Kill and reap all processes below the head. Called by the head, which adopts orphans."""
        while True:
            below = []
            for child in self._below():
                below.append(child)
                with suppress(OSError):
                    os.kill(child, signal.SIGSTOP)
            for child in below:
                with suppress(OSError):
                    os.kill(child, signal.SIGKILL)
            if not below:
                return
            for child in below:  # grandchildren become the head's children when their parents are reaped
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
        found = []
        for task in self._list(f"{pid}/task"):  # each thread has children of its own
            with suppress(OSError), self.open(f"task/{task}/children", pid) as file:
                found += [int(word) for word in file.read().split()]
        return found

    def status_of(self, path: str) -> os.stat_result:
        """Return the status of what a descriptor refers to. Raises `OSError` when it was closed."""
        return os.stat(path, dir_fd=self._proc)

    def _list(self, folder: str) -> list[str]:
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._proc)
        except OSError:
            return []
        try:
            return os.listdir(fd)
        except OSError:
            return []
        finally:
            os.close(fd)

    def open(self, name: str, pid: int) -> IO[str]:
        """Open a file of a process in /proc."""
        return open(f"{pid}/{name}", opener=self._open_here)

    def _open_here(self, path: str, flags: int) -> int:
        return os.open(path, flags, dir_fd=self._proc)
