"""Which kind of input a name means."""

from __future__ import annotations

import os
from pathlib import Path

from selfcodealign.errors import UserError, reason_of
from selfcodealign.judging.reading import LINES, PARQUET, STANDARD, JsonLines, Source
from selfcodealign.judging.rows import Fields


def check_source(path: Path) -> None:
    """Raise `UserError` for a file whose name says that it holds something else."""
    if str(path) != STANDARD and path.is_file() and not path.name.endswith((*LINES, PARQUET)):
        wanted = "rows are read from files that end in .jsonl, .jsonl.gz or .parquet"
        raise UserError(f"{path}: {wanted}; convert it, or rename it if it is one of them")


def open_source(path: Path, fields: Fields, *, for_table: bool) -> Source:
    """Open the rows of a file, a pipe or standard input ("-"); does not wait for a writer. Raises `UserError`.

    `for_table`: the rows of a table become a table again, with their types.
    """
    if path.name.endswith(PARQUET) and path.is_file():
        from selfcodealign.judging.tables import ParquetRows

        return ParquetRows(path, fields, for_table=for_table)
    try:
        if str(path) == STANDARD:
            return JsonLines(path, fields, os.dup(0))
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # opening a pipe would wait for its writer
        os.set_blocking(number, True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason_of(error)}; check the path") from None
    return JsonLines(path, fields, number)
