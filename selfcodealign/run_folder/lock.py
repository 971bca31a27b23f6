"""One writer at a time: a lock that the system takes back when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfcodealign.errors import RunFolderError


def take_lock(folder: Path, *, shared: bool = False, name: str = ".lock") -> int | None:
    """Lock a folder, which is made if need be; return what to close for the release, None if another has the lock.

    Locks that are `shared` exclude no other shared one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
    taken = False
    try:
        taken = set_lock(lock, shared=shared)
    finally:
        if not taken:
            os.close(lock)
    return lock if taken else None


def set_lock(lock: int, *, shared: bool) -> bool:
    """Make an open lock exclusive or shared; whether it was to be had."""
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(folder: Path, taken: str) -> Iterator[None]:
    """Hold the lock of a folder. Raises `RunFolderError`, with the text `taken` if another process has it."""
    try:
        lock = take_lock(folder)
    except OSError as error:
        raise RunFolderError(f"cannot write in {folder}: {error.strerror}; check its owner and its disk") from None
    if lock is None:
        raise RunFolderError(taken)
    try:
        yield
    finally:
        os.close(lock)
