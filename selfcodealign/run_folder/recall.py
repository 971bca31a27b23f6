"""Rows in superseded/ that the present settings would make again: they come back instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic

from selfcodealign.addresses import REMOVED, hide_in
from selfcodealign.rows import Dropped, R, Row
from selfcodealign.run_folder.folder import Description, RunFolder, StageFolder, read_json
from selfcodealign.run_folder.shards import Shards

#: Pairs of shards in memory.
PAIRS_HELD = 8


def find_superseded(
    folder: RunFolder, name: str, description: Description, decided_by: Mapping[str, Any]
) -> list[StageFolder[Any]]:
    """Return the superseded folders of a stage whose rows are of this kind and decided by the same, oldest first."""
    paths = [
        path
        for path in (folder.path / "superseded").glob(f"{name}-*")
        if path.name.removeprefix(f"{name}-").isdigit() and (path / "stage.json").is_file()
    ]
    found = []
    for path in sorted(paths, key=lambda path: int(path.name.rpartition("-")[2])):
        rows = read_json(path / "stage.json").get("rows")
        stage: StageFolder[Any] | None = StageFolder(path, Description(**rows)) if rows else None
        if stage is None or stage.decided_by != hide_in(decided_by, REMOVED):
            continue
        before = stage.description
        if (before.kind, before.parent, set(before.fields)) == (
            description.kind,
            description.parent,
            set(description.fields),
        ):
            found.append(stage)
    return found


class Recall(Generic[R]):
    """What superseded `stages` made of a row, found by the row's id; memory holds the ids and a few pairs of shards."""

    def __init__(self, stages: Sequence[StageFolder[Any]], row: type[Row]) -> None:
        self._places: dict[int, tuple[Shards[Any], Path]] = {}
        for stage in stages:
            shards: Shards[Any] = Shards(stage.path, row, stage.description.parent)
            for path, parents in shards.parents_by_file():
                self._places.update(dict.fromkeys(parents.tolist(), (shards, path)))
        self._read = lru_cache(PAIRS_HELD)(_read_pair)

    def __bool__(self) -> bool:
        return bool(self._places)

    def outcome(self, row_id: str) -> list[R | Dropped] | None:
        """Return the rows and drops that the row became; None if it is not among the superseded ones."""
        place = self._places.get(int(row_id, 16))
        return self._read(*place)[row_id] if place is not None else None


def _read_pair(shards: Shards[Any], path: Path) -> dict[str, list[Any]]:
    outcomes: dict[str, list[Any]] = {}
    kept, dropped = shards.pair(path)
    for row in kept:
        outcomes.setdefault(getattr(row, shards.parent_field), []).append(row)
    for drop in dropped:
        outcomes.setdefault(drop.parent, []).append(drop)
    return outcomes
