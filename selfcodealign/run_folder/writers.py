"""A run folder with several writers: each writes shards under its own name and keeps all else in its own folder.

    RUN/shards/WRITER/       what only this writer writes, until the run takes it over (`engine.gather`)
      facts.json             what it asked and counted, and its partition once that is through
      journal/               the answers of its rows under way
      STAGE.kept-…           Parquet files that are not whole

Writers of one flow hold the lock of the run folder together; a whole run holds it alone. Before its first row a writer
that finds itself alone prepares the flow: it moves away rows of other settings and describes the stages. To shut a
writer out, its folder is moved away: none of its files is committed after that, even if it is still at work.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from selfcodealign.errors import RunFolderError
from selfcodealign.rows import Books, Row
from selfcodealign.run_folder.folder import (
    ASKED,
    ASKING_SECONDS,
    COUNTED,
    COUNTED_ANSWERS,
    Description,
    RunFolder,
    StageFolder,
    read_json,
    write_json,
)
from selfcodealign.run_folder.lock import set_lock, take_lock
from selfcodealign.run_folder.shards import Shards

#: The folder of the writers, the file of each one's facts, and the name in run.json of the flow that they divide.
WRITERS, FACTS, DIVIDED = "shards", "facts.json", "shards"
#: The names in a writer's facts of its partitions that are through, and of parents that were no longer there.
ENDED, GONE = "ended", "gone"
#: Facts that each writer counts for itself, and which the run adds up.
OWN = (ASKED, ASKING_SECONDS, COUNTED, COUNTED_ANSWERS)
PRIVATE = (*OWN, ENDED, GONE)


class WriterFolder(RunFolder):
    """A run's folder as one of several writers sees it; `alone`: no other process is at work there.

    The locks are taken by `take_turn`, `enter`, `share`, in this order, unless a process that has the folder's lock
    gave this writer its name and made its folder.
    """

    def __init__(self, path: Path, writer: str) -> None:
        super().__init__(path)
        self.writer = writer
        self.own = path / WRITERS / writer
        self.alone = False
        self._turn: int | None = None
        self._name: int | None = None

    @property
    def journal_folder(self) -> Path:
        return self.own / "journal"

    @property
    def other_journals(self) -> list[Path]:
        return [self.path / "journal"]

    def facts(self) -> dict[str, Any]:
        """The facts of the run, with those of this writer in place of the ones that each writer counts for itself."""
        whole = super().facts()
        if not whole:
            return {}  # there is no run yet
        return {name: value for name, value in whole.items() if name not in OWN} | read_json(self.own / FACTS)

    def record(self, facts: Mapping[str, Any]) -> None:
        """Add to this writer's facts; while it is alone, to those of the run."""
        mine = {name: value for name, value in facts.items() if name in PRIVATE or not self.alone}
        write_json(self.own / FACTS, read_json(self.own / FACTS) | mine)
        if self.alone:
            whole = {name: value for name, value in facts.items() if name not in PRIVATE}
            write_json(self.path / "run.json", super().facts() | whole)

    def stage(self, name: str, description: Description, row: type[Row]) -> StageFolder[Any]:
        if self.alone:
            return super().stage(name, description, row)
        return _SharedStage(self, name, description, row)

    # -------------------------------------------------------------------------------------------------------- locks

    def take_turn(self) -> bool:
        """Keep other writers from entering; whether this one may enter now."""
        self._turn = _lock(self.path / WRITERS, "turn")
        return self._turn is not None

    def end_turn(self) -> None:
        """Let other writers enter."""
        if self._turn is not None:
            os.close(self._turn)
            self._turn = None

    def enter(self) -> None:
        """Take the folder's lock, alone if no other process has it. Raises `RunFolderError` for a whole run at work,
        and for a writer of the same name."""
        self._lock = _lock(self.path, "lock")
        self.alone = self._lock is not None
        self._lock = self._lock if self.alone else _lock(self.path, "lock", shared=True)
        if self._lock is None:
            raise RunFolderError(f"{self.path} is in use by a run without --shard: wait for it or choose another --out")
        self._name = _lock(self.path / WRITERS, f"{self.writer}.lock")
        if self._name is None:
            raise RunFolderError(f"{self.path}: another process works on the same shard: wait for it")

    def share(self) -> None:
        """Let other writers work beside this one from now on."""
        assert self._lock is not None
        self.alone = False
        if not set_lock(self._lock, shared=True):
            raise RunFolderError(f"{self.path} is in use by a run without --shard: wait for it")

    def leave(self) -> None:
        """Release all locks."""
        self.end_turn()
        for lock in (self._name, self._lock):
            if lock is not None:
                os.close(lock)
        self._name = self._lock = None


class _SharedStage(StageFolder[Any]):
    """A stage that several writers fill: it is described before they begin, and completed after they have ended."""

    def __init__(self, folder: WriterFolder, name: str, description: Description, row: type[Row]) -> None:
        super().__init__(folder.path / name, description, row)
        self._folder = folder
        self.shards = Shards(self.path, row, description.parent, folder.writer, folder.own)

    def begin(self, decided_by: Mapping[str, Any]) -> None:
        self.shards.sweep()

    def finish(self, decided_by: Mapping[str, Any], books: Books) -> None:
        """Left to the run that takes the rows over."""

    def note_gone(self, parents: np.ndarray) -> None:
        """Record that rows have been made of parents that are no longer there."""
        gone = self._folder.facts().get(GONE, {})
        found = sorted({*gone.get(self.name, ()), *(f"{int(one):016x}" for one in parents)})
        self._folder.record({GONE: gone | {self.name: found}})


def _lock(folder: Path, name: str, *, shared: bool = False) -> int | None:
    try:
        return take_lock(folder, shared=shared, name=f".{name}")
    except OSError as error:
        raise RunFolderError(f"cannot lock {folder}: {error.strerror}; its file system must support locks") from None
