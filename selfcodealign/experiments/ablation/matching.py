"""Data sets of arms made comparable: which rows of each are tuned on, by the ids of their instructions.

    rows            as many rows of each arm as the smallest has
    instructions    the instructions that all arms have
    tokens          as many instructions as the arm that wrote least wrote tokens for, rows or not
    none            all rows

Instructions are drawn by a hash of their id and of the tuning's seed: arms that have the same instructions draw the
same ones, in any order and on any machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from selfcodealign.dataset.authors import AUTHORS_FILE
from selfcodealign.dataset.export import export_rows
from selfcodealign.errors import ExperimentError
from selfcodealign.files import make_folder, replace_file, write_json_lines
from selfcodealign.rows import digest

Match = Literal["rows", "instructions", "tokens", "none"]


@dataclass(frozen=True)
class Rows:
    """The data set of an arm: of each row, in order, the id of its instruction and whether its answer passed its tests.

    `cost` has the generated tokens of every instruction that was asked about, with or without a row.
    """

    files: Sequence[Path]
    instructions: Sequence[str]
    passed: Sequence[bool]
    cost: Mapping[str, float]

    @property
    def tokens(self) -> float:
        return sum(self.cost.values())


@dataclass(frozen=True)
class Chosen:
    """The rows of an arm that are tuned on, by their places, and the tokens that they have cost."""

    rows: Sequence[int]
    tokens: float


def read_rows(run: Path, cost: Mapping[str, float]) -> Rows:
    """Read the finished data set of a run."""
    files = sorted((run / "dataset" / "data").glob("train-*.parquet"))
    tables = [pq.read_table(file, columns=["instruction_id", "status"]) for file in files]
    table = pa.concat_tables(tables)
    passed = [status == "passed" for status in table["status"].to_pylist()]
    return Rows(files, table["instruction_id"].to_pylist(), passed, cost)


def match(arms: Mapping[str, Rows], how: Match, seed: int, limit: int | None = None) -> dict[str, Chosen]:
    """The rows of each arm, by its name; `limit` is the most of each. Raises `ExperimentError` if an arm has none."""
    _refuse_empty({name: len(arm.instructions) for name, arm in arms.items()})
    if how == "tokens":
        budget = min(arm.tokens for arm in arms.values())
        allowed = {name: _afford(arm, budget, seed) for name, arm in arms.items()}
    elif how == "instructions":
        shared = set.intersection(*({*arm.instructions} for arm in arms.values()))
        allowed = dict.fromkeys(arms, shared)
    else:
        allowed = {name: {*arm.instructions} for name, arm in arms.items()}
    places = {name: _order(arm, allowed[name], seed) for name, arm in arms.items()}
    _refuse_empty({name: len(rows) for name, rows in places.items()}, " that the others have, too")
    most = [len(rows) for rows in places.values()] if how == "rows" else []
    fewest = min([*most, *([limit] if limit else [])], default=None)
    found = {}
    for name, rows in places.items():
        paid = (arms[name].cost[one] for one in allowed[name]) if how == "tokens" else arms[name].cost.values()
        found[name] = Chosen(sorted(rows[:fewest]), sum(paid))
    return found


def _refuse_empty(counts: Mapping[str, int], which: str = "") -> None:
    for name, count in counts.items():
        if not count:
            raise ExperimentError(f"{name} has no rows{which} to tune on: raise seeds.limit, or leave this arm out")


def _order(arm: Rows, allowed: set[str], seed: int) -> list[int]:
    """The places of the allowed rows, in the order in which they are drawn."""
    ranks = {one: digest(seed, one) for one in allowed}
    places = [place for place, one in enumerate(arm.instructions) if one in allowed]
    return sorted(places, key=lambda place: (ranks[arm.instructions[place]], place))


def _afford(arm: Rows, budget: float, seed: int) -> set[str]:
    """The instructions that a budget of tokens pays for, drawn among all that were asked about."""
    found, spent = set(), 0.0
    for one in sorted(arm.cost, key=lambda one: digest(seed, one)):
        spent += arm.cost[one]
        if spent > budget * (1 + 1e-9):
            break
        found.add(one)
    return found


#: The pairs of a passing and a failing answer, in a folder of rows.
PAIRS = "pairs.jsonl"


def write_pairs(run: Path, rows: Rows, chosen: Chosen, folder: Path) -> None:
    """Write the pairs of a run whose instructions are chosen into the folder of the chosen rows, unless they are there.

    Raises `ExperimentError` if there are none.
    """
    if (folder / PAIRS).exists():
        return
    taken = {rows.instructions[place] for place in chosen.rows}
    pairs = [pair for pair in export_rows(run, "dpo") if pair["instruction_id"] in taken]
    if not pairs:
        raise ExperimentError(
            f"{run} has no failing answer beside a passing one: set responses.stop_after_passes = 0, or leave dpo out"
        )
    write_json_lines(folder / PAIRS, pairs, error=ExperimentError)


def write_rows(rows: Rows, chosen: Chosen, home: Path) -> Path:
    """Write the chosen rows as a data-set folder in `home`, unless it is there; its name is that of its rows."""
    table = pa.concat_tables([pq.read_table(file) for file in rows.files]).take(chosen.rows)
    folder = home / digest(*table["response_id"].to_pylist(), *table["instruction_id"].to_pylist())
    file = folder / "data" / "train.parquet"
    if not file.exists():
        make_folder(file.parent, error=ExperimentError)
        authors = rows.files[0].parent.parent / AUTHORS_FILE
        if authors.is_file():
            shutil.copy(authors, folder / AUTHORS_FILE)
        with replace_file(file, error=ExperimentError) as unfinished:
            pq.write_table(table, unfinished, compression="zstd")
    return folder
