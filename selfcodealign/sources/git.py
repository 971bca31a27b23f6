"""Source files of a git repository, read at one commit so that a seed's commit identifies its exact text."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, cast

from selfcodealign.addresses import hide_secrets, is_address
from selfcodealign.errors import SourceError
from selfcodealign.rows import Dropped, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.licences import is_licence_file, name_licence_texts
from selfcodealign.sources.place import CODE_ENDINGS, Place

# Of files; a tree that holds the same tree many times over has more than any project.
_MOST_ENTRIES = 5_000_000
_MOST_LICENCE = 1 << 20  # bytes of a licence file

# A repository's configuration must not make these commands run a program or fetch, and its replacement objects must not
# stand for others. Variables that name another repository come from a hook that started this program.
_SAFE = {
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}
_ELSEWHERE = frozenset(
    (
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"),
        *("GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE"),
        *("GIT_CONFIG", "GIT_CONFIG_PARAMETERS"),
    )
)


class _Entry(NamedTuple):
    path: str
    mode: bytes
    blob: str
    size: int


def split_revision(text: str) -> tuple[str, str]:
    """`PATH` or `PATH@REVISION` as path and revision; a path that exists keeps its @."""
    path, at, revision = text.rpartition("@")
    if is_address(text) or not at or os.path.exists(Path(text).expanduser()):
        return text, "HEAD"
    return path, revision


def open_checkout(path: Path, settings: SeedSettings, revision: str = "HEAD") -> Iterator[SourceFile | Dropped]:
    """Read the tracked .py files and notebooks of a checkout, or of one of its folders, as committed at a revision.

    Only objects are read, never the index or the working tree, so that a repository's configuration cannot make these
    git commands run a program.
    """
    commit = find_commit(path, revision)
    with closing(_list(path, commit)) as entries:
        if not any(entry.path.endswith(CODE_ENDINGS) for entry in entries):
            raise SourceError(f"{path} has no tracked .py files at {revision}: commit them, or give it as a folder")
    place = Place(settings, repository_name(path), repository_licence(path, commit) or "", commit)
    return _read_each(path, place, commit)


def find_commit(path: Path, revision: str) -> str:
    try:
        found = run_git(path, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except SourceError:
        run_git(path, "rev-parse", "--git-dir")
        if revision == "HEAD":
            raise SourceError(f"{path} has no commit yet: commit its files, or give it as a folder") from None
        raise SourceError(f'{path} has no revision "{revision}": name a tag, a branch or a commit of it') from None
    return found.decode().strip()


def _list(path: Path, commit: str) -> Generator[_Entry, None, None]:
    """Stream the entries of a commit in the order of their paths: files, links (120000) and submodules (160000)."""
    command = git_command(path, "ls-tree", "-r", "-l", "-z", "--full-name", commit)
    with _start(command) as process:
        assert process.stdout is not None
        output = cast(io.BufferedReader, process.stdout)
        rest = b""
        while block := output.read1(1 << 16):
            *lines, rest = (rest + block).split(b"\0")
            for line in lines:
                facts, _, name = line.partition(b"\t")
                mode, _kind, blob, size = facts.split()
                yield _Entry(os.fsdecode(name), mode, blob.decode(), int(size) if size.isdigit() else 0)
        if process.wait() != 0:
            raise SourceError(f"git cannot list the files of {path} at {commit}: run git fsck there")


def _read_each(path: Path, place: Place, commit: str) -> Iterator[SourceFile | Dropped]:
    reader = _Objects(path)
    with closing(reader), closing(_list(path, commit)) as entries:
        for count, entry in enumerate(entries):
            if count == _MOST_ENTRIES:
                yield place.refuse(entry.path, "too_many_files", f"more than {_MOST_ENTRIES:,} files in one commit")
                return
            if entry.mode == b"160000":
                yield place.refuse(entry.path, "link", "a submodule: give its own checkout as a source")
            elif entry.path.endswith(CODE_ENDINGS):
                yield _read_entry(place, reader, entry)


def _read_entry(place: Place, reader: _Objects, entry: _Entry) -> SourceFile | Dropped:
    if entry.mode == b"120000":
        return place.refuse(entry.path, "link", "a link, which is not followed")
    if dropped := place.pass_over(entry.path, entry.size):
        return dropped
    content = reader.read(entry.blob, place.limit_of(entry.path))
    if content is None:
        return place.refuse(entry.path, "unreadable", f"git cannot read object {entry.blob}: run git fsck")
    return place.admit(entry.path, content)


class _Objects:
    """Objects through one `git cat-file --batch`, started again where a torn object ends it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, blob: str, most: int) -> bytes | None:
        """The bytes of an object; None if it is missing, torn or larger than `most`."""
        if self._process is None:
            self._process = popen_git(git_command(self._path, "cat-file", "--batch"), stdin=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(blob.encode() + b"\n")
            self._process.stdin.flush()
            header = self._process.stdout.readline().split()  # "<id> blob <size>", its bytes, a newline
            if len(header) == 2:
                return None  # "<id> missing"
            if len(header) == 3 and int(header[2]) <= most:
                content = self._process.stdout.read(int(header[2]) + 1)
                if len(content) == int(header[2]) + 1:
                    return content[:-1]
        except BrokenPipeError:
            pass
        self.close()
        return None

    def close(self) -> None:
        if self._process is not None:
            _end(self._process)
            self._process = None


def repository_name(path: Path) -> str:
    """Return the remote's address without credentials, or the folder's name if there is no remote."""
    try:
        address = run_git(path, "config", "--get", "remote.origin.url").decode("utf-8", "replace").strip()
    except SourceError:
        address = ""
    return hide_secrets(address) or path.resolve().name


def repository_licence(path: Path, commit: str) -> str | None:
    """The licence of the files at the root; only the first blocks of a large folder are looked at."""
    with _start(git_command(path, "ls-tree", "-z", "-l", "--full-tree", commit)) as process:
        assert process.stdout is not None
        lines = process.stdout.read(1 << 20).split(b"\0")
    texts = []
    for line in lines:
        facts, _, name = line.partition(b"\t")
        if not is_licence_file(os.fsdecode(name)) or len(texts) == 20:
            continue
        mode, kind, blob, size = facts.split()
        if kind == b"blob" and mode != b"120000" and int(size) <= _MOST_LICENCE:
            texts.append(run_git(path, "cat-file", "blob", blob.decode()).decode("utf-8", "replace"))
    return name_licence_texts(texts)


def git_command(path: Path, *arguments: str) -> list[str]:
    return ["git", "-C", str(path), *arguments]


def git_environment() -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name not in _ELSEWHERE}, **_SAFE}


def popen_git(command: list[str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start a git command whose output is read as it comes."""
    return subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=git_environment()
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with process:  # closes the pipes and waits
        pass


@contextmanager
def _start(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = popen_git(command)
    try:
        yield process
    finally:
        _end(process)


def run_git(path: Path, *arguments: str) -> bytes:
    try:
        result = subprocess.run(git_command(path, *arguments), capture_output=True, env=git_environment(), check=False)
    except FileNotFoundError:
        raise SourceError("git is not installed: install it, or give the checkout as a folder") from None
    if result.returncode != 0:
        lines = result.stderr.decode("utf-8", "replace").strip().splitlines() or ["git failed"]
        if "not a git repository" in lines[0]:
            raise SourceError(f"{path} is not a git checkout: name one, or give a folder without git: in front")
        raise SourceError(f"git cannot read {path}: {lines[0]}")
    return result.stdout
