"""The rows of a static bundle: of each stage the first ones by the id of their seed, and the whole stories of these.

Ids are hashes, so this is a uniform draw of seeds, the same one each time; the draws of all stages have their seeds in
common. Rows with marks come first. The rows are read once into a database on disk, and given out seed by seed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from selfcodealign.explorer.tables import StageTable, find_stages, open_table, quote
from selfcodealign.report.search import newest

MEMORY = "1GB"
#: Answers to one instruction, and drops as like one row; seeds that are read at once.
MOST_ANSWERS, MOST_COPIES, _SEEDS_AT_ONCE = 200, 50, 100
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ID = re.compile(r"[0-9a-f]{4,64}")
_KEY = "the seed"
#: Seconds after which a query that is at work lets signals through.
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Drawn:
    """The rows of a stage that a bundle lists: `shown` of `size`, by column, each with its `own` id."""

    table: StageTable
    rows: Sequence[Mapping[str, Any]]

    @property
    def size(self) -> int:
        return self.table.size


class BundledRows:
    """Draws at most `most` rows of each stage; `folder` holds a database meanwhile."""

    def __init__(self, run: Path, most: int, marked: Iterable[str], folder: Path) -> None:
        found = (open_table(run, name) for name in find_stages(run) if _NAME.fullmatch(name))
        self.tables = [table for table in found if table is not None and table.pairs]
        self._most = most
        self._connection = duckdb.connect(str(folder / "rows.duckdb"), config={"memory_limit": MEMORY, "threads": 2})
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bundle")
        # Started now: of a thread whose start a signal breaks off, its executor knows nothing, nor of its query.
        self._thread.submit(int).result()
        self._run("SET enable_progress_bar=false")
        self._run("CREATE TABLE marked(id VARCHAR)")
        if ids := list(marked):
            self._run("INSERT INTO marked SELECT unnest(?)", [ids])
        self._ids = list(dict.fromkeys(table.row_id for table in self.tables))

    def draw(self) -> Iterator[str]:
        """Draw the rows and read their stories; yield the name of each stage when it is done."""
        run = self._run
        run("CREATE TABLE shown(stage INTEGER, own VARCHAR, key VARCHAR, task VARCHAR)")
        for number, table in enumerate(self.tables):
            source, files = self._source(table, ())
            run(
                f"INSERT INTO shown SELECT {number}, own, {quote(_KEY)}, task FROM {source} "
                f"ORDER BY own IN (SELECT id FROM marked) DESC, 3, own LIMIT {self._most}",
                files,
            )
        run("CREATE TABLE seeds AS SELECT DISTINCT key FROM shown WHERE key IS NOT NULL")
        run("CREATE TABLE tasks AS SELECT DISTINCT task FROM shown WHERE task IS NOT NULL")
        for number, table in enumerate(self.tables):
            source, files = self._source(table, table.fields)
            run(
                f"CREATE TABLE rows_{number} AS SELECT * FROM {source} WHERE {quote(_KEY)} IN (SELECT key FROM seeds) "
                "AND (task IS NULL OR task IN (SELECT task FROM tasks)) "
                f"QUALIFY row_number() OVER (PARTITION BY {quote(_KEY)}, task ORDER BY own) <= {MOST_ANSWERS}",
                files,
            )
            yield table.name

    def listed(self, number: int) -> Drawn:
        """The rows of a stage that are listed, in the order of their seeds."""
        table = self.tables[number]
        names = ", ".join(quote(name) for name in table.columns)
        query = (
            f"SELECT {names}{', ' if names else ''}kept, reason, detail, own FROM rows_{number} "
            f"WHERE own IN (SELECT own FROM shown WHERE stage = {number}) ORDER BY {quote(_KEY)}, own"
        )
        return Drawn(table, self._fetch(query)[: self._most])

    def pages(self) -> dict[str, str]:
        """The page of each row that has one, and the place in it, by the id."""
        found: dict[str, str] = {}
        for number, table in enumerate(self.tables):
            columns = [name for name in ("concepts_id", "instruction_id", "response_id") if name in table.fields]
            query = (
                f"SELECT DISTINCT own, {quote(_KEY)} AS seed{''.join(f', {one}' for one in columns)} FROM rows_{number}"
            )
            for row in self._fetch(query):
                seed, task = row["seed"] or "", row.get("instruction_id") or ""
                if not _ID.fullmatch(seed):
                    continue
                own = f"row/{task}.html" if _ID.fullmatch(task) else f"row/{seed}.html"
                found[seed] = f"row/{seed}.html"
                found.setdefault(row.get("concepts_id") or seed, f"row/{seed}.html")
                if task and _ID.fullmatch(task):
                    found[task] = own
                answer = row.get("response_id") or ""
                found.setdefault(answer or row["own"], f"{own}#answer-{answer}" if _ID.fullmatch(answer) else own)
        return {row_id: page for row_id, page in found.items() if _ID.fullmatch(row_id)}

    def seeds(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Yield each seed's id with all rows that are shown of it, those of later stages first, as a search would."""
        keys = [key for (key,) in self._run("SELECT key FROM seeds ORDER BY 1").fetchall()]
        left = (key for key in keys if _ID.fullmatch(key))
        while some := list(islice(left, _SEEDS_AT_ONCE)):
            groups: dict[str, list[dict[str, Any]]] = {key: [] for key in some}
            for number in reversed(range(len(self.tables))):
                query = f"SELECT * FROM rows_{number} WHERE list_contains(?, {quote(_KEY)}) ORDER BY kept DESC, own"
                for row in self._fetch(query, [some]):
                    key = row.pop(_KEY)
                    groups[key].append({**_without(row), "stage": self.tables[number].name})
            for key, rows in groups.items():
                yield key, newest(rows, self._ids, key)

    def count_seeds(self) -> int:
        """How many seeds there are."""
        found = self._run("SELECT count(*) FROM seeds").fetchone()
        assert found is not None
        return found[0]

    def copies(self, ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """What was dropped as like one of these rows, by its id."""
        self._run("CREATE TABLE named AS SELECT unnest(?) AS id", [list(ids)])
        found: dict[str, list[dict[str, Any]]] = {}
        for table in self.tables:
            query = (
                "SELECT parent, reason, detail, left(detail, 16) AS like_id FROM read_parquet(?) "
                "WHERE left(detail, 16) IN (SELECT id FROM named) AND reason <> 'one_per_instruction' "
                f"QUALIFY row_number() OVER (PARTITION BY left(detail, 16) ORDER BY parent) <= {MOST_COPIES}"
            )
            for row in self._fetch(query, [[pair.dropped for pair in table.pairs]]):
                found.setdefault(row["like_id"], []).append({**row, "stage": table.name})
        return found

    def close(self) -> None:
        """Break off what is under way, and close the database."""
        idle = self._thread.submit(int)  # comes after a query whose asker is gone, by Ctrl-C or SIGTERM
        while not idle.done():
            self._connection.interrupt()  # in vain before the query has begun, so that once is not enough
            wait([idle], 0.05)
        self._thread.shutdown()
        self._connection.close()

    def _source(self, table: StageTable, names: Iterable[str]) -> tuple[str, list[list[str]]]:
        """SQL for these columns of a stage's rows with `kept`, `reason`, `detail`, `parent`, `own`, `task` and the
        seed; and its parameters."""

        def column(name: str) -> str:
            return quote(name) if name in table.fields else "NULL::VARCHAR"

        own, task, seed = column(table.row_id), column("instruction_id"), column("seed_id")
        fields = "".join(f"{quote(name)}, " for name in names)
        kept = f"true AS kept, NULL::VARCHAR AS reason, NULL::VARCHAR AS detail, NULL::VARCHAR AS parent, {own} AS own"
        dropped = f"false, reason, detail, parent, coalesce({own}, parent)"
        parts = (
            f"SELECT {fields}{kept}, {task} AS task, coalesce({seed}, {own}) AS {quote(_KEY)} FROM read_parquet(?)",
            f"SELECT {fields}{dropped}, {task}, coalesce({seed}, {own}, parent) FROM read_parquet(?)",
        )
        files = [[pair.kept for pair in table.pairs], [pair.dropped for pair in table.pairs]]
        return f"({' UNION ALL '.join(parts)})", files

    def _run(self, query: str, given: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        """Run a query in a thread: while DuckDB works in the main one, no signal reaches Python."""
        work = self._thread.submit(self._connection.execute, query, list(given))
        while not wait([work], _LOOK_SECONDS).done:  # without an end, a signal that comes as the wait begins is lost
            pass
        return work.result()

    def _fetch(self, query: str, given: Sequence[Any] = ()) -> list[dict[str, Any]]:
        table = self._run(query, given)
        names = [column[0] for column in table.description or []]
        return [dict(zip(names, values, strict=True)) for values in table.fetchall()]


def _without(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the stage has it."""
    return {name: value for name, value in row.items() if name not in ("own", "task")}
