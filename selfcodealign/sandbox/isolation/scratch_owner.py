"""The folder in the host's temporary folder that holds the scratch of a server without its own mounts.

The process that uses the sandbox holds a lock on its folder as long as it lives. Folders whose owner was killed are
removed by the guard, and those whose guard was killed as well by the next start of any sandbox of this user.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from selfcodealign.sandbox.isolation.scratch import remove, set_aside

_PREFIX = "selfcodealign-scratch-"


def claim_scratch() -> tuple[str, int]:
    """Make an empty scratch; return its path and the descriptor whose lock says that its owner lives."""
    while True:
        folder = tempfile.mkdtemp(prefix=_PREFIX)
        lock = _lock(folder)
        if lock is not None:
            scratch = os.path.join(folder, "scratch")
            os.mkdir(scratch, 0o700)
            return scratch, lock


def remove_scratch(scratch: str) -> None:
    """Remove a scratch, what was set aside from it, and the folder that holds both."""
    for folder in (set_aside(scratch), scratch, os.path.dirname(scratch)):
        remove(folder)


def sweep_scratches() -> None:
    """Remove the scratches of this user whose owners have ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        lock = _lock(str(folder))
        if lock is not None:
            remove_scratch(str(folder / "scratch"))
            os.close(lock)


def _lock(folder: str) -> int | None:
    """Lock a folder; None if another process has it, has removed it meanwhile, or it is another user's."""
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), os.stat(folder)):
                return lock
        except OSError:
            os.close(lock)
            return None
        os.close(lock)
    return None
