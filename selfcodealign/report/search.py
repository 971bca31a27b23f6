"""Find rows of a run by their ids, in narrow columns first: ids are hashes, so every file has to be asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import duckdb
import pyarrow.parquet as pq

from selfcodealign.errors import RunFolderError
from selfcodealign.run_folder.folder import RunFolder

#: Fewest digits of an id that a person may give for the whole.
SHORTEST_ID = 4
#: Longest text that could be an id.
_LONGEST = 64


def check_id(row_id: str) -> str:
    """Return the digits of an id, or of its beginning, as ids are written. Raises `RunFolderError`."""
    digits = row_id.strip().lower()
    if not SHORTEST_ID <= len(digits) <= _LONGEST or not all(letter in "0123456789abcdef" for letter in digits):
        raise RunFolderError(f'"{row_id}" is no row id: give at least {SHORTEST_ID} of its hexadecimal digits')
    return digits


class Search:
    """Searches all shards of a run, as they were when it was made; `connection` may be one of the caller's."""

    def __init__(self, folder: RunFolder, connection: duckdb.DuckDBPyConnection | None = None) -> None:
        self.connection = folder.connect() if connection is None else connection
        self._files: dict[str, tuple[list[str], list[str]]] = {}
        self.fields: dict[str, list[str]] = {}
        self._fresh: dict[str, list[str]] = {}
        self._files_with: dict[str, str] = {}
        stages = folder.stages()
        #: The id fields, from the first row type to the last.
        self.ids = list(dict.fromkeys(stage.description.row_id for stage in stages))
        before: Sequence[str] = ()
        for stage in stages:
            kept = sorted(stage.path.glob("kept-*.parquet"))
            if not kept:
                continue
            twins = [str(path.with_name(path.name.replace("kept-", "dropped-", 1))) for path in kept]
            self._files[stage.name] = [str(path) for path in kept], twins
            fields = self.fields[stage.name] = pq.read_schema(kept[0]).names
            # All other ids have come in with rows that an earlier stage kept.
            fresh = {name for name in fields if name.endswith("_id") and name not in before}
            self._fresh[stage.name] = sorted(fresh | {stage.description.row_id} & set(fields))
            before = fields

    def find(self, beginning: str) -> tuple[str, str]:
        """Return the field and the whole of the one id that begins so. Raises `RunFolderError` for none or several."""
        found: dict[str, str] = {}
        for name, fields in self._fresh.items():
            files = [*self._files[name][0], *self._files[name][1]]
            for field in fields:
                query = (
                    f'SELECT "{field}", min(filename) FROM read_parquet(?, filename = true) '
                    f'WHERE starts_with("{field}", ?) GROUP BY 1 LIMIT 5'
                )
                for one, file in self.connection.execute(query, [files, beginning]).fetchall():
                    found.setdefault(one, field)
                    self._files_with.setdefault(one, file)
        if beginning in found:
            found = {beginning: found[beginning]}
        if not found:
            raise RunFolderError(f'no row of this run has an id that begins with "{beginning}"')
        if len(found) > 1:
            raise RunFolderError(f'several rows have ids that begin with "{beginning}": {", ".join(sorted(found)[:5])}')
        ((full_id, field),) = found.items()
        return field, full_id

    def rows(self, field: str, full_id: str, most: int | None = None) -> list[dict[str, Any]]:
        """Return every row that holds the id, each once, from the last stage that has the id back to the first; at
        most about `most` of each stage."""
        names = reversed([name for name, fields in self.fields.items() if field in fields])
        read = (self._read(name, kept, field, full_id, most) for name in names for kept in (True, False))
        return newest(chain.from_iterable(read), self.ids, full_id)

    def value(self, field: str, full_id: str, wanted: str) -> Any:
        """Return another field of the row that `find` has found; None if it has none."""
        file = self._files_with[full_id]
        if wanted not in pq.read_schema(file).names:
            return None
        query = f'SELECT "{wanted}" FROM read_parquet(?) WHERE "{field}" = ? LIMIT 1'
        found = self.connection.execute(query, [[file], full_id]).fetchone()
        return found[0] if found else None

    def copies(self, ids: Sequence[str], most: int) -> list[Mapping[str, Any]]:
        """Return at most `most` drops of each stage whose detail begins with one of these ids: what was dropped as like
        that row, with `stage`, `parent`, `reason` and `detail`."""
        found: list[Mapping[str, Any]] = []
        query = "SELECT parent, reason, detail FROM read_parquet(?) WHERE list_contains(?, left(detail, 16)) LIMIT ?"
        for name, (_, dropped) in self._files.items():
            found += [row | {"stage": name} for row in self._fetch(query, [dropped, list(ids), most])]
        return found

    def _read(self, name: str, kept: bool, field: str, full_id: str, most: int | None) -> list[dict[str, Any]]:
        """The rows of a stage with an id: the files that have it are found by that column alone."""
        query = f'SELECT DISTINCT filename FROM read_parquet(?, filename = true) WHERE "{field}" = ?'
        files = self.connection.execute(query, [self._files[name][0 if kept else 1], full_id]).fetchall()
        if not files:
            return []
        query = f'SELECT * FROM read_parquet(?) WHERE "{field}" = ?' + (f" LIMIT {most}" if most else "")
        rows = self._fetch(query, [sorted(file for (file,) in files), full_id])
        return [row | {"stage": name, "kept": kept} for row in rows]

    def _fetch(self, query: str, given: Sequence[Any]) -> list[Any]:
        table = self.connection.execute(query, list(given))
        columns = [column[0] for column in table.description or []]
        return [dict(zip(columns, values, strict=True)) for values in table.fetchall()]


def newest(rows: Iterable[dict[str, Any]], ids: Sequence[str], other: str) -> list[dict[str, Any]]:
    """Return rows that come from the last stage to the first, each once: an earlier stage's copy of the same row adds
    nothing, and neither does a row that another one has grown from. `ids` are the id fields, from the first row type to
    the last, `other` is the id of rows without any."""
    found: dict[str, dict[str, Any]] = {}
    above: set[str] = set()
    for row in rows:
        known = [row[one] for one in ids if row.get(one)]
        own_id, ancestors = (known[-1], set(known[:-1])) if known else (other, set())
        if own_id not in found and own_id not in above:
            found[own_id] = row | {"ancestors": ancestors}
            above |= ancestors
    return list(found.values())
