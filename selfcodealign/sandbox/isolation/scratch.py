"""A scratch folder: measured while a program writes to it, emptied when the program has ended.

Folders may be nested deeper than a path can name, or than Python recurses: every step is one name below an open folder.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress

MOST_FILES = 65536  # files and folders in a scratch
MOST_NESTED = 200  # folders in each other, where a scratch is measured
_QUICK_SECONDS = 0.1
_SLICE_SECONDS = 0.01  # a fifth of the watch's time between two looks
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Late(Exception):
    """The time for emptying a folder is over."""


def empty(folder: str, seconds: float = math.inf) -> bool:
    """Remove everything inside `folder`, whatever permissions a program left on it; never follow a link.

    False when that took longer than `seconds`, and something is left.
    """
    until = time.monotonic() + seconds
    if stat.S_IMODE(os.stat(folder).st_mode) != 0o700:  # an empty folder stays as it is, see `walls.scratch_state`
        os.chmod(folder, 0o700)
    here = os.open(folder, _FOLDER)
    try:
        entered: list[str] = []
        waiting = [_remove_files(here, until)]
        while waiting[-1] or entered:
            if waiting[-1]:
                entered.append(waiting[-1].pop())
                os.chmod(entered[-1], 0o700, dir_fd=here)
                here = _move(here, entered[-1])
                waiting.append(_remove_files(here, until))
            else:
                waiting.pop()
                here = _move(here, "..")
                os.rmdir(entered.pop(), dir_fd=here)
        return True
    except _Late:
        return False
    finally:
        os.close(here)


def remove(folder: str) -> None:
    """Remove a folder and everything inside it, as far as this user may."""
    with suppress(OSError):
        empty(folder)
        os.rmdir(folder)


def renew(folder: str) -> None:
    """Make a scratch empty: by removing what is in it where that is quick, else by moving that out of it.

    Some disks take minutes to remove what a program makes in seconds: `set_aside` names what is left to be removed. The
    folder itself stays, because waiting processes and Landlock rules hold it.
    """
    if not empty(folder, _QUICK_SECONDS):
        aside = set_aside(folder)
        remove(aside)
        os.mkdir(aside, 0o700)
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)  # a folder that changes its parent has to be writable
            os.rename(entry.path, f"{aside}/{entry.name}")


def set_aside(folder: str) -> str:
    """Return the folder to which `renew` moves what cannot be removed quickly."""
    return f"{folder}-before"


def _remove_files(folder: int, until: float) -> list[str]:
    """Remove the files in an open folder; return the names of the folders in it. Raises `_Late`."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
            if time.monotonic() > until:
                raise _Late
    return folders


def _move(here: int, name: str) -> int:
    """Open a folder by its name in the open folder `here`, which is closed."""
    there = os.open(name, _FOLDER, dir_fd=here)
    os.close(here)
    return there


class ScratchUse:
    """The size of a scratch and the number of its files, measured in short slices, so that no clock waits for it."""

    def __init__(self, folder: str, most_mib: float) -> None:
        self._folder = folder
        self._most_bytes = most_mib * 2**20
        self._sizes = _sizes_below(folder)
        self._bytes, self._files = 0.0, 0

    def exceeded(self) -> bool:
        """Measure for one slice; True when what this pass has seen is too much."""
        stop = time.monotonic() + _SLICE_SECONDS
        for size in self._sizes:
            self._bytes += size
            self._files += 1
            if self._bytes > self._most_bytes or self._files > MOST_FILES:
                return True
            if time.monotonic() > stop:
                return False
        self._sizes = _sizes_below(self._folder)
        self._bytes, self._files = 0.0, 0
        return False


def _sizes_below(folder: str) -> Iterator[float]:
    """Yield the size of every file and folder below `folder`, which a program may change meanwhile.

    Every folder on the way stays open: ".." of one that was moved would lead out of the scratch.
    """
    way: list[tuple[int, list[str]]] = []  # open folders, and the names below them that are still to be entered
    try:
        way.append((os.open(folder, _FOLDER), []))
        yield from _sizes_in(*way[-1])
        while way:
            here, folders = way[-1]
            if not folders:
                way.pop()
                os.close(here)
            elif len(way) > MOST_NESTED:
                yield math.inf
            else:
                with suppress(OSError):  # removed since
                    way.append((_open_listable(here, folders.pop()), []))
                    yield from _sizes_in(*way[-1])
    finally:
        for here, _ in way:
            os.close(here)


def _open_listable(here: int, name: str) -> int:
    """Open a folder, made listable where mkdir left it so that it hides what is written into it."""
    try:
        return os.open(name, _FOLDER, dir_fd=here)
    except PermissionError:
        path = os.open(name, _FOLDER | os.O_PATH, dir_fd=here)
        try:
            os.chmod(f"/proc/self/fd/{path}", 0o700)  # by name, it could have become a link meanwhile
        finally:
            os.close(path)
        return os.open(name, _FOLDER, dir_fd=here)


def _sizes_in(folder: int, folders: list[str]) -> Iterator[float]:
    """Yield the size of every entry of an open folder, and append the names of its folders."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                yield entry.stat(follow_symlinks=False).st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
