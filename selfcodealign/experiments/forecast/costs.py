"""What a pilot's stages cost: seconds, tokens and bytes of as many rows as the pilot had, measured on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selfcodealign.curation.ngrams import make_sets
from selfcodealign.errors import RunFolderError
from selfcodealign.fences import extract_python
from selfcodealign.report.funnel import StageAccount, account_for
from selfcodealign.rows import Response
from selfcodealign.run_folder.folder import ASKED, ASKING_SECONDS, WORKED, RunFolder, StageFolder
from selfcodealign.settings import Recipe

#: What the number of a stage's rows follows: functions that are looked at, instructions, answers.
Follows = Literal["functions", "instructions", "answers"]
#: Reads sources, which are read whole by each node; takes row by row; compares the whole table on one machine.
Kind = Literal["reads", "rows", "table"]

#: Bytes of memory per row that a comparing stage keeps, besides near-deduplication: dictionaries of hashes and ids.
#: Measured by tracemalloc on a million rows: three hashes, their reasons and an id for selection, a hash for distinct.
KEPT_BYTES = {"selection": 700, "distinct": 230}
#: Near-deduplication, as `curation.near_duplicates` documents it: memory per text; on disk, per text and per n-gram.
NEAR_MEMORY, NEAR_DISK, NEAR_GRAM = 50, 900, 8
_TOKENS = ("prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class Cost:
    """A part of the journey at the size of the pilot: neighbouring row-wise stages, or one that compares rows.

    CPU seconds of the one process that leads it (`own`) and of those below it (`below`: pools and sandbox), the tokens
    asked meanwhile, bytes that stay on disk. Of a table: rows that come in, bytes of memory per row, and bytes on disk
    meanwhile per row.
    """

    stages: Sequence[str]
    kind: Kind
    follows: Follows
    own: float
    below: float
    rows: int
    tokens: int = 0
    disk: float = 0.0
    memory_per_row: float = 0.0
    scratch_per_row: float = 0.0

    @property
    def name(self) -> str:
        return ", ".join(self.stages)


@dataclass(frozen=True)
class Costs:
    """All parts of a pilot, and how many functions, seeds (with those over its limit), instructions and answers it had.

    `tokens_per_second` are those of all servers of the pilot; `in_process`: the model worked in the run's process.
    """

    parts: Sequence[Cost]
    functions: int
    seeds: int
    all_seeds: int
    instructions: int
    answers: int
    tokens_per_second: float
    in_process: bool


def read_costs(path: Path, recipe: Recipe) -> Costs:
    """Read them from a pilot's folder. Raises `RunFolderError` for one that does not hold them."""
    folder = RunFolder(path)
    facts, stages = folder.facts(), {stage.name: stage for stage in folder.stages()}
    worked: Mapping[str, Mapping[str, Any]] = facts.get(WORKED, {})
    known = {name for one in worked.values() for name in one["stages"]}
    if missing := [name for name in stages if name not in known]:
        raise RunFolderError(
            f"{path} does not say what its stages took ({', '.join(missing)}): an earlier version or other machines "
            "made them; name another --out for a new pilot"
        )
    accounts, names = {one.name: one for one in account_for(folder)}, list(stages)
    asked: Mapping[str, Mapping[str, int]] = facts.get(ASKED, {})
    in_process = "device" in facts.get("model", {})
    asks = next(number for number, name in enumerate(names) if name in asked)
    made = (one.description.row_id == Response.id_field != one.description.parent for one in stages.values())
    answers = list(made).index(True)
    parts = []
    for one in sorted(worked.values(), key=lambda one: names.index(one["stages"][0])):
        last = names.index(one["stages"][-1])
        follows: Follows = "functions" if last < asks else "instructions" if last < answers else "answers"
        tokens = sum(asked.get(name, {}).get(what, 0) for name in one["stages"] for what in _TOKENS)
        own = one["loop"] if in_process and tokens else one["own"]
        entered = accounts[one["stages"][0]].books.entered
        parts.append(_read_cost([stages[name] for name in one["stages"]], one, follows, own, entered, tokens, recipe))
    before, answering = accounts[names[asks - 1]], accounts[names[answers]]
    seconds = sum(facts.get(ASKING_SECONDS, {}).values())
    return Costs(
        parts=parts,
        functions=_looked_at(accounts[names[0]]),
        seeds=before.books.kept,
        all_seeds=before.books.kept + sum(one.books.dropped.get("over_limit", 0) for one in accounts.values()),
        instructions=answering.books.entered,
        answers=_looked_at(answering),
        tokens_per_second=sum(one.tokens for one in parts) / seconds if seconds else 0.0,
        in_process=in_process,
    )


def _read_cost(
    stages: Sequence[StageFolder[Any]],
    took: Mapping[str, Any],
    follows: Follows,
    own: float,
    entered: int,
    tokens: int,
    recipe: Recipe,
) -> Cost:
    # Rows whose seconds a kill has lost cost what the others did.
    whole = entered / took["rows"] if took["rows"] else 1.0
    programs = sum(map(_program_seconds, stages)) if took["kind"] == "rows" else 0.0
    memory, scratch = _comparing(stages[0], recipe) if took["kind"] == "table" else (0.0, 0.0)
    return Cost(
        stages=[one.name for one in stages],
        kind=took["kind"],
        follows=follows,
        own=own * whole,
        # A program that waits needs no CPU, and keeps its place in the sandbox all the same.
        below=max(took["below"] * whole, programs),
        rows=entered,
        tokens=tokens,
        disk=sum(map(_disk, stages)),
        memory_per_row=memory,
        scratch_per_row=scratch,
    )


def _looked_at(account: StageAccount) -> int:
    return account.looked_at or account.books.entered


def _program_seconds(stage: StageFolder[Any]) -> float:
    """Seconds by the clock of the programs of a stage's answers."""
    if stage.description.row_id != Response.id_field:
        return 0.0
    return sum(row.get("seconds") or 0.0 for _, row in stage.shards.outcomes(["seconds"]))


def _disk(stage: StageFolder[Any]) -> int:
    return sum(path.stat().st_size for path in stage.path.glob("*.parquet"))


def _comparing(stage: StageFolder[Any], recipe: Recipe) -> tuple[float, float]:
    """Bytes of memory, and of disk meanwhile, per row of a comparing stage: one near-deduplication at a time."""
    columns: dict[str, str] = {}
    ngram = recipe.near_dedup.ngram
    if stage.name == "near_dedup" and recipe.near_dedup.enabled:
        columns = {"seed": "seed"}
    elif stage.name == "selection":
        ngram = recipe.selection.ngram
        columns = {part: _COLUMNS[part] for part in recipe.selection.near_dedup}
    scratch = 0.0
    for part, column in columns.items():
        texts = stage.shards.column(column)
        scratch = max(scratch, _scratch(list(map(extract_python, texts)) if part == "code" else texts, ngram))
    return KEPT_BYTES.get(stage.name, 0) + (NEAR_MEMORY if columns else 0.0), scratch


_COLUMNS = {"instruction": "instruction", "response": "response", "code": "response"}


def _scratch(texts: list[str], ngram: int) -> float:
    """Bytes of near-deduplication on disk per text."""
    _, sizes = make_sets(texts, ngram)
    return NEAR_DISK + NEAR_GRAM * float(sizes.mean()) if len(sizes) else 0.0
