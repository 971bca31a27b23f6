"""Source files of sdists, wheels and other archives, read from the archive: nothing is ever unpacked to the disk."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path
from typing import Any, BinaryIO, cast

from selfcodealign.errors import SourceError, reason_of
from selfcodealign.rows import Dropped, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.licences import is_licence_file, name_licence_texts, name_package_licence
from selfcodealign.sources.place import CODE_ENDINGS, Place, make_printable
from selfcodealign.sources.unpacking import MOST_TIMES, UNPACK_ERRORS, Bomb, open_unpacked

ARCHIVE_ENDINGS = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar", ".zip", ".whl")

# What a torn or forged archive makes the libraries raise.
_ERRORS = (
    *UNPACK_ERRORS,
    tarfile.TarError,
    zipfile.BadZipFile,
    struct.error,
    ValueError,
    OverflowError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    KeyError,
    IndexError,
)
_MOST_ENTRIES = 500_000
_MOST_DIRECTORY = 16 << 20  # bytes of a zip's list of entries, which is read at once
_MOST_HEADER = 1 << 20  # bytes of the headers of one entry of a tar
_ALWAYS = 256 << 20  # bytes that the wanted files of any zip may unpack to
_MOST_METADATA = 1 << 20
_METADATA = ("PKG-INFO", "METADATA")


class _BadEntry(Exception):
    """An entry of a zip cannot be read; the next one may be."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file in an archive; `problem` says why it cannot be read. `read` gives at most so many of its bytes."""

    name: str
    size: int
    read: Callable[[int], bytes]
    problem: str = ""
    detail: str = ""


