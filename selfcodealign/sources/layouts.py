"""Which columns of a data set hold what: those of the published data sets of code, and those that the settings name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfcodealign.errors import SourceError, did_you_mean
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.licences import name_licence


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns by what they hold (None: no such column). `files`: a list of rows that are files of one repository.

    Without `code`, `blob` identifies the text, which lies elsewhere. `language`, `vendored` and `generated` are looked
    at in published data sets, whose words are known.
    """

    code: str | None
    path: str | None = None
    licence: str | None = None
    repository: str | None = None
    language: str | None = None
    blob: str | None = None
    encoding: str | None = None
    size: str | None = None
    vendored: str | None = None
    generated: str | None = None
    files: str | None = None

    def columns(self) -> list[str]:
        """The columns of the data set that are read."""
        own = ("code", "path", "licence", "repository", "language", "blob", "encoding", "size", "vendored", "generated")
        names = ("files", "repository") if self.files else own
        return [column for name in names if (column := getattr(self, name)) is not None]


_STACK_V2 = Layout(
    None, "path", "detected_licenses", "repo_name", "language", "blob_id", "src_encoding", "length_bytes", "is_vendor",
    "is_generated",
)  # fmt: skip
_STACK_V1 = Layout("content", "max_stars_repo_path", "max_stars_repo_licenses", "max_stars_repo_name", language="lang")
_STACK_SMOL = Layout("content", "path", "licenses", "repository_name", "lang")
_GITHUB_CODE = Layout("code", "path", "license", "repo_name", "language")
#: Columns that tell a layout → the layout; the first whose columns are all there. The others of it may be missing.
_PUBLISHED: tuple[tuple[frozenset[str], Layout], ...] = (
    (frozenset(("content", "max_stars_repo_path")), _STACK_V1),  # The Stack (also -dedup), StarCoderData
    (frozenset(("files", "repo_name", "snapshot_id")), replace(_STACK_V2, files="files")),  # the-stack-v2-train-*-ids
    (frozenset(("content", "blob_id", "path")), replace(_STACK_V2, code="content")),  # the same with its texts
    (frozenset(("text", "blob_id", "path")), replace(_STACK_V2, code="text")),
    (frozenset(("blob_id", "path")), _STACK_V2),  # the-stack-v2(-dedup), Stack-Edu
    (frozenset(("content", "repository_name", "path")), _STACK_SMOL),
    (frozenset(("code", "repo_name", "path")), _GITHUB_CODE),
    (frozenset(("content", "repo_name", "path")), Layout("content", "path", "license", "repo_name")),  # CodeParrot
)
_SETTINGS = {name: f"{name}_column" for name in ("code", "path", "licence", "repository")}
_PYTHON = frozenset(("python", "python2", "python3", "py", "jupyter notebook", "ipython notebook"))
# StarCoderData begins half of its files with such a line.
_MARKERS = re.compile(r"(<(reponame|filename|gh_stars)>[^<\n]*)+\n?")


def find_layout(columns: list[str], settings: SeedSettings, where: str) -> Layout:
    """The layout of a data set with these columns. Raises `SourceError` if one that a setting names is missing."""
    known = set(columns)
    published = next((layout for signs, layout in _PUBLISHED if signs <= known), Layout("content"))
    if published.files is None:
        there = {name: getattr(published, name) for name in Layout.__slots__ if getattr(published, name) in known}
        published = Layout(**{"code": None, **there}) if published.blob else replace(Layout("content"), **there)
    chosen = {name: column for name, setting in _SETTINGS.items() if (column := getattr(settings, setting)) is not None}
    if "code" in chosen:
        published = replace(published, files=None, blob=None)
    layout = replace(published, **chosen)
    for name in () if layout.files and not chosen else _SETTINGS:
        column = getattr(layout, name)
        if column is not None and column not in known:
            raise SourceError(
                f'{where} has no column "{column}" (it has {", ".join(columns)}): set seeds.{_SETTINGS[name]}'
                f"{did_you_mean(column, columns)}"
            )
    return layout


def find_files_of_row(row: Mapping[str, Any], layout: Layout) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The files of a row, numbered: of a repository its `files`, of any other row itself as number 0."""
    if layout.files is None:
        yield 0, row
        return
    files = row.get(layout.files)
    for number, file in enumerate(files if isinstance(files, list) else [], start=1):
        if isinstance(file, dict):
            yield number, {**file, "repo_name": row.get("repo_name")}


def cell(row: Mapping[str, Any], column: str | None) -> Any:
    """The value in a column of a row; None where the layout has no such column."""
    return row.get(column) if column is not None else None


def find_row_role(row: Mapping[str, Any], layout: Layout, skip: Sequence[str]) -> tuple[str, str] | None:
    """Why a row is dropped by what its data set says of it, as (reason, detail)."""
    language = cell(row, layout.language)
    if isinstance(language, str) and not is_python(language):
        return "not_python", language
    for reason, column in (("vendored", layout.vendored), ("generated", layout.generated)):
        if reason in skip and cell(row, column) is True:
            return reason, f"the data set's {column}"
    return None


def is_python(language: str) -> bool:
    """Whether the word by which a data set names a language means Python."""
    return language.strip().lower() in _PYTHON


def name_row_licence(row: Mapping[str, Any], layout: Layout) -> str | None:
    """The SPDX expression of a row's licence or licences."""
    return name_licence(cell(row, layout.licence))


def strip_markers(code: str, layout: Layout) -> str:
    """The text without the line in which StarCoderData names repository, file and stars."""
    if layout.path == "max_stars_repo_path" and code.startswith("<") and (found := _MARKERS.match(code)):
        return code[found.end() :]
    return code
