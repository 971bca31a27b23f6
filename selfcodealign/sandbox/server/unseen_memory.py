"""Memory that a program holds without a page of it being resident in one of its processes.

Buffers of sockets and pipes, files that were deleted while open or mapped, and shared mappings after `MADV_DONTNEED`.
The kernel tells their size only to their owner; each counts as what it may hold.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Any

from selfcodealign.sandbox.isolation import walls
from selfcodealign.sandbox.server.process_tree import PAGE, ProcessTree

_PIPE_BYTES = 16 * PAGE  # a pipe cannot be made larger here
_DELETED = " (deleted)\n"  # at the end of a mapping's line, also of a shared mapping without a file


class UnseenMemory:
    """The unseen memory of the processes of a tree."""

    def __init__(self, tree: ProcessTree) -> None:
        self._tree = tree
        self._head_space = self._head_shared = 0
        self._socket_bytes = walls.socket_bytes()

    def mib(self, pids: list[int], limits: dict[str, Any], room_mib: float) -> float:
        """Return the most that the processes hold unseen, in MiB; 0 where it cannot be more than `room_mib`.

        Few programs have so many descriptors, or so large an address space, that a closer look is needed.
        """
        if not self._head_space:
            self._head_space, _, self._head_shared = self._tree.pages(self._tree.head)
        descriptors = {pid: self._tree.descriptors(pid) for pid in pids}
        largest = max(self._socket_bytes, limits["file_mib"] * 2**20)
        if sum(map(len, descriptors.values())) * largest + self._address_space(pids) <= room_mib * 2**20:
            return 0.0
        held: dict[tuple[int, int], int] = {}
        for paths in descriptors.values():
            for path in paths:
                with suppress(OSError):
                    self._add_open(held, self._tree.status_of(path))
        resident = 0
        for pid in pids:
            with suppress(OSError, ValueError):
                shared = self._tree.pages(pid)[2] - self._head_shared
                resident += max(0, min(shared * PAGE, self._add_mapped(held, pid)))
        return max(0, sum(held.values()) - resident) / 2**20

    def _address_space(self, pids: list[int]) -> int:
        """Return the bytes of address space that the processes have beyond those of the head, which they share."""
        pages = 0
        for pid in pids:
            with suppress(OSError, ValueError):
                pages += max(0, self._tree.pages(pid)[0] - self._head_space)
        return pages * PAGE

    def _add_open(self, held: dict[tuple[int, int], int], found: os.stat_result) -> None:
        if stat.S_ISSOCK(found.st_mode):
            size = self._socket_bytes
        elif stat.S_ISFIFO(found.st_mode):
            size = _PIPE_BYTES
        elif stat.S_ISREG(found.st_mode) and not found.st_nlink:
            size = found.st_blocks * 512
        else:
            return
        held[found.st_dev, found.st_ino] = max(size, held.get((found.st_dev, found.st_ino), 0))

    def _add_mapped(self, held: dict[tuple[int, int], int], pid: int) -> int:
        """Add the mappings of a process without a file name; return their bytes, some of them resident and seen."""
        mapped = 0
        with self._tree.open("maps", pid) as maps:
            for line in maps:
                if line.endswith(_DELETED):
                    file, size = _read_mapping(line)
                    held[file] = max(size, held.get(file, 0))
                    mapped += size
        return mapped


def _read_mapping(line: str) -> tuple[tuple[int, int], int]:
    """Return file and bytes of a mapping from its line: addresses, rights, offset, device, inode, path."""
    addresses, _, _, device, inode = line.split()[:5]
    start, end = (int(address, 16) for address in addresses.split("-"))
    major, minor = (int(number, 16) for number in device.split(":"))
    return (os.makedev(major, minor), int(inode)), end - start
