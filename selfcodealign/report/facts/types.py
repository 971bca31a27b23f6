"""The facts of a run as values: what `read_facts` gives, and what pages, terminal and card draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfcodealign.report.asked import AskedAccount
from selfcodealign.report.funnel import StageAccount
from selfcodealign.run_folder.marks import Mark


@dataclass(frozen=True)
class Rate:
    """How many of the `judged` answers with something in common passed; `low` to `high` is Wilson's 95 % interval."""

    name: str
    passed: int
    judged: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.passed / self.judged if self.judged else 0.0


@dataclass(frozen=True)
class RateTable:
    """Pass rates by the values of one field (`by`: stage, category, difficulty, concept, kind), the most frequent
    first; `others` values are left out."""

    by: str
    rates: Sequence[Rate]
    others: int = 0


@dataclass(frozen=True)
class Histogram:
    """How often a measure falls between neighbouring `edges` (one more than `counts`); the last bin is closed.

    `name` and `unit` say what was measured ("response", "characters"); `count` values have this mean, median and 95th
    percentile.
    """

    name: str
    unit: str
    edges: Sequence[float]
    counts: Sequence[int]
    count: int
    mean: float
    median: float
    p95: float


@dataclass(frozen=True)
class ConceptGroup:
    """Spellings of one concept (case, punctuation, plural and word order aside) with how often each was named."""

    spellings: Sequence[tuple[str, int]]

    @property
    def count(self) -> int:
        return sum(number for _, number in self.spellings)


@dataclass(frozen=True)
class Concepts:
    """The concepts that the model named in `lists` lists: `distinct` spellings, `groups` of them by meaning.

    `top` are the most frequent, `near_duplicates` groups of several spellings, the largest first, of `several` such
    groups; `coverage` are pairs of lists read so far and distinct spellings among them, `once` how many spellings were
    named a single time.
    """

    lists: int
    distinct: int
    groups: int
    once: int
    top: Sequence[tuple[str, int]]
    near_duplicates: Sequence[ConceptGroup]
    several: int
    coverage: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class ContaminationHit:
    """A row that held a task of a benchmark: which rule found it, and both texts."""

    stage: str
    row_id: str
    rule: str
    benchmark: str
    task: str
    theirs: str
    ours: str


@dataclass(frozen=True)
class Contamination:
    """What the rows were compared with: `benchmarks` by name, drops by benchmark, some `hits` of `count`; `missing`
    benchmarks could not be read."""

    benchmarks: Sequence[str]
    by_benchmark: Mapping[str, int]
    hits: Sequence[ContaminationHit]
    count: int
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """One training of the run (`stage`: train, dpo, grpo): rows of figures, its steps, and its proof of what is learned
    from: named rows as pieces of text, with whether each carries loss."""

    stage: str
    figures: Mapping[str, str]
    steps: Sequence[Mapping[str, float]]
    last_step: int
    proof: Sequence[tuple[str, Sequence[tuple[str, bool]]]]


@dataclass(frozen=True)
class EvaluationTable:
    """Scores: the heads of the columns, rows of cells (score with its interval), notes below."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Spending:
    """Time and money: seconds in which the model was asked (all runs of the folder), the price where the recipe has
    prices, and both for each verified example."""

    asking_seconds: float
    seconds_per_example: float | None = None
    cost: float | None = None
    cost_per_example: float | None = None
    currency: str = ""


@dataclass(frozen=True)
class Shown:
    """One row that the report shows whole: the fields of the row, and what became of it."""

    stage: str
    kept: bool
    reason: str
    detail: str
    row: Mapping[str, Any]


@dataclass(frozen=True)
class MarkCounts:
    """What people marked: labels by what was marked (seed, concepts, instruction, response; "unknown": no row of the
    run) and the last marks. Of the labels: how many selection has honoured, how many it knew and found no row for that
    they could take out or keep, and how many wait for the next run."""

    labels: Mapping[str, Mapping[str, int]]
    notes: int
    honoured: int
    without_effect: int
    waiting: int
    last: Sequence[Mark]


@dataclass(frozen=True)
class Repeat:
    """What repeats the run: the recipe, versions and machine, the model's identity, what decided each stage's rows, a
    digest of the rows of each stage (ids, and why they were kept or dropped; in any order), digests of the data set's
    files (SHA-256)."""

    recipe: str
    journey: Sequence[str]
    versions: Mapping[str, str]
    models: Mapping[str, Mapping[str, str]]
    decided_by: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, str]
    files: Mapping[str, str]


@dataclass(frozen=True)
class RunFacts:
    """All facts of one run; `warnings` are what could not be read, in a sentence each.

    `split_proofs` of the last answers also passed apart from their tests (None: there are no answers).
    """

    name: str
    path: Path
    finished: bool
    started: str
    stages: Sequence[StageAccount]
    asked: AskedAccount
    spending: Spending
    rates: Sequence[RateTable]
    passes: Mapping[int, int]
    scores: Histogram | None
    lengths: Sequence[Histogram]
    concepts: Concepts | None
    contamination: Contamination | None
    licences: Mapping[str, int]
    origins: Mapping[str, int]
    authors: Sequence[tuple[str, str, str]]
    training: Sequence[Training]
    evaluation: EvaluationTable | None
    marks: MarkCounts
    shown: Sequence[Shown]
    repeat: Repeat
    warnings: Sequence[str] = ()
    split_proofs: int | None = None
