"""What the rows and the files of a data set say when they are counted."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from selfcodealign.rows import Example
from selfcodealign.sandbox import Status


@dataclass(frozen=True)
class Files:
    """The files that hold the rows: their bytes, and those of the rows when they are loaded."""

    bytes: int
    loaded_bytes: int


@dataclass
class Examples:
    """What the rows themselves say: how many there are, per status, apart from their tests too, with a mutation score,
    compared with siblings, with the code of a seed, reasoning about calls; per kind, licence and origin; with a pass
    rate, and the sum of these."""

    count: int = 0
    seeds: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    split: int = 0
    scored: int = 0
    crossed: int = 0
    reasoned: int = 0
    licences: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    rated: int = 0
    pass_rates: float = 0.0

    def add(self, row: Example) -> None:
        """Count one more."""
        self.count += 1
        self.seeds += bool(row.seed)
        self.statuses[row.status] += 1
        self.kinds[row.kind] += 1
        self.split += row.proof == "split"
        self.crossed += bool(row.siblings)
        self.reasoned += bool(getattr(row, "direction", ""))
        self.scored += not math.isnan(row.mutation_score)
        self.licences[row.licence] += 1
        self.origins[row.origin] += 1
        if not math.isnan(row.pass_rate):
            self.rated += 1
            self.pass_rates += row.pass_rate

    @property
    def verified(self) -> int:
        """Rows whose response passed its tests."""
        return self.statuses[Status.PASSED]
