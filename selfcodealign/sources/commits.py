"""Commits that change one file: of a git repository's history, or of a data set with CommitPack's columns."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from selfcodealign.addresses import hide_secrets
from selfcodealign.errors import SourceError, did_you_mean
from selfcodealign.rows import Dropped, SourceFile, digest
from selfcodealign.settings import SeedSettings
from selfcodealign.sources import existing_path, find_own
from selfcodealign.sources.arrow import parquet_columns, parquet_rows
from selfcodealign.sources.git import (
    find_commit,
    git_command,
    git_environment,
    popen_git,
    repository_licence,
    repository_name,
    run_git,
    split_revision,
)
from selfcodealign.sources.hub import stream_hub
from selfcodealign.sources.licences import name_licence
from selfcodealign.sources.place import Place, make_printable
from selfcodealign.sources.tables import DATA_ENDINGS, Numbered, jsonl_rows, look_at_head
from selfcodealign.sources.trees import find_files

_NEEDED = ("old_contents", "new_contents", "new_file", "subject")
_SHOWN = 1000  # characters of a dropped commit's subject
_ABSENT = b"000000"
_REGULAR = (b"100644", b"100755", b"100664")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit(SourceFile):
    """A file as a commit left it (`text`) and as it was `before` ("" for a new file), with the commit's subject."""

    before: bytes | str
    subject: str


Commits = Iterator[Commit | Dropped]


def open_commits(settings: SeedSettings) -> list[tuple[str, Commits]]:
    """Open all sources for their commits, each with its name in `seeds.sources`.

    Reasons of drops: `merge`, `no_change`, `several_files`, `other_language` (none of `seeds.commits_endings`),
    `no_regular_file` (a link or a submodule), `shallow` (the clone ends here, the change is unknown), `too_large`,
    `unreadable` (the repository lacks the text), `malformed_row`, `not_utf8`. Raises `SourceError` before the first
    commit if a source cannot be opened or has no commits, later if it breaks off.
    """
    own = find_own(settings)
    opened = [(source, _open(source, settings)) for source in dict.fromkeys(settings.sources)]
    return [(source, map(_own, commits) if source in own else commits) for source, commits in opened]


def _own(commit: Commit | Dropped) -> Commit | Dropped:
    return commit if isinstance(commit, Dropped) else replace(commit, own=True)


def _open(source: str, settings: SeedSettings) -> Commits:
    kind, colon, rest = source.partition(":")
    if colon and kind == "git" and rest:
        path, revision = split_revision(rest)
        return open_history(existing_path(path), settings, revision)
    if colon and kind == "hub" and rest:
        return _open_hub(rest, settings)
    if source == "stdlib" or (colon and kind in ("git", "hub", "package")):
        raise _refuse_source(source)
    path = existing_path(source)
    if path.name.endswith(DATA_ENDINGS) and not path.is_dir():
        return _open_table(path, settings, path.name)
    shards = sorted(find_files(path, DATA_ENDINGS)) if path.is_dir() else []
    if not shards:
        raise _refuse_source(source)
    first = _open_table(shards[0], settings, path.resolve().name)
    return chain(first, chain.from_iterable(_open_table(shard, settings, path.resolve().name) for shard in shards[1:]))


def _refuse_source(source: str) -> SourceError:
    return SourceError(
        f'{source} has no commits, which seeds.kind="commits" takes: name a repository (git:PATH), or a data set with '
        "CommitPack's columns (hub:NAME or a .jsonl, .jsonl.gz or .parquet file)"
    )


# --- git ---


@dataclass(frozen=True, slots=True)
class _Entry:
    """One file of a commit: its modes and blobs before and after, its path (that after a move)."""

    modes: tuple[bytes, bytes]
    blobs: tuple[str, str]
    path: str


