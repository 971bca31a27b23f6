"""Where source files come from: what all files of one place share, and how a text of it becomes a row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from selfcodealign.rows import Dropped, SourceFile, digest
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.licences import UNKNOWN, find_licence_tag

_HEAD = 4096  # an SPDX header stands in the first lines of a file or not at all


@dataclass(frozen=True, slots=True)
class Place:
    """A package, repository, data set or path; `licence` is what it says of itself ("" when it says nothing)."""

    settings: SeedSettings
    origin: str
    licence: str = ""
    commit: str = ""

    @property
    def max_bytes(self) -> int:
        """Files above this size are dropped unread."""
        return self.settings.max_file_kib * 1024

    def admit(
        self, path: str, content: bytes | str, licence: str | None = None, number: int = 0
    ) -> SourceFile | Dropped:
        """One text of this place as a row; `number` tells rows of a data set apart that share a path.

        The file's own SPDX header goes before `licence` (its data set row), that before the place, that before the
        setting.
        """
        raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        if len(raw) > self.max_bytes:
            return self.refuse(path, "too_large", self.describe_size(len(raw)), number)
        tag = find_licence_tag(raw[:_HEAD].decode("utf-8", "replace"))
        return SourceFile(
            id=digest("file", self.origin, path, number, hashlib.blake2b(raw, digest_size=16).hexdigest()),
            path=make_printable(path),
            text=content,
            origin=self.origin,
            commit=self.commit,
            licence=tag or licence or self.licence or self.settings.licence or UNKNOWN,
        )

    def refuse(self, path: str, reason: str, detail: str, number: int = 0) -> Dropped:
        """A file or data set row that cannot be read, with the fields a seed of it would have had."""
        identity = digest("file", self.origin, path, number, reason)
        row = {
            "source_id": identity,
            "origin": self.origin,
            "source_path": make_printable(path),
            "commit": self.commit,
            "licence": self.licence or self.settings.licence or UNKNOWN,
        }
        return Dropped(
            parent=identity,
            reason=reason,
            detail=make_printable(detail),
            row=row,
        )

    def describe_size(self, size: int) -> str:
        """Why a file of `size` bytes is too large."""
        return f"{size / 1024:,.0f} KiB, at most {self.settings.max_file_kib:,} are read"


def make_printable(text: str) -> str:
    """File names may hold bytes that are not UTF-8, which no table can store: they show as question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
