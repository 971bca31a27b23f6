"""What a run leaves on disk, and what has to happen to earlier rows when a run is resumed.

    RUN/
      recipe.toml        the settings in force
      run.json           versions, model, machine
      seeds/             one folder per stage: pairs of Parquet files (see `shards`) and stage.json
      ...
      superseded/        work of settings that have changed since, moved away and never deleted

The verbs that fill it are in `verbs`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import duckdb
import numpy as np

from selfcodealign import files
from selfcodealign.errors import RunFolderError
from selfcodealign.rows import Concepts, Example, Instruction, Response, Row, Seed
from selfcodealign.run_folder.shards import Shards

R = TypeVar("R", bound=Row)

#: The stages that keep rows, in the order of the journey: the type of the rows, and the field by which a row names the
#: one that entered the stage.
KINDS: dict[str, tuple[type[Row], str]] = {
    "seeds": (Seed, "source_id"),
    "near_dedup": (Seed, "seed_id"),
    "judge": (Seed, "seed_id"),
    "concepts": (Concepts, "seed_id"),
    "instructions": (Instruction, "concepts_id"),
    "distinct": (Instruction, "instruction_id"),
    "responses": (Response, "instruction_id"),
    "selection": (Example, "response_id"),
}
#: DuckDB sorts on disk beyond this.
SORT_MEMORY = "512MB"


@dataclass(frozen=True, slots=True)
class Books:
    """The account of a stage: parents that entered, rows that left, drops by reason."""

    entered: int
    kept: int
    dropped: dict[str, int] = field(default_factory=dict)


class Stage(Generic[R]):
    """The folder of one stage.

    `digest` names the settings that decide its rows; when it differs from the one on disk, the old folder has been
    moved to `superseded/` by `RunFolder.stage` before this object exists.
    """

    def __init__(
        self, name: str, folder: Path, shards: Shards[R], digest: str, keep_old: Callable[[Path], Path]
    ) -> None:
        self.name = name
        self.folder = folder
        self.shards = shards
        self.digest = digest
        self._keep_old = keep_old

    @property
    def finished(self) -> bool:
        """Whether a run has been through all of this stage's input."""
        return self.state().get("books") is not None

    def books(self) -> Books:
        """The account so far; `entered` is what came in until now."""
        state = self.state().get("books")
        if state is not None:
            return Books(**state)
        kept, dropped = self.shards.counts()
        return Books(len(self.shards.parents()), kept, dropped)

    def rows(self) -> Iterator[R]:
        """All rows this stage has kept."""
        return self.shards.rows()

    def begin(self, settings: dict[str, Any]) -> None:
        """Make the folder ready for work: sweep what a kill left, record the settings."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.shards.sweep()
        write_json(self.folder / "stage.json", {"digest": self.digest, "settings": settings, "books": None})

    def finish(self, settings: dict[str, Any], books: Books) -> None:
        """Record that the stage is complete."""
        account = {"entered": books.entered, "kept": books.kept, "dropped": books.dropped}
        write_json(self.folder / "stage.json", {"digest": self.digest, "settings": settings, "books": account})

    def retire_strangers(self, parents: np.ndarray) -> int:
        """Move rows whose parent is none of `parents` (its inputs have changed) out of the stage; how many parents."""
        strangers = np.setdiff1d(self.shards.parents(), parents)
        if not len(strangers):
            return 0
        gone = {f"{int(one):016x}" for one in strangers}
        fresh = self.folder.with_name(f".{self.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        copy = Shards(fresh, self.shards.row, self.shards.parent_field)
        for kept, dropped in self.shards.pairs():
            kept = [row for row in kept if getattr(row, self.shards.parent_field) not in gone]
            dropped = [drop for drop in dropped if drop.parent not in gone]
            copy.write(kept, dropped)
        shutil.copy(self.folder / "stage.json", fresh / "stage.json")
        self._keep_old(self.folder)
        os.rename(fresh, self.folder)
        return len(gone)

    def state(self) -> dict[str, Any]:
        """What stage.json says; empty for a stage that has not begun."""
        return read_json(self.folder / "stage.json")


class RunFolder:
    """A run's folder, locked while it is open for writing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunFolderError(
                f"cannot use {self.path} as a run folder: {error.strerror}; choose another --out"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise RunFolderError(f"{self.path} is in use by another run; wait for it or choose another --out") from None
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def stage(self, name: str, digest: str, say: Callable[[str], None] = lambda text: None) -> Stage[Any]:
        """Open a stage for writing; work done under other settings is moved to `superseded/` first, and said."""
        folder = self.path / name
        fresh = folder.with_name(f".{name}.new")
        if fresh.exists() and not folder.exists() and (fresh / "stage.json").exists():
            os.rename(fresh, folder)  # a kill between the two renames of `retire_strangers` or `whole`
        stage = Stage(name, folder, Shards(folder, *KINDS[name]), digest, self.keep_old)
        if folder.exists() and stage.state().get("digest") not in (None, digest):
            where = self.keep_old(folder)
            say(f"{name}: settings have changed, so it starts anew; the earlier rows are in {where}")
        return stage

    def look_at(self, name: str) -> Stage[Any] | None:
        """A stage as it is on disk, for reading; None when it has not begun. Needs no lock."""
        folder = self.path / name
        stage = Stage(name, folder, Shards(folder, *KINDS[name]), "", self.keep_old)
        return stage if stage.state() else None

    def keep_old(self, folder: Path) -> Path:
        """Move a stage's folder to `superseded/`."""
        old = self.path / "superseded"
        old.mkdir(exist_ok=True)
        number = 1
        while (target := old / f"{folder.name}-{number}").exists():
            number += 1
        os.rename(folder, target)
        return target

    def connect(self) -> duckdb.DuckDBPyConnection:
        """DuckDB with bounded memory that spills into the run folder."""
        connection = duckdb.connect()
        connection.execute(f"SET memory_limit='{SORT_MEMORY}'")
        connection.execute(f"SET temp_directory='{str(self.path / '.sort').replace(chr(39), chr(39) * 2)}'")
        connection.execute("SET enable_progress_bar=false")
        return connection

    def record(self, facts: dict[str, Any]) -> None:
        """Add facts to run.json."""
        write_json(self.path / "run.json", self.facts() | facts)

    def facts(self) -> dict[str, Any]:
        """What run.json says; empty for a folder without one."""
        return read_json(self.path / "run.json")


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file of the run. Raises `RunFolderError` when the disk does not take it."""
    files.write_json(path, value, error=RunFolderError)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of the run; empty when there is none. Raises `RunFolderError` when it is damaged."""
    return files.read_json(path, error=RunFolderError, fix="remove it to go on") if os.path.exists(path) else {}
