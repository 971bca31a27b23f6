"""How far each stage of a run is, and whether a run is at work: cheap enough to be asked every two seconds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from selfcodealign.explorer.tables import find_pairs, find_stages, open_table
from selfcodealign.rows import unit_of
from selfcodealign.run_folder.folder import RunFolder, StageFolder, open_existing

_LOCKS = Path("/proc/locks")


@dataclass(frozen=True)
class StageCounts:
    """Rows of a stage: `entered` (None: not counted while the stage is under way), `kept`, dropped ones by reason.

    `state` is waiting, under way, finished or stopped; `came` and `stayed` are the units of `entered` and `kept`.
    """

    name: str
    state: str
    entered: int | None = None
    kept: int = 0
    dropped: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    came: str = ""
    stayed: str = ""
    earlier: bool = False

    def fields(self) -> dict[str, Any]:
        return asdict(self)


def count_stages(run: Path, cursor: duckdb.DuckDBPyConnection | None = None) -> list[StageCounts]:
    """Count the rows of all stages of a run's journey that give rows, in order; reasons of those under way with a
    cursor. Files are counted by their metadata, which is read once."""
    folder = open_existing(run)
    begun = {name: folder.look_at(name) for name in find_stages(run)}
    return [_count(run, folder, name, begun.get(name), cursor) for name in folder.journey()]


def _count(
    run: Path, folder: RunFolder, name: str, stage: StageFolder[Any] | None, cursor: duckdb.DuckDBPyConnection | None
) -> StageCounts:
    if stage is None:
        done = name in folder.facts().get("last_stages", {})
        return StageCounts(name, "finished" if done else "waiting", earlier=name in folder.earlier())
    about, books = stage.description, stage.state().get("books")
    came, stayed = unit_of(about.parent, kind=stage.seed_kind), unit_of(about.row_id)
    if books is not None:
        dropped = books["dropped"]
        return StageCounts(
            name,
            "finished",
            books["entered"],
            books["kept"],
            sum(dropped.values()),
            dropped,
            came,
            stayed,
            stage.earlier,
        )
    kept, dropped = _count_files(stage)
    reasons = _count_reasons(run, name, cursor) if cursor is not None else {}
    return StageCounts(name, "stopped" if stage.stopped else "under way", None, kept, dropped, reasons, came, stayed)


def _count_files(stage: StageFolder[Any]) -> tuple[int, int]:
    pairs = list(find_pairs(stage.path))
    kept = sum(pair.kept_rows for pair in pairs)
    return kept, sum(pair.rows for pair in pairs) - kept


def _count_reasons(run: Path, name: str, cursor: duckdb.DuckDBPyConnection) -> dict[str, int]:
    table = open_table(run, name)
    if table is None or not table.pairs:
        return {}
    query = "SELECT reason, count(*) FROM read_parquet(?) GROUP BY 1 ORDER BY 2 DESC, 1"
    return dict(cursor.execute(query, [[pair.dropped for pair in table.pairs]]).fetchall())


def is_at_work(run: Path, locks: Path = _LOCKS) -> bool:
    """Whether a run holds the folder's lock. The lock is not tried: a run that starts would find it taken."""
    try:
        inode = os.stat(run / ".lock").st_ino
        with locks.open() as lines:
            return any(f":{inode} " in line and "FLOCK" in line for line in lines)
    except OSError:
        return False


class Pace:
    """Rows per second of a run, from the counts of the last `seconds`."""

    def __init__(self, seconds: float = 20.0) -> None:
        self._seconds = seconds
        self._seen: list[tuple[float, int]] = []

    def note(self, now: float, counts: Sequence[StageCounts]) -> float | None:
        """Note the present counts; return rows per second, None where too little is known."""
        total = sum(one.kept + one.dropped for one in counts)
        if self._seen and total < self._seen[-1][1]:  # a stage began again
            self._seen.clear()
        self._seen = [one for one in self._seen if one[0] > now - self._seconds] + [(now, total)]
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - began) if ended - began > 1 else None
