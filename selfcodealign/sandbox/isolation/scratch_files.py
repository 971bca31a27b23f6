"""Files into a scratch before a program starts, and out of it when all its processes have ended.

Nothing else changes the scratch meanwhile. What a program left there is hostile all the same: links, pipes, sparse
files. Each step is one name below an open folder, and no link is followed.
"""

from __future__ import annotations

import os
import stat
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

MOST_NAMES = 1000
#: Bytes of all files of a program together, in each direction.
MOST_BYTES = 16 << 20
_LONGEST_NAME = 255
_LONGEST_PATH = 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # not blocking: a pipe has no writer any more
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def check_names(names: Iterable[str], *, alone: bool = True) -> None:
    """Raise `ValueError` unless all are relative paths that stay below a folder; with `alone`, of distinct files."""
    seen: set[tuple[str, ...]] = set()
    listed = list(names)
    if len(listed) > MOST_NAMES:
        raise ValueError(f"{len(listed)} files; at most {MOST_NAMES} are taken")
    for name in listed:
        parts = _split(name)
        if alone and parts in seen:
            raise ValueError(f"{name[:80]!a} names a file twice")
        seen.add(parts)
    folders = {parts[:end] for parts in seen for end in range(1, len(parts))}
    if alone and (both := seen & folders):
        raise ValueError(f"{'/'.join(both.pop())[:80]!a} is a file and a folder")


def _split(name: str) -> tuple[str, ...]:
    """Return the parts of a relative path. Raises `ValueError`."""
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    shown = ascii(name)[:80]
    if not parts or name.startswith("/") or ".." in parts or "\0" in name or name.endswith("/"):
        raise ValueError(f"{shown} is no relative path of a file (without ..)")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise ValueError(f"{shown} is no text in UTF-8") from None
    if max(sizes) > _LONGEST_NAME or sum(sizes) + len(sizes) > _LONGEST_PATH:
        raise ValueError(f"{shown}… is too long for a path")
    return parts


def put_files(folder: str, files: Mapping[str, str]) -> None:
    """Write files, given in base64, into an empty scratch."""
    for name, data in files.items():
        *above, last = _split(name)
        here = os.open(folder, _FOLDER)
        try:
            for part in above:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=here)
                here = _enter(here, part)
            with open(os.open(last, _WRITE, 0o600, dir_fd=here), "wb") as file:
                file.write(b64decode(data))
        finally:
            os.close(here)


def fetch_files(folder: str, names: Sequence[str]) -> dict[str, str]:
    """Return the regular files with these names, in base64; one that is missing, a link, no regular file, unreadable or
    beyond `MOST_BYTES` of all is left out."""
    found: dict[str, str] = {}
    left = MOST_BYTES
    for name in names:
        with suppress(OSError):
            data = _read(folder, _split(name), left)
            if data is not None:
                found[name] = b64encode(data).decode()
                left -= len(data)
    return found


def _read(folder: str, parts: tuple[str, ...], most: int) -> bytes | None:
    here = os.open(folder, _FOLDER)
    try:
        for part in parts[:-1]:
            here = _enter(here, part)
        with open(os.open(parts[-1], _READ, dir_fd=here), "rb") as file:
            about = os.fstat(file.fileno())
            # A second name of a file could be one outside of the scratch, where the walls let a program make links.
            if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1 or about.st_size > most:
                return None
            data = file.read(most + 1)
            return data if len(data) <= most else None
    finally:
        os.close(here)


def _enter(here: int, name: str) -> int:
    """Open a folder by its name in the open folder `here`, which is closed if that works."""
    there = os.open(name, _FOLDER, dir_fd=here)
    os.close(here)
    return there
