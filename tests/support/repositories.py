"""Git repositories for tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

_IDENTITY = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
#: Settings of the machine must not change what a test sees.
_ENVIRONMENT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


def git(folder: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """Run git in a folder; return what it prints."""
    command = ["git", "-C", str(folder), *_IDENTITY, *arguments]
    found = subprocess.run(command, check=True, capture_output=True, input=stdin, env=os.environ | _ENVIRONMENT)
    return found.stdout.decode("utf-8", "replace")


def new_repository(folder: Path) -> Path:
    """An empty repository in a new folder."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    return folder


def commit(folder: Path, message: str, **files: str | bytes | None) -> str:
    """Commit `files`, of which "a__py" is a.py; None removes one. Return the commit."""
    return commit_files(folder, message, {name.replace("__", "."): content for name, content in files.items()})


def commit_files(folder: Path, message: str, files: dict[str, str | bytes | None], *options: str) -> str:
    """Commit files by their names; None removes one. Return the commit."""
    for name, content in files.items():
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    git(folder, "add", "-A")
    return commit_index(folder, message, *options)


def commit_index(folder: Path, message: str, *options: str) -> str:
    """Commit what is in the index. Return the commit."""
    git(folder, *options, "commit", "-q", "--allow-empty", "--allow-empty-message", "-F", "-", stdin=message.encode())
    return git(folder, "rev-parse", "HEAD").strip()


def import_commits(folder: Path, changes: Iterable[tuple[str, str, str]]) -> None:
    """Commit many (message, path, content) in one process, each after the one before."""
    parts: list[str] = []
    for number, (message, path, content) in enumerate(changes):
        parts += [f"commit refs/heads/main\ncommitter A <a@example.org> {number} +0000\n"]
        parts += [f"data {len(message.encode())}\n{message}\n"]
        parts += [f"M 100644 inline {path}\ndata {len(content.encode())}\n{content}\n"]
    git(folder, "fast-import", "--quiet", stdin="".join(parts).encode())
