"""A place that source files come from: the facts that its files share, and the rows made from its texts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from selfcodealign.rows import Dropped, SourceFile, digest
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.licences import UNKNOWN, find_licence_tag

_HEAD = 4096  # only the first lines of a file are searched for an SPDX header


@dataclass(frozen=True, slots=True)
class Place:
    """A package, repository, data set or path; `licence` is its own statement ("" without one)."""

    settings: SeedSettings
    origin: str
    licence: str = ""
    commit: str = ""

    @property
    def max_bytes(self) -> int:
        """Larger files are dropped without being read."""
        return self.settings.max_file_kib * 1024

    def admit(
        self, path: str, content: bytes | str, licence: str | None = None, number: int = 0
    ) -> SourceFile | Dropped:
        """Make a row from one text; `number` distinguishes rows of a data set that share a path.

        The licence is, in this order: the file's SPDX header, `licence` (its data set row), the place, the setting.
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
        """Drop a file or data set row, with the fields that its seeds would have."""
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
        """Say why a file of `size` bytes is too large."""
        return f"{size / 1024:,.0f} KiB, at most {self.settings.max_file_kib:,} are read"


def make_printable(text: str) -> str:
    """Replace the bytes of a file name that are not UTF-8, which no table can store, by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
