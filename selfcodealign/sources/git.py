"""Source files of a git checkout, read at HEAD so that a seed's commit identifies its exact text."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfcodealign.addresses import hide_secrets
from selfcodealign.errors import SourceError
from selfcodealign.rows import Dropped, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.licences import is_licence_file, name_licence_texts
from selfcodealign.sources.place import Place


def open_checkout(path: Path, settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read the tracked .py files of a checkout, or of one of its folders, as committed at HEAD.

    Only objects are read, never the index or the working tree, so that a repository's configuration cannot make these
    git commands run a program.
    """
    try:
        commit = _git(path, "rev-parse", "--verify", "HEAD").decode().strip()
    except SourceError:
        _git(path, "rev-parse", "--git-dir")
        raise SourceError(f"{path} has no commit yet: commit its files, or give it as a folder") from None
    entries = [entry for entry in _list(path, commit) if entry[0].endswith(".py")]
    if not entries:
        raise SourceError(f"{path} has no tracked .py files at HEAD: commit them, or give it as a folder")
    place = Place(settings, _name(path), _licence(path, commit) or "", commit)
    return _read_each(path, place, entries)


def _list(path: Path, commit: str, *options: str) -> list[tuple[str, str, int]]:
    """List (path in the repository, blob, size) of regular files, without links and submodules."""
    listing = _git(path, "ls-tree", "-r", "-l", "-z", "--full-name", *options, commit)
    entries = []
    for line in filter(None, listing.split(b"\0")):
        facts, _, name = line.partition(b"\t")
        mode, kind, blob, size = facts.split()
        if kind == b"blob" and mode != b"120000":
            entries.append((os.fsdecode(name), blob.decode(), int(size)))
    return sorted(entries)


def _read_each(path: Path, place: Place, entries: list[tuple[str, str, int]]) -> Iterator[SourceFile | Dropped]:
    with _open_reader(path) as reader:
        for name, blob, size in entries:
            if size > place.max_bytes:
                yield place.refuse(name, "too_large", place.describe_size(size))
            else:
                yield place.admit(name, _read(reader, blob, path))


@contextmanager
def _open_reader(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = _command(path, "cat-file", "--batch")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
    ) as reader:
        try:
            yield reader
        finally:
            reader.kill()


def _read(reader: subprocess.Popen[bytes], blob: str, path: Path) -> bytes:
    """Read one object through `git cat-file --batch`: "<id> blob <size>", its bytes, a newline."""
    assert reader.stdin is not None
    assert reader.stdout is not None
    try:
        reader.stdin.write(blob.encode() + b"\n")
        reader.stdin.flush()
        header = reader.stdout.readline().split()
    except BrokenPipeError:
        header = []
    if len(header) != 3:
        raise SourceError(f"git cannot read object {blob} of {path}: run git fsck there")
    content = reader.stdout.read(int(header[2]) + 1)
    return content[:-1]


def _name(path: Path) -> str:
    """Return the remote's address without credentials, or the folder's name if there is no remote."""
    try:
        address = _git(path, "config", "--get", "remote.origin.url").decode("utf-8", "replace").strip()
    except SourceError:
        address = ""
    return hide_secrets(address) or path.resolve().name


def _licence(path: Path, commit: str) -> str | None:
    names = _git(path, "ls-tree", "-z", "--name-only", "--full-tree", commit).split(b"\0")
    texts = [
        _git(path, "cat-file", "blob", f"{commit}:{os.fsdecode(name)}").decode("utf-8", "replace")
        for name in names
        if is_licence_file(os.fsdecode(name)) and _is_blob(path, commit, os.fsdecode(name))
    ]
    return name_licence_texts(texts)


def _is_blob(path: Path, commit: str, name: str) -> bool:
    return _git(path, "cat-file", "-t", f"{commit}:{name}").strip() == b"blob"


def _command(path: Path, *arguments: str) -> list[str]:
    return ["git", "-C", str(path), *arguments]


def _environment() -> dict[str, str]:
    # A partial clone must not fetch objects (git before 2.44 knows no other way than to allow no protocol: the
    # configuration names programs that fetch), and git must not ask for a password.
    never = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0"}
    return {**os.environ, **never, "LC_ALL": "C"}


def _git(path: Path, *arguments: str) -> bytes:
    try:
        result = subprocess.run(_command(path, *arguments), capture_output=True, env=_environment(), check=False)
    except FileNotFoundError:
        raise SourceError("git is not installed: install it, or give the checkout as a folder") from None
    if result.returncode != 0:
        lines = result.stderr.decode("utf-8", "replace").strip().splitlines() or ["git failed"]
        if "not a git repository" in lines[0]:
            raise SourceError(f"{path} is not a git checkout: give it as a folder, without git: in front")
        raise SourceError(f"git cannot read {path}: {lines[0]}")
    return result.stdout
