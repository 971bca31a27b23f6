"""Rows of earlier runs and data sets, which new rows are not to repeat.

A source is the folder of a run, whose seeds after its last filter count, or a .jsonl, .jsonl.gz or .parquet file with a
column of texts. Texts are read as a stream; of each, its hash and its number stay in memory.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selfcodealign.curation.carried import own_code
from selfcodealign.errors import SourceError, did_you_mean, reason_of
from selfcodealign.files import READ_ERRORS, read_json_lines
from selfcodealign.rows import Seed, digest
from selfcodealign.run_folder.folder import RunFolder, StageFolder

_ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
_FIX = "near_dedup.against takes folders of finished runs, and files ending in " + ", ".join(_ENDINGS)
_BATCH_ROWS = 1024


@dataclass(frozen=True)
class EarlierSource:
    """One of `near_dedup.against`; `column` holds the texts of a file. Raises `SourceError` where it cannot be read."""

    name: str
    column: str

    @cached_property
    def path(self) -> Path:
        return Path(self.name).expanduser()

    @cached_property
    def is_run(self) -> bool:
        return (self.path / "run.json").is_file()

    def check(self, own: Path) -> None:
        """Look whether it can be read, without reading it; `own` is the folder of the run that asks."""
        if not os.path.exists(self.path):
            raise SourceError(f"near_dedup.against: there is no {self.name}; check the path")
        if self.is_run:
            if self.path.resolve() == own.resolve():
                raise SourceError(f"near_dedup.against names {self.name}, the folder of this very run; leave it out")
            _ = self._seeds
        elif self.path.is_dir() or not self.path.name.endswith(_ENDINGS):
            raise SourceError(f"near_dedup.against: {self.name} is no source of earlier rows: {_FIX}")
        else:
            next(self._values())

    def version(self) -> str:
        """A digest of what it holds."""
        if self.is_run:
            return digest(*sorted(self._seeds.shards.column("seed_id")))
        try:
            facts = self.path.stat()
            return _digest_file(self.path, facts.st_size, facts.st_mtime_ns)
        except OSError as error:
            raise SourceError(f"near_dedup.against: cannot read {self.name}: {reason_of(error)}") from None

    def rows(self) -> Iterator[tuple[int, str, str]]:
        """Yield the number of each row, its text, and what of it is compared; cells without text are passed over."""
        if self.is_run:
            outcomes = self._seeds.shards.outcomes(["seed_id", "seed", "function", "carried_start", "carried_lines"])
            yield from ((int(row["seed_id"], 16), row["seed"], own_code(row)) for kept, row in outcomes if kept)
        else:
            found = False
            for number, value in enumerate(self._values(), 1):
                if isinstance(value, str) and value:
                    found = True
                    yield number, value, value
            if not found:
                raise SourceError(
                    f'near_dedup.against: no row of {self.name} has text in the column "{self.column}": set '
                    "near_dedup.against_column"
                )

    def row_name(self, number: int) -> str:
        """How a drop names a row: the source, and the id of a seed or the line of a file."""
        return f"{self.name}:{number:016x}" if self.is_run else f"{self.name}:{number}"

    @cached_property
    def _seeds(self) -> StageFolder[Seed]:
        found = [one for one in RunFolder(self.path).stages() if one.description.row_id == Seed.id_field]
        if not found or not found[-1].finished:
            raise SourceError(f"near_dedup.against: the run in {self.name} has no finished seeds; run it to its end")
        return found[-1]

    def _values(self) -> Iterator[object]:
        """The column's cells. The first step looks for the column."""
        try:
            yield from self._parquet_values() if self.path.suffix == ".parquet" else self._json_values()
        except (pa.ArrowException, *READ_ERRORS) as error:
            raise SourceError(f"near_dedup.against: cannot read {self.name}: {reason_of(error)}") from None

    def _parquet_values(self) -> Iterator[object]:
        file = pq.ParquetFile(self.path)
        self._require(file.schema_arrow.names)
        for batch in file.iter_batches(_BATCH_ROWS, columns=[self.column]):
            yield from batch.column(0).to_pylist()

    def _json_values(self) -> Iterator[object]:
        row: dict[str, object] | None = None
        for _, row in read_json_lines(self.path, error=SourceError):
            if self.column not in row:
                self._require(list(row))
            yield row[self.column]
        if row is None:
            self._require([])

    def _require(self, columns: Sequence[str]) -> None:
        if self.column not in columns:
            known = f"it has {', '.join(columns)}" if columns else "it has no row"
            raise SourceError(
                f'near_dedup.against: {self.name} has no column "{self.column}" ({known}): set '
                f"near_dedup.against_column{did_you_mean(self.column, columns)}"
            )


class EarlierRows:
    """All sources of earlier rows, in order; knows the texts that have been read."""

    def __init__(self, sources: Sequence[EarlierSource]) -> None:
        self._sources = sources
        self._hashes, self._numbers, self._owners = array("Q"), array("Q"), array("H")

    def read(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each row, and what of it is compared."""
        for owner, source in enumerate(self._sources):
            for number, text, compared in source.rows():
                self._hashes.append(int(digest(text), 16))
                self._numbers.append(number)
                self._owners.append(owner)
                yield source.row_name(number), compared

    def find(self, text: str) -> str | None:
        """The name of the first row with exactly this text, once all are read."""
        order, hashes = self._order
        if not len(hashes):
            return None
        wanted = np.uint64(int(digest(text), 16))
        place = int(np.searchsorted(hashes, wanted))
        if place == len(hashes) or hashes[place] != wanted:
            return None
        row = int(order[place])
        return self._sources[self._owners[row]].row_name(self._numbers[row])

    @cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        hashes = np.array(self._hashes, np.uint64)
        order = np.argsort(hashes, kind="stable")
        return order, hashes[order]


@lru_cache(maxsize=64)
def _digest_file(path: Path, size: int, changed: int) -> str:
    """The digest of a file, read once as long as its size and its time are the same."""
    state = blake2b(digest_size=8)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            state.update(piece)
    return state.hexdigest()
