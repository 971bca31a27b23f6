"""A process for one SQL query: it reads rows of a run, and nothing else.

    standard input    {"query", "views": [{"name", "kept", "dropped", "columns"}], "readable": FOLDERS}
    standard output   {"columns", "rows", "cut"} or {"error"}, as JSON

DuckDB is opened over exactly these files, without access to others, without extensions, and with a locked
configuration. Around it stand limits of memory, processor time and file size, and where the kernel has Landlock, a wall
that lets nothing be read but the folders of the stages, and nothing be written.

    python -I -m selfcodealign.explorer.sql_process
"""

from __future__ import annotations

import datetime
import decimal
import json
import os
import resource
import sys
import uuid
import zoneinfo
from collections.abc import Sequence
from typing import Any

import duckdb

from selfcodealign.sandbox.isolation import kernel, landlock

MEMORY = "300MB"
#: Address space: DuckDB's memory, and the code and threads around it.
ADDRESS_SPACE = 2 * 2**30
CPU_SECONDS = 25
MOST_ROWS, MOST_BYTES, MOST_CELL = 1_000, 2_000_000, 20_000
#: Python loads them when it meets such a value; behind the wall it could not.
_VALUES = (datetime.datetime, decimal.Decimal, uuid.UUID, zoneinfo.ZoneInfo)
#: DuckDB asks the machine how much memory and how many cores there are, and does not start without an answer; values
#: with a time zone are made from its description.
_MACHINE = ("/proc/self/cgroup", "/proc/meminfo", "/sys/fs/cgroup", "/sys/devices/system/cpu", "/usr/share/zoneinfo")
NO_SELECT = "only one SELECT statement is run here: rows are read, never written"


class Refused(Exception):
    """A query that is not run."""


def main() -> None:
    asked = json.load(sys.stdin)
    _limit(asked["readable"])
    try:
        answer: dict[str, Any] = run_query(asked["query"], asked["views"])
    except (MemoryError, duckdb.OutOfMemoryException):
        answer = {"error": f"the query needs more memory than the {MEMORY} it may take"}
    except (Refused, duckdb.Error) as error:
        answer = {"error": str(error).partition("\nTraceback")[0]}
    json.dump(answer, sys.stdout)


def _limit(readable: Sequence[str]) -> None:
    """Wall this process off, before DuckDB starts a thread."""
    os.chdir("/")
    for what, most in (
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if landlock.landlock_abi():
        landlock.restrict_self(landlock.make_ruleset((*readable, *_MACHINE), (), ()))


def run_query(query: str, views: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Run a query over views of these files. Raises `Refused` and `duckdb.Error`."""
    check_statement(query)
    connection = duckdb.connect(
        config={
            "memory_limit": MEMORY,
            "threads": 2,
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_unsigned_extensions": False,
            "python_enable_replacements": False,
        }
    )
    files = ", ".join(_quote(file, "'") for view in views for file in (*view["kept"], *view["dropped"]))
    connection.execute(f"SET allowed_paths=[{files}]")
    connection.execute("SET enable_external_access=false")
    connection.execute("SET enable_progress_bar=false")  # it would stand in the answer
    for view in views:
        connection.execute(_view(view))
    connection.execute("SET lock_configuration=true")
    return _collect(connection.execute(query))


def check_statement(query: str) -> None:
    """Raise `Refused` for anything but one SELECT, and `duckdb.Error` for what is no SQL."""
    statements = duckdb.extract_statements(query)
    if not statements:
        raise Refused("there is no statement")
    if len(statements) > 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise Refused(NO_SELECT)


def _view(view: dict[str, Any]) -> str:
    """The rows of a stage with `kept`, `reason` and `detail`."""
    names = ", ".join(_quote(name, '"') for name in view["columns"])
    kept, dropped = (", ".join(_quote(file, "'") for file in view[which]) for which in ("kept", "dropped"))
    return (
        f"CREATE VIEW {_quote(view['name'], chr(34))} AS "
        f"SELECT {names}, true AS kept, NULL::VARCHAR AS reason, NULL::VARCHAR AS detail FROM read_parquet([{kept}]) "
        f"UNION ALL SELECT {names}, false, reason, detail FROM read_parquet([{dropped}])"
    )


def _quote(text: str, sign: str) -> str:
    return sign + text.replace(sign, sign * 2) + sign


def _collect(found: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """The first rows of a result, as texts; `cut` says what is left out."""
    columns = [column[0] for column in found.description or []]
    rows: list[list[str | None]] = []
    size, cut, cells = 0, "", False
    while (values := found.fetchone()) is not None:
        if len(rows) == MOST_ROWS:
            cut = f"the first {MOST_ROWS:,} rows"
            break
        texts = [None if value is None else _text(value) for value in values]
        cells = cells or any(len(text) > MOST_CELL for text in texts if text)
        row = [text if text is None else text[:MOST_CELL] for text in texts]
        size += sum(len(json.dumps(text)) for text in row)
        if size > MOST_BYTES:
            cut = f"the first {len(rows):,} rows: more would be over 2 MB"
            break
        rows.append(row)
    notes = [cut, f"the first {MOST_CELL:,} characters of longer values" if cells else ""]
    return {"columns": columns, "rows": rows, "cut": " and ".join(note for note in notes if note)}


def _text(value: object) -> str:
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


if __name__ == "__main__":
    main()
