"""Sources of the files from which seeds are extracted.

`seeds.sources` names them: `stdlib`, `package:NAME`, `git:PATH` or `git:PATH@REVISION`, `hub:NAME`, or a path: a .py
file, a notebook, an archive, a data file, a folder of any of these, or a data set that `datasets` saved. All sources
are opened before the first file is read, so that a misspelt source is refused at once and not after hours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from selfcodealign.addresses import is_address
from selfcodealign.errors import SourceError, did_you_mean
from selfcodealign.rows import Dropped, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.archives import ARCHIVE_ENDINGS, open_archive, open_archives
from selfcodealign.sources.arrow import is_saved
from selfcodealign.sources.git import open_checkout, split_revision
from selfcodealign.sources.place import CODE_ENDINGS
from selfcodealign.sources.tables import DATA_ENDINGS, open_hub, open_saved, open_table
from selfcodealign.sources.trees import find_files, list_names, open_folder, open_package, open_python_file, open_stdlib

Files = Iterator[SourceFile | Dropped]

_PREFIXES: dict[str, Callable[[str, SeedSettings], Files]] = {
    "package": open_package,
    "git": lambda text, settings: _open_git(*split_revision(text), settings),
    "hub": open_hub,
}


def iterate_source_files(settings: SeedSettings) -> Files:
    """Stream the files of all sources in a fixed order; a file that cannot be read is a `Dropped`.

    A file's id is a hash of its origin, path, text and (in a data set) row number. Reasons of drops: `too_large` (more
    than `max_file_kib`, not read), `unreadable`, `link`, `vendored`, `generated`, `test_code`, `minified`,
    `not_python`, `broken_notebook`; in data sets `malformed_row`, `not_utf8` and `not_fetched`; in archives
    `unsafe_path`, `archive_bomb` and `too_many_files`.

    Raises `SourceError` before the first file if a source cannot be found or opened, later if a data set breaks off (a
    torn .gz file, a lost connection), and `MissingExtra` if `hub:` needs `datasets`.
    """
    return chain.from_iterable(files for _, files in open_sources(settings))


def open_sources(settings: SeedSettings) -> list[tuple[str, Files]]:
    """Open all sources, each with its name in `seeds.sources`. Raises what `iterate_source_files` raises first."""
    own = find_own(settings)
    opened = [(source, _open(source, settings)) for source in dict.fromkeys(settings.sources)]
    return [(source, map(_own, files) if source in own else files) for source, files in opened]


def find_own(settings: SeedSettings) -> set[str]:
    """Return those of `seeds.sources` that `seeds.own_code` names. Raises `SourceError` if it names another one."""
    named = {_identify(source): source for source in settings.own_code}
    known = {_identify(source) for source in settings.sources}
    for place, source in named.items():
        if place not in known:
            hint = did_you_mean(source, settings.sources)
            raise SourceError(f'seeds.own_code names "{source}", which is none of seeds.sources{hint}')
    return {source for source in settings.sources if _identify(source) in named}


def _identify(source: str) -> str:
    """The source with its path in full: `git:mine` and `git:/home/me/mine` are one."""
    prefix, colon, rest = source.partition(":")
    if colon and prefix in _PREFIXES:
        if prefix != "git":
            return source
        path, revision = split_revision(rest)
        return f"git:{Path(path).expanduser().resolve()}@{revision}"
    return source if source == "stdlib" else str(Path(source).expanduser().resolve())


def _own(file: SourceFile | Dropped) -> SourceFile | Dropped:
    return file if isinstance(file, Dropped) else replace(file, own=True)


def _open(source: str, settings: SeedSettings) -> Files:
    if source == "stdlib":
        return open_stdlib(settings)
    prefix, colon, rest = source.partition(":")
    if colon and prefix in _PREFIXES:
        if not rest:
            raise SourceError(f'"{source}" names nothing: write {prefix}:NAME')
        return _PREFIXES[prefix](rest, settings)
    if colon and prefix.isalpha() and not os.path.exists(source):
        known = ", ".join(f"{name}:" for name in _PREFIXES)
        raise SourceError(f'unknown kind of source "{source}": use {known} or a path{did_you_mean(prefix, _PREFIXES)}')
    return _open_path(existing_path(source), settings)


def _open_git(path: str, revision: str, settings: SeedSettings) -> Files:
    return open_checkout(existing_path(path), settings, revision)


def _open_path(path: Path, settings: SeedSettings) -> Files:
    if path.is_dir():
        return _open_folder(path, settings)
    if path.name.endswith(CODE_ENDINGS):
        return open_python_file(path, settings)
    if path.name.endswith(DATA_ENDINGS):
        return open_table(path, settings)
    if path.name.endswith(ARCHIVE_ENDINGS):
        return open_archive(path, settings)
    known = ", ".join((*CODE_ENDINGS, *DATA_ENDINGS, *ARCHIVE_ENDINGS))
    raise SourceError(f"{path} is no source: give a .py file, a folder, or a file ending in {known}")


def _open_folder(path: Path, settings: SeedSettings) -> Files:
    """Open a folder by what it holds: a saved data set, else Python files, else data files, else archives."""
    if is_saved(path):
        return open_saved(path, settings)
    if next(find_files(path, CODE_ENDINGS), None) is None:
        name = path.resolve().name
        if shards := sorted(find_files(path, DATA_ENDINGS)):
            first = open_table(shards[0], settings, name)
            # opened one at a time: a data set can have more shards than a process may open files
            return chain(first, chain.from_iterable(open_table(shard, settings, name) for shard in shards[1:]))
        if archives := list(find_files(path, ARCHIVE_ENDINGS)):
            return open_archives(name, archives, settings)
    return open_folder(path, settings)


def existing_path(text: str) -> Path:
    """The path of a source. Raises `SourceError` if there is none, with what is like it."""
    if is_address(text):
        raise SourceError(f"source {text} is an address: clone or download it, and name the folder or the file")
    path = Path(text).expanduser()
    if os.path.exists(path):  # unlike Path.exists, returns False without permission
        return path
    missing = path
    while not os.path.exists(missing.parent):
        missing = missing.parent
    neighbours = list_names(missing.parent)
    if len(path.parts) == 1:
        neighbours.append("stdlib")
    raise SourceError(f"source {text} does not exist: there is no {missing}{did_you_mean(missing.name, neighbours)}")
