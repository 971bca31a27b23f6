"""Control groups (cgroup v2): where the user may make some, one around each worker bounds all its processes at once.

Memory counts the moment it is used, that of all processes together and of files in the scratch; the other bounds on
memory hold for each process, or are watched 20 times a second. https://docs.kernel.org/admin-guide/cgroup-v2.html
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
_REMOVE_SECONDS = 2.0
_numbers = itertools.count()


class ControlGroup:
    """A group of this process's own making; who uses it removes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bounds: tuple[float, float] = (0, 0)
        self._own_bytes = 0
        self._kills = 0

    @classmethod
    def around(cls, pid: int) -> ControlGroup | None:
        """A new group with process `pid` (and all it will start) in it; None where nothing of the kind is delegated."""
        parent = find_delegated()
        if parent is None:
            return None
        _remove_forgotten(parent)
        group = cls(parent / _NAME.format(pid=os.getpid(), number=next(_numbers)))
        try:
            group.path.mkdir()
            group._write("cgroup.procs", pid)
        except OSError:
            group.remove()
            return None
        return group

    def bound(self, limits: dict[str, Any]) -> None:
        """Hold the next program to `limits` (fields of `Limits`), on top of what the worker had when first asked."""
        self._own_bytes = self._own_bytes or int(self._read("memory.current"))
        memory, processes = limits["memory_mib"] + limits["scratch_mib"], limits["processes"] + _NOT_THE_PROGRAMS
        if (memory, processes) != self._bounds:
            self._write("memory.max", self._own_bytes + int(memory) * 2**20)
            self._write("pids.max", int(processes))
            if not self._bounds[0] and (self.path / "memory.swap.max").exists():
                self._write("memory.swap.max", 0)
            self._bounds = memory, processes

    def take_memory_kills(self) -> int:
        """Processes that the kernel killed for memory since this was last asked."""
        events = dict(map(str.split, self._read("memory.events").splitlines()))
        before, self._kills = self._kills, int(events["oom_kill"])
        return self._kills - before

    def remove(self) -> None:
        """Remove the group, whose processes have ended or are about to."""
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
    """The nearest group at or above this process's own in which it may make groups that bound memory and processes."""
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
    """Where cgroup v2 is mounted and the group of a process there, by its /proc files `mountinfo` and `cgroup`."""
    fields = next((mount.split() for mount in mounts.splitlines() if " - cgroup2 " in mount), None)
    own = next((group.removeprefix("0::") for group in groups.splitlines() if group.startswith("0::")), None)
    if fields is None or own is None:
        return None
    root, top = fields[3], fields[4]
    if os.path.commonpath([root, own]) != root:
        return None  # the mount shows another part of the tree
    return Path(top), Path(os.path.normpath(os.path.join(top, os.path.relpath(own, root))))


def _remove_forgotten(parent: Path) -> None:
    """Groups of users that were killed before they could tidy up."""
    for group in parent.glob("selfcodealign-*"):
        found = _OURS.fullmatch(group.name)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            with suppress(OSError):
                group.rmdir()