def open_history(path: Path, settings: SeedSettings, revision: str = "HEAD") -> Commits:
    """Read the commits that a revision holds, newest first; of a folder of a repository, those that touch the folder.

    Only objects are read, by commands that no configuration of the repository can make run a program. A file that was
    moved and changed counts as two files.
    """
    head = find_commit(path, revision)
    if _is_partial(path):
        raise SourceError(f"{path} is a partial clone, which lacks the code of its commits: clone it without --filter")
    boundary = _list_boundary(path)
    if head in boundary:
        raise SourceError(f"{path} is a shallow clone without a history: fetch it with git fetch --unshallow")
    prefix = os.fsdecode(run_git(path, "rev-parse", "--show-prefix").removesuffix(b"\n"))
    place = Place(settings, repository_name(path), repository_licence(path, head) or "", head)
    return _read_history(path, head, prefix, boundary, place)


def _is_partial(path: Path) -> bool:
    """Whether the repository asks a remote for what it lacks, which it must not do here."""
    try:
        return bool(run_git(path, "config", "--get-regexp", r"^(extensions\.partialclone|remote\..*\.promisor)$"))
    except SourceError:  # no such setting
        return False


def _list_boundary(path: Path) -> frozenset[str]:
    """The commits whose parents a shallow clone lacks."""
    file = path / os.fsdecode(run_git(path, "rev-parse", "--git-path", "shallow").removesuffix(b"\n"))
    return frozenset(file.read_text("ascii").split()) if file.is_file() else frozenset()


def _read_history(path: Path, head: str, prefix: str, boundary: frozenset[str], place: Place) -> Commits:
    with ExitStack() as stack:
        changes = stack.enter_context(_list_changes(path, head, bool(prefix)))
        objects = _Objects(path, stack)
        for commit, entries, count in _parse_changes(changes):
            yield _read_commit(objects, replace(place, commit=commit), entries, count, commit in boundary)


def _read_commit(
    objects: _Objects, place: Place, entries: Sequence[_Entry], count: int, boundary: bool
) -> Commit | Dropped:
    """What becomes of one commit that touches `count` files, of which `entries` are the first."""
    commit = place.commit
    path = entries[0].path if entries else ""
    subject = ""

    def drop(reason: str, detail: str = "") -> Dropped:
        return _drop(place, digest("commit", place.origin, commit), path, reason, detail, subject)

    if boundary:
        return drop("shallow", "its parents are not in this clone")
    if count > 1:
        return drop("several_files", f"{count:,} files")
    if entries and not path.endswith(tuple(place.settings.commits_endings)):
        return drop("other_language", path)
    text = objects.read(commit, place.max_bytes)
    if text == b"":
        return drop("too_large", "the commit's message")
    if text is None:
        return drop("unreadable", f"the repository lacks the commit {commit}")
    if not entries:
        return drop("merge" if text.partition(b"\n\n")[0].count(b"\nparent ") > 1 else "no_change")
    (entry,) = entries
    if any(mode not in (*_REGULAR, _ABSENT) for mode in entry.modes):
        return drop("no_regular_file", path)
    try:
        subject = _read_subject(text)
    except (ValueError, LookupError) as error:  # LookupError: a coding that Python does not know
        return drop("not_utf8", f"the message: {error}")
    texts: list[bytes] = []
    for mode, blob in zip(entry.modes, entry.blobs, strict=True):
        if mode == _ABSENT:
            texts.append(b"")
            continue
        size = objects.measure(blob)
        if size is not None and size > place.max_bytes:
            return drop("too_large", place.describe_size(size))
        content = objects.read(blob, place.max_bytes) if size is not None else None
        if content is None:
            return drop("unreadable", f"the repository lacks the blob {blob}")
        texts.append(content)
    return _admit(place, digest("commit", place.origin, commit), path, texts[0], texts[1], subject)


def _admit(
    place: Place,
    identity: str,
    path: str,
    before: bytes | str,
    after: bytes | str,
    subject: str,
    licence: str | None = None,
    repository: str = "",
) -> Commit | Dropped:
    file = place.admit(path, after, licence)
    if isinstance(file, Dropped):
        return _drop(place, identity, path, file.reason, file.detail, subject)
    known = {field.name: getattr(file, field.name) for field in fields(SourceFile)}
    known |= {"id": identity, "repository": repository or file.repository}
    return Commit(**known, before=before, subject=subject)


def _drop(place: Place, identity: str, path: str, reason: str, detail: str, subject: str = "") -> Dropped:
    """A drop that is known by the commit: one path has many."""
    row = {
        **place.refuse(path, reason, detail).row,
        "source_id": identity,
        "commit_message": make_printable(subject[:_SHOWN]),
    }
    return Dropped(parent=identity, reason=reason, detail=make_printable(detail), row=row)


