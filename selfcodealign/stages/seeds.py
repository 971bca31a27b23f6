"""Source → seed: read source files, and take the seeds of `seeds.kind` out of each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Any

from selfcodealign.curation.commits import extract_commit, load_tokenizer
from selfcodealign.curation.functions import extract_seeds
from selfcodealign.curation.lines import extract_windows
from selfcodealign.errors import RecipeError, UserError
from selfcodealign.rows import Dropped, Seed, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources import Files, find_own, open_sources
from selfcodealign.sources.commits import Commit, open_commits
from selfcodealign.sources.licences import UNKNOWN, is_permitted
from selfcodealign.stages import Source
from selfcodealign.stages.context import Context

_TELLING_FILES = 100  # without a permitted licence among so many, a person is told


def take_seeds(file: SourceFile | Dropped, settings: SeedSettings) -> list[Seed | Dropped]:
    """The outcome of one file of a source, which may be unreadable."""
    if isinstance(file, Dropped):
        return [file]
    if isinstance(file, Commit):
        return extract_commit(file, settings)
    return extract_windows(file, settings) if settings.kind == "lines" else extract_seeds(file, settings)


def _open(settings: SeedSettings) -> Iterable[tuple[str, Files]]:
    """All sources, each with its name: their files, or their commits."""
    return open_commits(settings) if settings.kind == "commits" else open_sources(settings)


def _settings(context: Context) -> SeedSettings:
    """Without the limit, which `near_dedup` keeps: with it, another limit would read all sources again."""
    return context.recipe.seeds.model_copy(update={"limit": None})


def _check(context: Context) -> Iterable[UserError]:
    settings = context.recipe.seeds
    if settings.limit is not None and "near_dedup" not in context.places:
        yield RecipeError(
            "seeds.limit counts in the stage near_dedup, which this journey leaves out: add it, or unset it"
        )
    try:
        find_own(settings)
    except UserError as error:
        yield error
    for source in settings.sources:
        try:
            _open(settings.model_copy(update={"sources": [source], "own_code": []}))  # reads nothing
        except UserError as error:
            yield error
    if settings.kind == "commits" and settings.commits_tokenizer is not None:
        try:
            load_tokenizer(settings.commits_tokenizer)
        except UserError as error:
            yield error


def _read(context: Context) -> Files:
    settings = _settings(context)
    own = find_own(settings)
    return chain.from_iterable(
        _watch_own(source, files, context) if source in own else _watch(source, files, settings, context.progress.say)
        for source, files in _open(settings)
    )


def _watch(source: str, files: Files, settings: SeedSettings, say: Callable[[str], None]) -> Files:
    """Yield all files of a source; say at once when none of the first ones has a licence among `seeds.licences`."""
    found: Counter[str] = Counter()
    permitted = False
    for file in files:
        if not permitted and isinstance(file, SourceFile):
            found[file.licence] += 1
            permitted = is_permitted(file.licence, settings.licences)
            if not permitted and found.total() == _TELLING_FILES:
                say(_tell_licences(source, found))
        yield file
    if not permitted and 0 < found.total() < _TELLING_FILES:
        say(_tell_licences(source, found))


def _watch_own(source: str, files: Files, context: Context) -> Files:
    """Yield all files of a source that is the user's own; say once when one states no licence, as the card will."""
    said = bool(context.recipe.dataset.license)
    for file in files:
        if not said and isinstance(file, SourceFile) and file.licence == UNKNOWN:
            said = True
            context.progress.say(
                f"{source}: your own code states no licence, and the card will say {UNKNOWN}: set seeds.licence (or "
                "dataset.license) to name it"
            )
        yield file


def _tell_licences(source: str, found: Counter[str]) -> str:
    licences = ", ".join(f"{name} {count}" for name, count in found.most_common(5))
    return (
        f"{source}: no file has a licence among seeds.licences (files by licence: {licences}), so all seeds are "
        f'dropped; if the code is yours, set seeds.own_code=["{source}"]; if you know its licence, set seeds.licence'
    )


def _decided_by(context: Context) -> dict[str, Any]:
    return {name: value for name, value in context.deciding("seeds").items() if name != "seeds.limit"}


SEEDS = Source(
    name="seeds",
    gives=Seed,
    settings=SeedSettings,
    columns=("function", "origin", "licence"),
    check=_check,
    decided_by=_decided_by,
    read=_read,
    parent="source_id",
    build=lambda context: partial(take_seeds, settings=_settings(context)),
    rows_at_once=lambda context: 4 * (os.cpu_count() or 1),
    cpu=True,
)
