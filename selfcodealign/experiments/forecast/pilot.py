"""A pilot: a small run that is kept, and what each of its seeds asked, took and gave."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from selfcodealign.report.funnel import StageAccount, account_for
from selfcodealign.run_folder.folder import ASKED, ASKING_SECONDS, RunFolder, StageFolder

#: The filters of selection that compare rows: a larger run has more to compare with.
COMPARED = ("same_instruction", "same_response", "same_names", "near_instruction", "near_response", "near_code")
#: Text columns of which the length is the length of a model's answer, by stage.
_WRITTEN = ("completion", "instruction", "concepts")


@dataclass(frozen=True)
class Yield:
    """Rows of a stage for each seed that entered it."""

    stage: str
    entered: Sequence[int]
    kept: Sequence[int]

    @property
    def independent(self) -> bool:
        """Whether each seed had one row, which was kept or dropped."""
        return all(one <= 1 for one in (*self.entered, *self.kept))


@dataclass(frozen=True)
class Pilot:
    """Of each seed: examples, tokens, seconds of programs, bytes on disk. `copies` of the `compared` rows were dropped
    because of another seed's row; `available` seeds could be asked about. `superseded`: tokens and hours also have
    those of rows of earlier settings."""

    seeds: Sequence[str]
    available: int
    examples: Sequence[float]
    prompt: Sequence[float]
    answers: Sequence[float]
    programs: Sequence[float]
    disk: Sequence[float]
    cached_share: float | None
    asking_seconds: float
    compared: int
    copies: int
    yields: Sequence[Yield]
    funnel: Sequence[StageAccount] = field(default_factory=list)
    superseded: bool = False


def read_pilot(folder: RunFolder) -> Pilot:
    """Read the run of a pilot."""
    facts, stages = folder.facts(), folder.stages()
    asked: dict[str, dict[str, int]] = facts.get(ASKED, {})
    accounts = account_for(folder)
    first = next(number for number, stage in enumerate(stages) if stage.name in asked)
    before, after = stages[first - 1], stages[first:]
    seeds = before.shards.column("seed_id")
    place = {seed: number for number, seed in enumerate(seeds)}
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(seeds))
    yields: list[Yield] = []
    compared = copies = 0
    for stage in after:
        rows = _rows(stage, place)
        _spread(rows, asked.get(stage.name, {}), sums)
        size = sum(path.stat().st_size for path in stage.path.glob("*.parquet"))
        _share_out(sums["disk"], size, [(seed, 1.0) for seed, _, _ in rows])
        for seed, _, row in rows:
            sums["programs"][seed] += (row.get("seconds") or 0.0) if stage.description.row_id == "response_id" else 0.0
        yields.append(_yield(stage, rows, len(seeds)))
        if stage is after[-1]:
            for seed, kept, row in rows:
                sums["examples"][seed] += kept
                compared += kept or row.get("reason") in COMPARED
                copies += not kept and row.get("reason") in COMPARED
    limited = sum(one.books.dropped.get("over_limit", 0) for one in accounts)
    told, cached = (sum(one.get(name, 0) for one in asked.values()) for name in ("told_tokens", "cached_tokens"))
    return Pilot(
        seeds=seeds,
        available=len(seeds) + limited,
        cached_share=cached / told if told else None,
        asking_seconds=sum(facts.get(ASKING_SECONDS, {}).values()),
        compared=compared,
        copies=copies,
        yields=yields,
        funnel=accounts,
        superseded=any(list((folder.path / "superseded").glob(f"{stage}-*")) for stage in asked),
        **{name: sums[name] for name in ("examples", "prompt", "answers", "programs", "disk")},
    )


_Rows = list[tuple[int, bool, dict[str, Any]]]


def _rows(stage: StageFolder[Any], place: dict[str, int]) -> _Rows:
    wanted = ["seed_id", "parent", "reason", "seconds", stage.description.parent, *_WRITTEN]
    found = []
    for kept, row in stage.shards.outcomes(wanted):
        seed = row.get("seed_id") or row.get("parent")
        if seed in place:
            found.append((place[seed], kept, row))
    return found


def _spread(rows: _Rows, asked: dict[str, int], sums: dict[str, list[float]]) -> None:
    """Share the stage's tokens out: prompts by the number of answers, answers by their length."""
    lengths = []
    for seed, _, row in rows:
        text = next((row[name] for name in _WRITTEN if row.get(name)), "")
        lengths.append((seed, 1.0 + len(text if isinstance(text, str) else ", ".join(text))))
    _share_out(sums["prompt"], asked.get("prompt_tokens", 0), [(seed, 1.0) for seed, _, _ in rows])
    _share_out(sums["answers"], asked.get("completion_tokens", 0), lengths)


def _share_out(sums: list[float], total: float, weights: Sequence[tuple[int, float]]) -> None:
    whole = sum(weight for _, weight in weights)
    for seed, weight in weights:
        sums[seed] += total * weight / whole


def _yield(stage: StageFolder[Any], rows: _Rows, seeds: int) -> Yield:
    entered: list[set[str]] = [set() for _ in range(seeds)]
    kept = [0] * seeds
    for seed, stays, row in rows:
        entered[seed].add(row.get("parent") or row.get(stage.description.parent) or "")
        kept[seed] += stays
    return Yield(stage.name, [len(one) for one in entered], kept)
