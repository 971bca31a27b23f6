"""A place that source files come from: the facts that its files share, and the rows made from its texts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from selfcodealign.errors import reason_of
from selfcodealign.rows import Dropped, SourceFile, digest
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.licences import UNKNOWN, find_licence_tag
from selfcodealign.sources.notebooks import read_notebook
from selfcodealign.sources.roles import find_path_role, find_text_role

#: What a file's name ends in when it holds Python code.
CODE_ENDINGS = (".py", ".ipynb")

_HEAD = 4096  # only the first lines of a file are searched for an SPDX header
_NOTEBOOK = 10  # a notebook may be this much larger than a module: most of it are pictures
_LONGEST_FACT = 200  # characters of a licence or repository that a row states
_LONGEST_PATH = 4096


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

    @property
    def most_read(self) -> int:
        """The bytes that tell of any file whether it is too large."""
        return self.max_bytes * _NOTEBOOK + 1

    def limit_of(self, path: str) -> int:
        """The bytes from which the file is dropped without being read."""
        return self.max_bytes * _NOTEBOOK if path.endswith(".ipynb") else self.max_bytes

    def pass_over(self, path: str, size: int = 0, number: int | str = 0) -> Dropped | None:
        """Drop a file whose path or size says enough, so that it need not be read; None: it has to be read."""
        if role := find_path_role(path, self.settings.skip):
            return self.refuse(path, *role, number=number)
        if size > self.limit_of(path):
            return self.refuse(path, "too_large", self.describe_size(size, path), number)
        return None

    def admit(
        self, path: str, content: bytes | str, licence: str | None = None, number: int | str = 0, repository: str = ""
    ) -> SourceFile | Dropped:
        """Make a row from one text; `number` distinguishes rows of a data set that share a path.

        The licence is, in this order: the file's SPDX header, `licence` (its data set row), the place, the setting.
        """
        raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        if dropped := self.pass_over(path, len(raw), number):
            return dropped
        identity = digest("file", self.origin, path, number, hashlib.blake2b(raw, digest_size=16).hexdigest())
        # data sets may hold a notebook that somebody has made a script of
        if path.endswith(".ipynb") and (isinstance(content, bytes) or content.lstrip()[:1] == "{"):
            try:
                code = read_notebook(content)
            except ValueError as error:
                return self.refuse(path, "broken_notebook", reason_of(error), number)
            if code is None:
                return self.refuse(path, "not_python", "a notebook in another language", number)
            content, raw = code, code.encode("utf-8", "surrogatepass")
            if len(raw) > self.max_bytes:
                return self.refuse(path, "too_large", self.describe_size(len(raw)), number)
        if role := find_text_role(raw, self.settings.skip):
            return self.refuse(path, *role, number=number)
        tag = find_licence_tag(raw[:_HEAD].decode("utf-8", "replace"))
        return SourceFile(
            id=identity,
            path=make_printable(path)[:_LONGEST_PATH],
            text=content,
            origin=self.origin,
            commit=self.commit,
            licence=tag or _shorten(licence) or self.licence or self.settings.licence or UNKNOWN,
            repository=_shorten(repository),
        )

    def refuse(self, path: str, reason: str, detail: str, number: int | str = 0) -> Dropped:
        """Drop a file or data set row, with the fields that its seeds would have."""
        identity = digest("file", self.origin, path, number, reason)
        row = {
            "source_id": identity,
            "origin": self.origin,
            "source_path": make_printable(path)[:_LONGEST_PATH],
            "commit": self.commit,
            "licence": self.licence or self.settings.licence or UNKNOWN,
        }
        return Dropped(
            parent=identity,
            reason=reason,
            detail=make_printable(detail),
            row=row,
        )

    def describe_size(self, size: int, path: str = "") -> str:
        """Say why a file of `size` bytes is too large."""
        return f"{size / 1024:,.0f} KiB, at most {self.limit_of(path) // 1024:,} are read"


def _shorten(fact: str | None) -> str:
    """A licence or repository as a row of a data set states it: one line that a table can store."""
    return " ".join(make_printable(fact or "")[:_LONGEST_FACT].split())


def make_printable(text: str) -> str:
    """Replace the bytes of a file name that are not UTF-8, which no table can store, by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
