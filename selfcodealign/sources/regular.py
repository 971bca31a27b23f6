"""Walk folders and read regular files: links, FIFOs, sockets and devices are told apart and never opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_NOT_SOURCE = frozenset(("__pycache__",))


@dataclass(frozen=True, slots=True)
class Found:
    """A path of a walk; `problem` says why it is not to be read ("" for a file that is)."""

    path: Path
    problem: str = ""
    detail: str = ""


def walk(root: Path, wanted: Callable[[str], bool], excluded: frozenset[str] = frozenset()) -> Iterator[Found]:
    """Find the wanted files below `root`, sorted folder by folder, without hidden folders and virtual environments.

    Folders are not entered through links, so a loop of links is no loop here. What cannot be listed is found as a
    problem. Memory is that of the names of one folder and of the folders above it.
    """
    folders = [str(root)]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Found(Path(folder), "unreadable", error.strerror or str(error))
            continue
        if folder != str(root) and any(entry.name == "pyvenv.cfg" for entry in entries):
            yield Found(Path(folder), "vendored", "a virtual environment")
            continue
        below = []
        for entry in entries:
            if _is_folder(entry):
                if not (entry.name in excluded or entry.name in _NOT_SOURCE or entry.name.startswith(".")):
                    below.append(entry.path)
            elif wanted(entry.name):
                yield Found(Path(entry.path))
            elif entry.is_symlink() and os.path.isdir(entry.path):
                yield Found(Path(entry.path), "link", "a link to a folder, which is not followed")
        folders.extend(reversed(below))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


class Reader:
    """Reads regular files, each once: a second name of a file that was read is a link."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()  # of files with several names only

    def look(self, path: Path) -> tuple[int, str, str]:
        """Size of a file, and the reason and detail for not reading it ("" without one). Raises `OSError`."""
        own = os.lstat(path)
        facts = os.stat(path) if stat.S_ISLNK(own.st_mode) else own
        if not stat.S_ISREG(facts.st_mode):
            return 0, "unreadable", "not a regular file"
        if facts is not own or facts.st_nlink > 1:
            place = (facts.st_dev, facts.st_ino)
            if place in self._seen:
                return facts.st_size, "link", "another name of a file that is read"
            self._seen.add(place)
        return facts.st_size, "", ""


def leads_inside(path: Path, root: Path) -> bool:
    """Whether a link leads to a file below `root` that a walk finds under its own name."""
    if not path.is_symlink():
        return False
    target, base = os.path.realpath(path), os.path.realpath(root)
    if not target.startswith(base + os.sep) or os.path.splitext(target)[1] != path.suffix:
        return False
    inside = target[len(base) + 1 :].split(os.sep)
    return not any(part.startswith(".") or part in _NOT_SOURCE for part in inside[:-1])


def read_regular(path: Path, most: int) -> bytes:
    """At most `most` bytes of a regular file. Raises `OSError`, also when it became something else since `look`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        return file.read(most)
