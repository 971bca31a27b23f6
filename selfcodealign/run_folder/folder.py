"""The folder that a run writes, and how it is read.

    RUN/
      recipe.toml        the settings in force
      run.json           the journey, versions, model, machine
      seeds/             one folder per stage: pairs of Parquet files (see `shards`) and stage.json
      ...
      journal/           answers of rows under way (see `journal`)
      shards/            what several writers keep while they divide a flow (see `writers`)
      rejudged/          verdicts of `selfcodealign rejudge`, one folder per version and limits
      superseded/        stages of earlier settings, moved here and never deleted

A stage.json describes its rows to readers that know no stage: the row type, the fields that hold a row's id and its
parent's id, the stage of the parents, what decided the rows, and the books once the stage is complete.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Self

import duckdb
import numpy as np

from selfcodealign import files
from selfcodealign.addresses import REMOVED, hide_in
from selfcodealign.errors import RunFolderError
from selfcodealign.rows import IMPORTED, Books, Imported, R, Row, unit_of
from selfcodealign.run_folder.lock import take_lock
from selfcodealign.run_folder.shards import Shards

#: DuckDB sorts on disk beyond this size.
SORT_MEMORY = "512MB"
#: Format version of run.json and stage.json; other versions are refused.
FORM = 3
#: The name in run.json of the last stages whose output is older than the rows that it would now be made of.
EARLIER = "earlier"
#: The name in stage.json of what judged these rows again, after the run that made them.
REJUDGED = "rejudged"
#: The name in `decided_by` of the versions of the benchmarks that a stage has compared its rows with.
BENCHMARK_VERSIONS = "versions of the benchmarks"
#: The name in run.json of what stages have counted about their answers, by stage.
COUNTED = "counted"
#: The name in stage.json of what stopped a stage before all of its rows were through.
STOPPED = "stopped"
#: The name in run.json of the seconds in which stages asked the model, by the first stage of each flow, over all runs.
ASKING_SECONDS = "asking_seconds"
#: The name in run.json of the seconds that parts of the journey took on this machine (see `engine.clock`).
WORKED = "worked"
#: The name in run.json of what the model was asked in this folder, by stage, over all runs: nothing is taken off.
ASKED = "asked"
#: The name in run.json of how far the journal was written when `ASKED` was recorded.
COUNTED_ANSWERS = "counted_answers"
#: A path made of an address: `s3://bucket/run` has lost a slash.
_STORE = re.compile(r"[a-z][a-z0-9+.-]+:/")


@dataclass(frozen=True)
class Description:
    """The description of a stage's rows in stage.json.

    `kind` names the row type, `row_id` and `parent` the fields that hold a row's id and its parent's id, `after` the
    stage of the parents (None: they come from outside the run); `fields` are the fields of the rows, in order, and
    `columns` those that a list of the rows shows, which earlier versions did not store.
    """

    kind: str
    row_id: str
    parent: str
    after: str | None
    fields: Sequence[str]
    columns: Sequence[str] = ()


class StageFolder(Generic[R]):
    """The folder of one stage, with rows of the type `row`; without a type, rows cannot be written or read."""

    def __init__(self, path: Path, description: Description, row: type[R] | None = None) -> None:
        self.path = path
        self.name = path.name
        self.description = description
        self.shards: Shards[R] = Shards(path, row, description.parent)

    @property
    def finished(self) -> bool:
        """Whether a run has processed all of this stage's input."""
        return self.state().get("books") is not None

    @property
    def earlier(self) -> bool:
        """Whether these finished rows were made before something above them changed, and not yet brought up to date."""
        return self.state().get("earlier", False)

    def note_earlier(self, earlier: bool) -> None:
        """Record `earlier` of a finished stage; the next `begin` or `finish` forgets it."""
        state = self.state()
        if state.get("books") is not None and state.get("earlier", False) is not earlier:
            write_json(self.path / "stage.json", state | {"earlier": earlier})

    def note_rejudged(self, mark: Mapping[str, Any]) -> None:
        """Record what judged these rows again; it stays while the stage's rows do."""
        write_json(self.path / "stage.json", self.state() | {REJUDGED: dict(mark)})

    @property
    def intact(self) -> bool:
        """Whether a finished stage still has all rows in its books."""
        books = self.state().get("books")
        if books is None:
            return False
        return self.shards.sizes() == (books["kept"], sum(books["dropped"].values()))

    @property
    def decided_by(self) -> dict[str, Any]:
        """The settings and facts that decided these rows."""
        return self.state().get("decided_by", {})

    @property
    def seed_kind(self) -> str:
        """The kind of what this stage read from outside (that of other stages does not matter: they are given rows)."""
        if self.description.kind == Imported.__name__ and self.description.after is None:
            return IMPORTED
        return self.decided_by.get("seeds.kind", "functions")

    def books(self) -> Books:
        """Return the books so far; `entered` counts the rows that have entered until now."""
        state = self.state().get("books")
        if state is not None:
            return Books(**state)
        kept, dropped = self.shards.counts()
        return Books(len(self.shards.parents()), kept, dropped)

    def summary(self, books: Books | None = None) -> str:
        """The books (those so far, unless given) in one line, with units where they differ."""
        names = self.description.parent, self.description.row_id
        came, stayed = (unit_of(name, kind=self.seed_kind) for name in names)
        return (books or self.books()).summary(*((came, stayed) if came != stayed else ()))

    def begin(self, decided_by: Mapping[str, Any]) -> None:
        """Prepare the folder for work: remove the remains of a killed writer, describe the rows."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.shards.sweep()
        self._describe(decided_by, None)

    def finish(self, decided_by: Mapping[str, Any], books: Books) -> None:
        """Record that the stage is complete."""
        account = {"entered": books.entered, "kept": books.kept, "dropped": books.dropped}
        self._describe(decided_by, account)

    def retire_strangers(self, parents: np.ndarray) -> int:
        """Remove rows whose parent is not in `parents` (changed inputs); return the number of removed parents."""
        strangers = np.setdiff1d(self.shards.parents(), parents)
        if not len(strangers):
            return 0
        gone = {f"{int(one):016x}" for one in strangers}
        fresh = self.path.with_name(f".{self.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        copy: Shards[R] = Shards(fresh, self.shards.row, self.description.parent)
        for kept, dropped in self.shards.pairs():
            kept = [row for row in kept if getattr(row, self.description.parent) not in gone]
            dropped = [drop for drop in dropped if drop.parent not in gone]
            copy.write(kept, dropped)
        shutil.copy(self.path / "stage.json", fresh / "stage.json")
        supersede(self.path)
        os.rename(fresh, self.path)
        return len(gone)

    def note_gone(self, parents: np.ndarray) -> None:
        """Rows were made of parents that are no longer there; a stage with one writer retires them itself."""

    def stop(self, decided_by: Mapping[str, Any], why: str) -> None:
        """Record that no further rows were let in, and why: the stage is not finished."""
        self._describe(decided_by, None)
        write_json(self.path / "stage.json", self.state() | {STOPPED: why})

    @property
    def stopped(self) -> str:
        """Why the last run let no further rows into this stage; "" where none were kept out."""
        return self.state().get(STOPPED, "")

    def state(self) -> dict[str, Any]:
        """Read stage.json; empty for a stage that has not begun."""
        return read_json(self.path / "stage.json")

    def _describe(self, decided_by: Mapping[str, Any], books: Mapping[str, Any] | None) -> None:
        described: dict[str, Any] = {"rows": asdict(self.description), "decided_by": dict(decided_by), "books": books}
        if rejudged := self.state().get(REJUDGED):
            described[REJUDGED] = rejudged
        write_json(self.path / "stage.json", described)


class RunFolder:
    """A run's folder, locked while it is open for writing. Raises `RunFolderError` for the address of a store."""

    def __init__(self, path: Path) -> None:
        if _STORE.match(str(path)):
            raise RunFolderError(
                f"{path} is an address, and a run needs a folder: its files are put in place by renaming them, which "
                "object stores cannot do. Give a path, and bring the finished data set there"
            )
        self.path = path
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            self._lock = take_lock(self.path)
        except OSError as error:
            raise RunFolderError(
                f"cannot use {self.path} as a run folder: {error.strerror}; choose another --out"
            ) from None
        if self._lock is None:
            raise RunFolderError(f"{self.path} is in use by another run; wait for it or choose another --out")
        self.complete_renames()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def stage(self, name: str, description: Description, row: type[Row]) -> StageFolder[Any]:
        """Return a stage for writing."""
        return StageFolder(self.path / name, description, row)

    @property
    def journal_folder(self) -> Path:
        """Where answers are kept until their rows are on disk."""
        return self.path / "journal"

    @property
    def other_journals(self) -> Sequence[Path]:
        """Journals whose answers are found as well, and which stay what they are."""
        return ()

    def complete_renames(self) -> None:
        """Put stages in place that a killed process had written whole beside their earlier rows."""
        for fresh in self.path.glob(".*.new"):
            path = fresh.with_name(fresh.name.removeprefix(".").removesuffix(".new"))
            if not path.exists() and (fresh / "stage.json").exists():
                os.rename(fresh, path)

    def open(self, name: str, row: type[Row]) -> StageFolder[Any]:
        """Return a stage that has begun, for reading its rows as `row`s."""
        found = self.look_at(name)
        assert found is not None, f"the stage {name} has not begun"
        return StageFolder(found.path, found.description, row)

    def look_at(self, name: str) -> StageFolder[Any] | None:
        """Return a stage as stage.json describes it, for reading; None if it has not begun. Needs no lock."""
        described = read_json(self.path / name / "stage.json").get("rows")
        return StageFolder(self.path / name, Description(**described)) if described else None

    def stages(self) -> list[StageFolder[Any]]:
        """Return the stages that have begun, in the order of the journey. Needs no lock."""
        found = (self.look_at(name) for name in self.journey())
        return [stage for stage in found if stage is not None]

    def making(self, row: type[Row]) -> StageFolder[Any] | None:
        """Return the stage that made rows of the type `row` from another type; later filters only pass them on."""
        found = [one for one in self.stages() if one.description.row_id == row.id_field != one.description.parent]
        return self.open(found[-1].name, row) if found else None

    def earlier(self) -> list[str]:
        """The last stages whose output was made of earlier rows, if it is there."""
        return self.facts().get(EARLIER, [])

    def journey(self) -> list[str]:
        """Return the names of the run's stages, in order; empty for a folder without a run.

        Raises `RunFolderError` for a folder in the format of an earlier version.
        """
        facts = self.facts()
        if facts and facts.get("form") != FORM:
            raise RunFolderError(
                f"{self.path} holds a run in the format of an earlier version, which this version of selfcodealign "
                "does not read: choose another --out"
            )
        return facts.get("journey", [])

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open DuckDB with bounded memory; it spills into the run folder."""
        connection = duckdb.connect()
        connection.execute(f"SET memory_limit='{SORT_MEMORY}'")
        connection.execute(f"SET temp_directory='{str(self.path / '.sort').replace(chr(39), chr(39) * 2)}'")
        connection.execute("SET enable_progress_bar=false")
        return connection

    def record(self, facts: Mapping[str, Any]) -> None:
        """Add facts to run.json."""
        write_json(self.path / "run.json", self.facts() | dict(facts))

    def facts(self) -> dict[str, Any]:
        """Read run.json; empty for a folder without one."""
        return read_json(self.path / "run.json")

    def problems(self) -> Sequence[str]:
        """List the reasons why this folder cannot be written, without creating it."""
        place = self.path
        while not os.path.lexists(place) and place != place.parent:
            place = place.parent
        if not place.is_dir():
            return [f"cannot use {self.path} as a run folder: {place} is no folder; choose another --out"]
        if not os.access(place, os.W_OK | os.X_OK):
            return [f"cannot use {self.path} as a run folder: {place} is not writable; choose another --out"]
        # A run that was killed at its beginning may have left its lock, its recipe, and a file not yet in place.
        if self.path.is_dir() and not (self.path / "run.json").exists():
            names = {path.name for path in self.path.iterdir()}
            others = names - {".lock", "shards", "recipe.toml", ".recipe.toml.tmp", ".run.json.tmp"}
            if others:
                return [f"{self.path} holds files that are no run: choose an empty or new folder for --out"]
        lock = self.path / ".lock"
        if self._lock is None and lock.exists():
            with open(lock) as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    return [f"{self.path} is in use by another run; wait for it or choose another --out"]
        free = shutil.disk_usage(place).free
        if free < LEAST_FREE:
            return [f"only {free / 2**20:.0f} MiB are free at {place}: make room or choose another --out"]
        return []


#: Free bytes required before a run: rows of a few thousand instructions, and space to sort them.
LEAST_FREE = 256 * 2**20


def supersede(path: Path) -> Path:
    """Move a folder of a run into the run's `superseded/`; return its new path."""
    target = superseded_name(path)
    target.parent.mkdir(exist_ok=True)
    os.rename(path, target)
    return target


def superseded_name(path: Path) -> Path:
    """Return the path to which `supersede` moves a folder."""
    number = 1
    while (target := path.parent / "superseded" / f"{path.name}-{number}").exists():
        number += 1
    return target


def open_existing(path: Path) -> RunFolder:
    """Open a run's folder for reading; the run may be in progress. Raises `RunFolderError` if there is no run."""
    if not path.exists():
        raise RunFolderError(f"there is no folder {path}")
    if not (path / "run.json").is_file():
        raise RunFolderError(f"{path} is no run folder: it has no run.json")
    return RunFolder(path)


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file of the run; addresses lose their secrets. Raises `RunFolderError` if it cannot be written."""
    files.write_json(path, hide_in(value, REMOVED), error=RunFolderError)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of the run; empty if there is none. Raises `RunFolderError` if it is damaged."""
    return files.read_json(path, error=RunFolderError, fix="remove it to go on") if os.path.exists(path) else {}
