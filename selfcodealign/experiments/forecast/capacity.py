"""How long a run takes on many nodes, what of one machine it needs, and what breaks first: worked out, not measured.

A part of the journey takes as long as its slowest side: the servers, the cores of all nodes, or the one process that
leads the work on each node. Reading sources is done whole by each node, and comparing rows by one machine alone, so
neither gets shorter by more nodes (Amdahl's law).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfcodealign.experiments.forecast.costs import Cost, Costs
from selfcodealign.run_folder.folder import SORT_MEMORY

#: The published run: functions that came in, instructions, answers (Wei et al., SelfCodeAlign, arXiv 2410.24198).
PUBLISHED = {"functions": 5_360_000, "instructions": 238_000, "answers": 2_400_000}
#: Twice the nodes that leave more than this share of the hours do not help.
HELPS = 0.9
#: The most nodes that are considered, and rows that a comparing stage writes into a pair of files.
MOST_NODES, ROWS_OF_FILES = 2**20, 4096
#: Memory in which DuckDB sorts the rows of a comparing stage.
_SORTING = int(SORT_MEMORY.removesuffix("MB")) * 10**6


@dataclass(frozen=True)
class Machines:
    """Nodes with cores each; servers, and tokens a second of each; seconds after which finished rows are written."""

    nodes: int
    cores: int
    servers: int
    tokens_per_second: float
    flush_seconds: float = 10.0


@dataclass(frozen=True)
class Size:
    """How many times the pilot's functions, instructions and answers a run has."""

    name: str
    functions: float
    instructions: float
    answers: float

    def of(self, part: Cost) -> float:
        """How many times the pilot's rows a part has."""
        return getattr(self, part.follows)


@dataclass(frozen=True)
class PartHours:
    """A part's hours by the clock, what they are those of, and the hours of each side."""

    stages: Sequence[str]
    hours: float
    bound: str
    sides: Mapping[str, float]


@dataclass(frozen=True)
class Capacity:
    """A run of a size on machines; `first` is the part that takes the largest `share` of the hours, and `bound` what of
    it does. More than `useful_nodes` hardly shorten it."""

    name: str
    functions: int
    instructions: int
    answers: int
    parts: Sequence[PartHours]
    hours: float
    memory_bytes: int
    memory_stage: str
    disk_bytes: int
    files: int
    first: str
    bound: str
    share: float
    useful_nodes: int


def published_sizes(costs: Costs) -> list[Size]:
    """The published run, and 10 and 1000 times as much."""
    known = {"functions": costs.functions, "instructions": costs.instructions, "answers": costs.answers}
    base = {name: PUBLISHED[name] / max(1, count) for name, count in known.items()}
    return [
        Size(name, **{what: times * factor for what, times in base.items()})
        for name, factor in (("published", 1), ("published x10", 10), ("published x1000", 1000))
    ]


def planned_size(costs: Costs, seeds: float) -> Size:
    """A run of so many seeds; those over the pilot's limit were read and compared in the pilot, too."""
    times = seeds / costs.seeds
    return Size("planned", seeds / costs.all_seeds, times, times)


def work_out(costs: Costs, size: Size, machines: Machines) -> Capacity:
    """The run of this size on these machines."""
    parts = [_hours(one, size.of(one), machines, machines.nodes) for one in costs.parts]
    total = sum(one.hours for one in parts)
    slowest = max(parts, key=lambda one: one.hours)
    tables = [one for one in costs.parts if one.kind == "table"]
    memory = {one.name: _SORTING + one.memory_per_row * one.rows * size.of(one) for one in tables}
    largest = max(memory, key=memory.__getitem__)
    scratch = max((one.scratch_per_row * one.rows * size.of(one) for one in tables), default=0.0)
    return Capacity(
        name=size.name,
        functions=round(costs.functions * size.functions),
        instructions=round(costs.instructions * size.instructions),
        answers=round(costs.answers * size.answers),
        parts=parts,
        hours=total,
        memory_bytes=round(memory[largest]),
        memory_stage=largest,
        disk_bytes=round(sum(one.disk * size.of(one) for one in costs.parts) + scratch),
        files=sum(
            _files(one, size.of(one), took.hours, machines) for one, took in zip(costs.parts, parts, strict=True)
        ),
        first=", ".join(slowest.stages),
        bound=slowest.bound,
        share=slowest.hours / total if total else 0.0,
        useful_nodes=_useful_nodes(costs, size, machines),
    )


def _hours(part: Cost, times: float, machines: Machines, nodes: int) -> PartHours:
    own, below = part.own * times / 3600, part.below * times / 3600
    if part.kind == "table":
        sides = {"one machine": own + below}
    elif part.kind == "reads":
        sides = {"reading, by each node": own, "cores": below / nodes / machines.cores}
    else:
        sides = {"cores": (own + below) / nodes / machines.cores, "leading process of a node": own / nodes}
    if part.tokens:
        sides["servers"] = part.tokens * times / 3600 / machines.servers / machines.tokens_per_second
    bound = max(sides, key=sides.__getitem__)
    return PartHours(part.stages, sides[bound], bound, sides)


def _files(part: Cost, times: float, hours: float, machines: Machines) -> int:
    """Two for each stage, writer and flush; a stage that compares writes batches."""
    rows = max(1, math.ceil(part.rows * times))
    if part.kind == "table":
        return 2 * math.ceil(rows / ROWS_OF_FILES)
    flushes = max(1, math.ceil(hours * 3600 / machines.flush_seconds))
    return 2 * len(part.stages) * min(machines.nodes * flushes, rows)


def _useful_nodes(costs: Costs, size: Size, machines: Machines) -> int:
    """The fewest nodes, a power of two, of which twice as many leave more than `HELPS` of the hours."""

    def total(nodes: int) -> float:
        return sum(_hours(one, size.of(one), machines, nodes).hours for one in costs.parts)

    nodes = 1
    while nodes < MOST_NODES and total(2 * nodes) <= HELPS * total(nodes):
        nodes *= 2
    return nodes


def capacity_json(machines: Machines, found: Sequence[Capacity], notes: Sequence[str]) -> dict[str, Any]:
    """Everything as JSON values."""
    return {
        "worked_out_not_measured": True,
        "machines": asdict(machines),
        "sizes": {one.name: asdict(one) for one in found},
        "notes": list(notes),
    }
