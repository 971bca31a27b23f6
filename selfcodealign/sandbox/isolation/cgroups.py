"""Control groups (cgroup v2): where the user may create them, one per worker bounds all its processes together.

The group counts memory when it is used, by all processes and by files in the scratch; the other bounds on memory hold
per process, or are checked 20 times a second. https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import itertools
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_NAME = "selfcodealign-{pid}-{number}"
_OURS = re.compile(r"selfcodealign-(\d+)-\d+")
_NEEDED = {"memory", "pids"}
_NOT_THE_PROGRAMS = 3  # guard, server and forker
_OF_PAIRS = 3  # the pair forker, and the standby processes of the one forker or the other
_REMOVE_SECONDS = 2.0
_numbers = itertools.count()


class ControlGroup:
    """A group that this process created; its user removes it."""

    def __init__(self, path: Path, pairs: bool = False) -> None:
        self.path = path
        self._own_processes = _NOT_THE_PROGRAMS + (_OF_PAIRS if pairs else 0)
        self._bounds: tuple[float, float] = (0, 0)
        self._own_bytes = 0
        self._kills = 0

    @classmethod
    def around(cls, pid: int, pairs: bool = False) -> ControlGroup | None:
        """Create a group that holds process `pid` and all it will start; None where no group is delegated.

        `pairs`: the process is a worker that has a pair forker too.
        """
        parent = find_delegated()
        if parent is None:
            return None
        _remove_forgotten(parent)
        group = cls(parent / _NAME.format(pid=os.getpid(), number=next(_numbers)), pairs)
        try:
            group.path.mkdir()
            group._write("cgroup.procs", pid)
        except OSError:
            group.remove()
            return None
        return group

    def bound(self, limits: dict[str, Any]) -> None:
        """Bound the next program by `limits` (fields of `Limits`), on top of the worker's usage at the first call."""
        self._own_bytes = self._own_bytes or int(self._read("memory.current"))
        memory, processes = limits["memory_mib"] + limits["scratch_mib"], limits["processes"] + self._own_processes
        if (memory, processes) != self._bounds:
            self._write("memory.max", self._own_bytes + int(memory) * 2**20)
            self._write("pids.max", int(processes))
            if not self._bounds[0] and (self.path / "memory.swap.max").exists():
                self._write("memory.swap.max", 0)
            self._bounds = memory, processes

    def take_memory_kills(self) -> int:
        """Return the number of processes that the kernel killed for memory since the last call."""
        events = dict(map(str.split, self._read("memory.events").splitlines()))
        before, self._kills = self._kills, int(events["oom_kill"])
        return self._kills - before

    def remove(self) -> None:
        """Remove the group, whose processes have ended or are ending."""
        deadline = time.monotonic() + _REMOVE_SECONDS
        while self.path.exists():
            with suppress(OSError):
                self.path.rmdir()
            if time.monotonic() > deadline:
                return
            time.sleep(0.001)

    def _read(self, name: str) -> str:
        return (self.path / name).read_text()

    def _write(self, name: str, value: int) -> None:
        (self.path / name).write_text(str(value))


def find_delegated() -> Path | None:
    """Return the nearest group, from this process's group upwards, in which it may create bounded groups."""
    try:
        found = locate(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
    except OSError:
        return None
    if found is None:
        return None
    top, own = found
    for candidate in (own, *own.parents):
        with suppress(OSError):
            enabled = set((candidate / "cgroup.subtree_control").read_text().split())
            if enabled >= _NEEDED and os.access(candidate, os.W_OK) and os.access(candidate / "cgroup.procs", os.W_OK):
                return candidate
        if candidate == top:
            break
    return None


def locate(mounts: str, groups: str) -> tuple[Path, Path] | None:
    """Return the mount of cgroup v2 and the group of a process, from its /proc files `mountinfo` and `cgroup`."""
    fields = next((mount.split() for mount in mounts.splitlines() if " - cgroup2 " in mount), None)
    own = next((group.removeprefix("0::") for group in groups.splitlines() if group.startswith("0::")), None)
    if fields is None or own is None:
        return None
    root, top = fields[3], fields[4]
    if os.path.commonpath([root, own]) != root:
        return None  # the mount shows another part of the tree
    return Path(top), Path(os.path.normpath(os.path.join(top, os.path.relpath(own, root))))


def _remove_forgotten(parent: Path) -> None:
    """Remove the groups of processes that were killed before they could remove them."""
    for group in parent.glob("selfcodealign-*"):
        found = _OURS.fullmatch(group.name)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            with suppress(OSError):
                group.rmdir()
