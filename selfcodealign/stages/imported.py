"""Rows of data sets → imported instructions, with the responses and the tests that they were given there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from selfcodealign.errors import RecipeError, SourceError, UserError
from selfcodealign.judging.given_tests import read_given_tests
from selfcodealign.rows import IMPORTED as KIND
from selfcodealign.rows import Dropped, Imported, digest
from selfcodealign.settings import ImportedSettings
from selfcodealign.sources.given import HEAD_ROWS, GivenRow, Table, open_given
from selfcodealign.sources.licences import UNKNOWN, is_permitted
from selfcodealign.stages import Source
from selfcodealign.stages.context import Context
from selfcodealign.stages.without_seed import without_seed

_NAME = "imported"
_SHAPES = "tests are code, a list of assertions, or the JSON text of such a list"


class Importer:
    """Makes an instruction of a row; tests of a shape that nobody knows, and unwanted licences, are drops."""

    def __init__(self, context: Context) -> None:
        self._licences = context.recipe.imported.licences

    async def __call__(self, row: GivenRow | Dropped) -> list[Imported | Dropped]:
        if isinstance(row, Dropped):
            return [row]
        tests = read_given_tests(row.tests, row.entry_point)
        made = _make(row, tests or "")
        if tests is None:
            return [_drop(row, made, "unknown_tests", _tell_tests(row))]
        if not is_permitted(row.licence, self._licences):
            return [_drop(row, made, "licence", row.licence)]
        return [made]


def _make(row: GivenRow, tests: str) -> Imported:
    seed_id = digest("imported", row.instruction)
    return without_seed(
        Imported,
        seed_id=seed_id,
        source_id=row.id,
        origin=row.origin,
        source_path=row.path,
        commit=row.commit,
        licence=row.licence,
        kind=KIND,
        concepts_id=seed_id,
        instruction_id=digest("imported", row.origin, row.given_id, row.instruction, row.response, row.tests),
        instruction=row.instruction,
        given_id=row.given_id,
        given_response=row.response,
        given_tests=tests,
    )


def _drop(row: GivenRow, made: Imported, reason: str, detail: str) -> Dropped:
    return Dropped(parent=row.id, reason=reason, detail=detail, row=made.fields())


def _tell_tests(row: GivenRow) -> str:
    return " ".join(str(row.tests[0] if len(row.tests) == 1 else row.tests).split())[:160]


def drop_copies(rows: Iterable[GivenRow | Dropped]) -> Iterator[GivenRow | Dropped]:
    """Yield all rows; of those whose texts are the same, in whichever data set, the later ones as drops."""
    first: dict[int, str] = {}
    for row in rows:
        if isinstance(row, GivenRow):
            place = first.setdefault(int(digest(row.instruction, row.response, row.tests), 16), row.path)
            if place != row.path:
                yield _drop(row, _make(row, ""), "copy", place)
                continue
        yield row


def _read(context: Context) -> Iterator[GivenRow | Dropped]:
    return drop_copies(_read_all(context))


def _read_all(context: Context) -> Iterator[GivenRow | Dropped]:
    settings, stated = context.recipe.imported, bool(context.recipe.dataset.license)
    told: set[str] = set()
    for source in dict.fromkeys(settings.sources):
        rows = (row for table in open_given(source, settings) for row in table.rows())
        for row in islice(rows, settings.limit):
            if isinstance(row, GivenRow) and row.licence == UNKNOWN and source not in told and not stated:
                told.add(source)
                context.progress.say(
                    f"{source}: rows state no licence, and the card will say {UNKNOWN}: set imported.licence (or "
                    "imported.licence_column) if you know it"
                )
            yield row


def _check(context: Context) -> Iterator[str | UserError]:
    settings = context.recipe.imported
    if not settings.sources:
        yield RecipeError(
            "imported.sources names no data set: give --source FILE (.jsonl, .parquet, a folder, hub:NAME, "
            "or the folder of a run)"
        )
    for source in settings.sources:
        try:
            if Path(source).expanduser().resolve() == context.folder.path.resolve():
                raise SourceError(f"imported.sources names {source}, the folder of this very run; leave it out")
            for table in open_given(source, settings):
                _check_table(table, settings, _wants(context))
        except UserError as error:
            yield error


def _wants(context: Context) -> list[str]:
    """The kinds of columns without which a later stage would drop all rows."""
    if "verify" not in context.places:
        return []
    return ["response", "tests"] if context.recipe.verify.execute else ["response"]


def _check_table(table: Table, settings: ImportedSettings, wanted: Iterable[str]) -> None:
    """Look at the first rows: at least one must be what the columns promise. Raises `SourceError`."""
    has = f"it has {', '.join(table.known)}"
    for kind in wanted:
        if not getattr(table.columns, kind):
            without = "; to run nothing, set verify.execute=false" if kind == "tests" else ""
            raise SourceError(
                f"{table.where} has no column of {kind} that is known ({has}): set imported.{kind}_column{without}"
            )
    head = list(islice(table.rows(), HEAD_ROWS))
    rows = [row for row in head if isinstance(row, GivenRow)]
    if head and not rows:
        first = head[0]
        assert isinstance(first, Dropped)
        raise SourceError(
            f"{table.where}: none of the first {len(head)} rows can be taken ({first.reason}: {first.detail}; {has}): "
            "name its columns (imported.instruction_column and others)"
        )
    given = [row for row in rows if any(row.tests)]
    if given and all(read_given_tests(row.tests, row.entry_point) is None for row in given):
        raise SourceError(
            f"{table.where}: no row has tests of a known shape in {' + '.join(table.columns.tests)} "
            f"({_tell_tests(given[0])}; {has}); {_SHAPES}: set imported.tests_column, or "
            'imported.tests_column="none" to do without'
        )


IMPORTED = Source(
    name=_NAME,
    gives=Imported,
    settings=ImportedSettings,
    check=_check,
    decided_by=lambda context: context.deciding(_NAME),
    read=_read,
    parent="source_id",
    build=Importer,
    rows_at_once=lambda context: 64,
)
