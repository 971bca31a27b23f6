"""The rows of a run for counting: the files of each stage, and one DuckDB connection for all questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from selfcodealign.errors import RunFolderError
from selfcodealign.rows import Response
from selfcodealign.run_folder.folder import RunFolder, StageFolder

#: Rows that a question's answer is read by.
_BATCH = 1000
#: What readers of Parquet files raise.
_READ_ERRORS = (duckdb.Error, pa.ArrowException, OSError)


@dataclass(frozen=True)
class StageTable:
    """The files of one stage at one moment, the columns that its rows have, and how many were kept."""

    stage: StageFolder[Any]
    kept: Sequence[str]
    dropped: Sequence[str]
    columns: frozenset[str]
    kept_rows: int

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def row_id(self) -> str:
        return self.stage.description.row_id

    @property
    def parent(self) -> str:
        return self.stage.description.parent

    @property
    def makes_answers(self) -> bool:
        """Whether its rows are answers that it was not given, with what happened when they were run."""
        return self.row_id == Response.id_field != self.parent and "status" in self.columns

    def column(self, name: str, otherwise: str = "NULL") -> str:
        """A column as SQL; `otherwise` where the rows do not have it."""
        return quoted(name) if name in self.columns else otherwise


class RunTables:
    """A run opened for counting. Files never change, so what is counted is the run as it was at the beginning.

    As a context, it turns a reader's errors about damaged files, wherever they come from, into `RunFolderError`s.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.stages = [table for stage in folder.stages() if (table := _open(stage)) is not None]
        self._connection = folder.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._connection.close()
        if isinstance(error, _READ_ERRORS):
            raise self._explain(error) from error

    def ask(self, query: str, *given: Any) -> list[tuple[Any, ...]]:
        """The answer to a question, whole."""
        return list(self.stream(query, *given))

    def stream(self, query: str, *given: Any) -> Iterator[tuple[Any, ...]]:
        """The answer to a question, row by row."""
        found = self._connection.execute(query, list(given))
        while batch := found.fetchmany(_BATCH):
            yield from batch

    def named(self, query: str, *given: Any) -> list[dict[str, Any]]:
        """The answer to a question, its rows by the names of their columns."""
        rows = self.ask(query, *given)
        names = [column[0] for column in self._connection.description or []]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def last(self, row_id: str | None = None) -> StageTable | None:
        """The last stage that kept rows (with this id)."""
        for table in reversed(self.stages):
            if row_id in (None, table.row_id) and table.kept_rows:
                return table
        return None

    def _explain(self, error: Exception) -> RunFolderError:
        """Name the damaged file of rows; of one that is damaged in the middle of its texts, what its reader says."""
        try:
            for table in self.stages:
                for _ in table.stage.shards.parents_by_file():
                    pass
        except RunFolderError as named:
            return named
        return RunFolderError(f"cannot read the rows of {self.folder.path}: {str(error).splitlines()[0]}")


def _open(stage: StageFolder[Any]) -> StageTable | None:
    """The files of a stage; None before it has written any."""
    kept = sorted(stage.path.glob("kept-*.parquet"))
    if not kept:
        return None
    dropped = [path.with_name(path.name.replace("kept-", "dropped-", 1)) for path in kept]
    try:
        rows = sum(pq.read_metadata(path).num_rows for path in kept)
        for path in dropped:
            pq.read_metadata(path)
        columns = frozenset(pq.read_schema(kept[0]).names)
    except (pa.ArrowException, OSError):
        # This names the file, with the fix.
        stage.shards.parents()
        raise
    return StageTable(stage, list(map(str, kept)), list(map(str, dropped)), columns, rows)


def quoted(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'


#: The rows of files whose names are the next parameter. Files of one stage may have different columns.
FILES = "read_parquet(?, union_by_name = true)"
