"""What goes to the hub, decided before anything is asked of the network: files, the card, and what is to be told."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from selfcodealign.errors import PublishError

CARD = "README.md"
#: A repository's name, with or without its owner.
_REPOSITORY = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9])?", re.ASCII)
_LOCAL = re.compile(r"(?<![\w:/.~-])/(?:home|Users|root|mnt|data|opt|srv|tmp|var|workspace|scratch|content)/[\w./+-]+")
_PASSWORD = re.compile(r"//[^\s/:@*]+:[^\s/@*]+@")
_TOKEN = re.compile(r"\b(?:hf_[A-Za-z0-9]{24,}|sk-[A-Za-z0-9_-]{24,}|gh[pousr]_[A-Za-z0-9]{30,})")
#: Larger texts are data, not text that a person wrote.
_TEXT = (".md", ".json", ".jinja", ".txt", ".html", ".py", ".svg", ".toml")
_LARGEST_TEXT = 5 * 2**20


@dataclass(frozen=True)
class Parcel:
    """Files by their path in the repository (a local file, or the bytes themselves), and what a person should know.

    `missing` says what the card lacks; `notes` what else to look at; `left_out` names files of the folder that stay.
    """

    kind: Literal["dataset", "model"]
    what: str
    files: Mapping[str, Path | bytes]
    licence: str
    missing: Sequence[str] = ()
    notes: Sequence[str] = ()
    left_out: Sequence[str] = ()
    #: Files of an earlier push that are removed where this one does not bring them.
    replaces: re.Pattern[str] | None = None
    #: Files that show an earlier push: a repository without any is somebody else's work.
    marks: Sequence[str] = field(default=(CARD,))

    def size(self, name: str) -> int:
        """The bytes of a file."""
        held = self.files[name]
        return len(held) if isinstance(held, bytes) else held.stat().st_size

    @property
    def total_bytes(self) -> int:
        """The bytes of all files."""
        return sum(map(self.size, self.files))

    @property
    def card(self) -> str:
        """The text of the card."""
        held = self.files[CARD]
        return (held if isinstance(held, bytes) else held.read_bytes()).decode("utf-8")


def check_repository(name: str) -> None:
    """Raises `PublishError` for what cannot be a repository's name on the hub: `NAME` or `OWNER/NAME`."""
    parts = name.split("/")
    odd = len(parts) > 2 or len(name) > 96 or "--" in name or ".." in name or name.endswith(".git")
    if odd or not all(_REPOSITORY.fullmatch(part) for part in parts):
        raise PublishError(
            f'"{name}" cannot be a repository: give NAME or OWNER/NAME, of letters, digits, - _ and . (no -- or ..)'
        )


def pick_files(folder: Path, patterns: Sequence[str]) -> tuple[dict[str, Path], list[str]]:
    """The files of a folder that one of the patterns finds, and the names of all others.

    Hidden files, links that lead out of the folder and what is no regular file are never among them.
    """
    picked, left = {}, []
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if any(fnmatch(name, pattern) and name.count("/") == pattern.count("/") for pattern in patterns):
            picked[name] = path
        else:
            left.append(name)
    return picked, left


def _walk(folder: Path) -> Iterator[Path]:
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file() and path.resolve().is_relative_to(root) and os.access(path, os.R_OK):
            yield path


def refuse_secrets(files: Mapping[str, Path | bytes]) -> None:
    """Raises `PublishError` for a text with a password in an address, or with an access token."""
    for name, held in files.items():
        if not name.endswith(_TEXT):
            continue
        if isinstance(held, Path) and held.stat().st_size > _LARGEST_TEXT:
            continue
        text = (held if isinstance(held, bytes) else held.read_bytes()).decode("utf-8", "replace")
        for pattern, what in ((_PASSWORD, "an address with a password"), (_TOKEN, "an access token")):
            if found := pattern.search(text):
                line = text.count("\n", 0, found.start()) + 1
                raise PublishError(f"{name}:{line} holds {what}: remove it (and change it, if others have seen it)")


def local_places(card: str) -> list[str]:
    """Notes on paths of this machine in a card, which say nothing to others and may name people."""
    found = list(dict.fromkeys(_LOCAL.findall(card)))
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return [f"the card names places of this machine: {', '.join(found[:3])}{more}"] if found else []


def tell_bytes(number: int) -> str:
    """A size as people read it.

    >>> tell_bytes(123954), tell_bytes(5_909_256)
    ('124 kB', '5.9 MB')
    """
    for unit, bound in (("B", 1_000), ("kB", 1_000_000), ("MB", 1_000_000_000)):
        if number < bound:
            shown = number * 1_000 / bound
            return f"{shown:.0f} {unit}" if shown >= 10 or unit == "B" else f"{shown:.1f} {unit}"
    return f"{number / 1e9:.1f} GB"