def _read_subject(commit: bytes) -> str:
    """The first line of a commit's message, in the coding that the commit names, else UTF-8."""
    head, _, message = commit.partition(b"\n\n")
    named = [line.removeprefix(b"encoding ") for line in head.split(b"\n") if line.startswith(b"encoding ")]
    text = message.decode(named[0].decode("ascii") if named else "utf-8")
    return make_printable(text.lstrip("\n").partition("\n")[0].strip())


@contextmanager
def _list_changes(path: Path, head: str, folder_only: bool) -> Iterator[BinaryIO]:
    """List the files that each commit touches. Raises `SourceError` in the end if git failed."""
    # diff-tree reads the index, and with it core.fsmonitor would run a program.
    safe = ("-c", "core.fsmonitor=false", "-c", "diff.relative=false")
    revisions = git_command(path, *safe, "rev-list", head, *(("--", ".") if folder_only else ()))
    trees = git_command(
        path, *safe, "diff-tree", "--stdin", "--always", "--root", "-r", "-z", "--raw", "--no-abbrev", "-M100%"
    )
    with tempfile.TemporaryFile() as said, ExitStack() as stack:
        listing = stack.enter_context(
            subprocess.Popen(
                revisions, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=git_environment()
            )
        )
        stack.callback(listing.kill)
        differ = stack.enter_context(
            subprocess.Popen(trees, stdin=listing.stdout, stdout=subprocess.PIPE, stderr=said, env=git_environment())
        )
        stack.callback(differ.kill)
        assert listing.stdout is not None
        assert differ.stdout is not None
        listing.stdout.close()  # so that rev-list ends when diff-tree does
        yield differ.stdout  # type: ignore[misc]
        if differ.wait() or listing.wait():
            said.seek(0)
            lines = hide_secrets(said.read(4096).decode("utf-8", "replace")).splitlines() or ["git failed"]
            raise SourceError(f"git cannot read the history of {path}: {lines[0]}")


def _parse_changes(stream: BinaryIO) -> Iterator[tuple[str, list[_Entry], int]]:
    """Read (commit, its first file, how many files it touches) from `diff-tree --stdin -z --raw`."""
    commit, entries, count = "", [], 0
    words = _split(stream)
    for word in words:
        if not word.startswith(b":"):
            if commit:
                yield commit, entries, count
            commit, entries, count = word.decode("ascii"), [], 0
            continue
        old, new, old_blob, new_blob, status = word[1:].split()
        name = next(words, b"")
        if status[:1] in (b"R", b"C"):
            name = next(words, b"")
        count += 1
        if count == 1:
            entries.append(_Entry((old, new), (old_blob.decode(), new_blob.decode()), os.fsdecode(name)))
    if commit:
        yield commit, entries, count


def _split(stream: BinaryIO) -> Iterator[bytes]:
    """Split a stream at its NUL bytes."""
    rest = b""
    while piece := stream.read(1 << 16):
        *words, rest = (rest + piece).split(b"\0")
        yield from words
    if rest:
        yield rest