def open_archive(path: Path, settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read the Python files and notebooks of a .tar (also .gz, .bz2, .xz, .zst), .zip or .whl file.

    The origin is the `NAME==VERSION` of its package metadata, else the file's name. Raises `SourceError` at once when
    it is no archive or holds no Python files; an archive that breaks off later is a drop.
    """
    try:
        with closing(_entries(path)) as entries:
            found = any(entry.name.endswith(CODE_ENDINGS) for entry in entries)
    except _ERRORS as error:
        raise SourceError(f"cannot read {path} as an archive: {reason_of(error)}") from None
    if not found:
        raise SourceError(f"{path} holds no Python files: give an archive with .py files in it")
    return _read_each(path, settings)


def open_archives(folder: str, paths: list[Path], settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read archives one after the other; one that cannot be read, or holds no Python files, is a drop."""
    for path in paths:
        try:
            yield from open_archive(path, settings)
        except SourceError as error:
            yield Place(settings, folder).refuse(path.name, "unreadable", str(error))


def _read_each(path: Path, settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    place = _describe(path, settings)
    names: set[int] = set()
    number = 0
    try:
        for number, entry in enumerate(_entries(path)):
            if number == _MOST_ENTRIES:
                yield place.refuse(path.name, "too_many_files", f"more than {_MOST_ENTRIES:,} entries in one archive")
                return
            if entry.name.endswith(CODE_ENDINGS):
                again = hash(entry.name) in names
                names.add(hash(entry.name))
                yield _read_entry(place, entry, number if again else 0)
    except Bomb as error:
        yield place.refuse(path.name, "archive_bomb", str(error))
    except _ERRORS as error:
        yield place.refuse(path.name, "unreadable", f"the archive breaks off at entry {number + 1}: {reason_of(error)}")


def _read_entry(place: Place, entry: _Entry, again: int) -> SourceFile | Dropped:
    name = entry.name
    if again:
        return place.refuse(name, "link", "another entry of the same name", again)
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or name[1:3] in (":/", ":\\"):
        return place.refuse(name, "unsafe_path", "leads out of the archive")
    if entry.problem:
        return place.refuse(name, entry.problem, entry.detail)
    if dropped := place.pass_over(name, entry.size):
        return dropped
    try:
        return place.admit(name, entry.read(place.limit_of(name) + 1))
    except _BadEntry as error:
        return place.refuse(name, "unreadable", str(error))


def _describe(path: Path, settings: SeedSettings) -> Place:
    """Origin and licence by the package's metadata and the licence files at the top; both may be missing."""
    metadata: Any = None
    texts: list[str] = []
    try:
        for number, entry in enumerate(_entries(path)):
            folder, _, name = entry.name.rpartition("/")
            if entry.problem or entry.size > _MOST_METADATA or number == _MOST_ENTRIES:
                continue
            if metadata is None and name in _METADATA and folder.count("/") == 0:
                metadata = message_from_string(entry.read(_MOST_METADATA).decode("utf-8", "replace"))
            elif len(texts) < 20 and is_licence_file(name) and (folder.count("/") == 0 or ".dist-info/" in folder):
                texts.append(entry.read(_MOST_METADATA).decode("utf-8", "replace"))
    except (*_ERRORS, _BadEntry):
        pass  # reading the files meets the same error, and reports it
    facts = [_fact(metadata, name) for name in ("Name", "Version")]
    if not all(facts):
        return Place(settings, path.name, name_licence_texts(texts) or "")
    licence = name_package_licence(metadata, texts) or ""
    return Place(settings, "==".join(facts), make_printable(licence)[:200])


def _fact(metadata: Any, name: str) -> str:
    return " ".join(make_printable(str((metadata and metadata[name]) or ""))[:200].split())


def _entries(path: Path) -> Generator[_Entry, None, None]:
    return _zip_entries(path) if path.name.endswith((".zip", ".whl")) else _tar_entries(path)


class _Forward:
    """A stream as `tarfile` reads it: only forward, with a bound on what the headers of an entry may hold."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._place = 0
        self.left = _MOST_HEADER
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self.left:
            raise tarfile.ReadError("the headers of an entry are too large")
        data = self._stream.read(size)
        self.last = data
        self.left -= len(data)
        self._place += len(data)
        return data

    def tell(self) -> int:
        return self._place

    def seek(self, place: int) -> None:
        if place < self._place:
            raise tarfile.ReadError("an entry lies before the one it follows")
        while self._place < place:
            data = self._stream.read(min(place - self._place, 1 << 16))
            if not data:
                raise tarfile.ReadError("unexpected end of data")
            self._place += len(data)


def _tar_entries(path: Path) -> Generator[_Entry, None, None]:
    with open_unpacked(path) as stream:
        forward = _Forward(stream)
        with tarfile.open(fileobj=cast(Any, forward), mode="r:", errors="surrogateescape") as archive:
            while True:
                member = archive.next()
                if member is None:
                    if forward.last.strip(b"\0"):  # tarfile takes a header that it cannot read for the end
                        raise tarfile.ReadError("a header is broken")
                    return
                cast(Any, archive).members.clear()  # it would keep every entry
                forward.left = _MOST_HEADER
                yield _tar_entry(member, forward)
                forward.left = _MOST_HEADER


def _tar_entry(member: tarfile.TarInfo, forward: _Forward) -> _Entry:
    def read(most: int) -> bytes:
        forward.seek(member.offset_data)
        forward.left = min(member.size, most)
        data = forward.read(forward.left)
        if len(data) < min(member.size, most):
            raise tarfile.ReadError("unexpected end of data")
        return data

    if member.issym() or member.islnk():
        return _Entry(member.name, 0, read, "link", "a link, which is not followed")
    if not member.isreg() or member.issparse():
        return _Entry(member.name, 0, read, "unreadable", "not a regular file")
    return _Entry(member.name, member.size, read)


class _Bounded(io.BufferedReader):
    """A file of which no more than `_MOST_DIRECTORY` bytes are read at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MOST_DIRECTORY:
            raise zipfile.BadZipFile("the list of its entries is too large")
        return super().read(size)


def _zip_entries(path: Path) -> Generator[_Entry, None, None]:
    with _Bounded(io.FileIO(path)) as file, zipfile.ZipFile(cast(Any, file)) as archive:
        most = max(_ALWAYS, MOST_TIMES * path.stat().st_size)
        given = 0

        def read(facts: zipfile.ZipInfo, wanted: int) -> bytes:
            nonlocal given
            try:
                with archive.open(facts) as member:
                    data = member.read(wanted)
            except _ERRORS as error:
                raise _BadEntry(reason_of(error)) from None
            given += len(data)
            if given > most:
                raise Bomb(f"it unpacks to more than {MOST_TIMES} times its size")
            return data

        for facts in archive.infolist():
            if not facts.is_dir():
                yield _zip_entry(facts, read)


def _zip_entry(facts: zipfile.ZipInfo, read: Callable[[zipfile.ZipInfo, int], bytes]) -> _Entry:
    problem = ""
    mode = facts.external_attr >> 16
    if facts.flag_bits & 1:
        problem = "encrypted"
    elif facts.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        problem = f"compression method {facts.compress_type}, not deflate"
    elif stat.S_ISLNK(mode):
        return _Entry(facts.filename, 0, lambda most: b"", "link", "a link, which is not followed")
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        problem = "not a regular file"
    name = facts.filename
    return _Entry(name, facts.file_size, lambda most: read(facts, most), problem and "unreadable", problem)