class _Objects:
    """Reads objects of a repository by their ids, through two `git cat-file` that live as long as `stack`."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path = path
        self._sizes, self._texts = (self._start(option, stack) for option in ("--batch-check", "--batch"))

    def _start(self, option: str, stack: ExitStack) -> subprocess.Popen[bytes]:
        process = stack.enter_context(popen_git(git_command(self._path, "cat-file", option), stdin=subprocess.PIPE))
        stack.callback(process.kill)
        return process

    def measure(self, name: str) -> int | None:
        """The size of an object; None if the repository lacks it."""
        return self._ask(self._sizes, name)

    def read(self, name: str, most: int) -> bytes | None:
        """The content of an object; None if the repository lacks it, nothing if it has more than `most` bytes."""
        size = self._ask(self._texts, name)
        if size is None:
            return None
        assert self._texts.stdout is not None
        if size > most:
            left = size + 1
            while left and (piece := self._texts.stdout.read(min(left, 1 << 20))):
                left -= len(piece)
            return b""
        content = self._texts.stdout.read(size + 1)
        if len(content) != size + 1:
            raise self._broken(name)
        return content[:-1]

    def _ask(self, process: subprocess.Popen[bytes], name: str) -> int | None:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(name.encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._broken(name) from None
        words = process.stdout.readline().split()
        if not words:
            raise self._broken(name)
        return int(words[2]) if len(words) == 3 else None

    def _broken(self, name: str) -> SourceError:
        return SourceError(f"git cannot read object {name} of {self._path}: run git fsck there")


# --- data sets ---


def _open_hub(name: str, settings: SeedSettings) -> Commits:
    hub = stream_hub(name, settings.split)
    place = Place(settings, hub.origin, commit=hub.revision)
    return _read_rows(place, hub.origin, _need_columns(enumerate(hub.rows, start=1), f'data set "{hub.origin}"'))


def _open_table(path: Path, settings: SeedSettings, origin: str) -> Commits:
    place = Place(settings, origin)
    if path.name.endswith(".parquet"):
        names = parquet_columns(path)
        _refuse_missing(names, str(path))
        wanted = {*_NEEDED, "commit", *_name_columns(settings)}
        rows = parquet_rows(path, [name for name in names if name in wanted], place.most_read)
        return _read_rows(place, path.name, enumerate(rows, start=1))
    return _read_rows(place, path.name, _need_columns(jsonl_rows(path, place), str(path)))


def _need_columns(rows: Numbered, where: str) -> Numbered:
    """Check that the first readable row has CommitPack's columns; return all rows."""
    first, rows = look_at_head(rows, where)
    if first is not None:
        _refuse_missing(list(map(str, first)), where)
    return rows


def _refuse_missing(columns: Sequence[str], where: str) -> None:
    if not columns:
        raise SourceError(f"{where} is empty: it has no row")
    if missing := [column for column in _NEEDED if column not in columns]:
        raise SourceError(
            f'{where} has no column "{missing[0]}" (it has {", ".join(columns)}): seeds.kind="commits" needs '
            f"CommitPack's columns {', '.join(_NEEDED)}{did_you_mean(missing[0], columns)}"
        )


def _read_rows(place: Place, name: str, rows: Numbered) -> Commits:
    for number, row in rows:
        yield row if isinstance(row, Dropped) else _read_row(place, name, number, row)


def _read_row(place: Place, name: str, number: int, row: dict[str, Any]) -> Commit | Dropped:
    commit = make_printable(str(row.get("commit") or ""))
    place = replace(place, commit=commit or place.commit)
    path = str(row.get("new_file") or f"{name}:{number}")
    identity = digest("commit", place.origin, name, number, commit)
    subject, before, after = row.get("subject"), row.get("old_contents"), row.get("new_contents")
    before = "" if before is None else before  # a new file
    for column, value in (("subject", subject), ("old_contents", before), ("new_contents", after)):
        if not isinstance(value, str | bytes):
            return _drop(place, identity, path, "malformed_row", f'"{column}" holds {type(value).__name__}, not text')
    if isinstance(subject, bytes):
        return _drop(place, identity, path, "not_utf8", "the subject")
    assert isinstance(subject, str)
    if not path.endswith(tuple(place.settings.commits_endings)):
        return _drop(place, identity, path, "other_language", path, subject)
    size = len(before if isinstance(before, bytes) else before.encode("utf-8", "surrogatepass"))
    if size > place.max_bytes:
        return _drop(place, identity, path, "too_large", place.describe_size(size), subject)
    licences, repositories = (row.get(column) for column in _name_columns(place.settings))
    licence = make_printable(name_licence(licences) or "")
    repository = make_printable(str(repositories or "").partition(",")[0].strip())  # CommitPack lists all forks
    subject = make_printable(subject.strip().partition("\n")[0].strip())
    return _admit(place, identity, path, before, after, subject, licence, repository)  # type: ignore[arg-type]


def _name_columns(settings: SeedSettings) -> tuple[str, str]:
    """The columns of the licence and of the repository: CommitPack's, unless the settings name others."""
    return settings.licence_column or "license", settings.repository_column or "repos"
