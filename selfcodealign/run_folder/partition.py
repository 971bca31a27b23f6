"""A partition: the rows whose id has one remainder. Several processes divide the rows of a flow among them by it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from selfcodealign.errors import RecipeError
from selfcodealign.rows import Identified

AnyRow = TypeVar("AnyRow", bound=Identified)


@dataclass(frozen=True)
class Partition:
    """The rows with `id % of == number`, the id as a number; ids are hashes, so partitions are about equally large.

    >>> Partition.parse("3/16")
    Partition(number=3, of=16)
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Partition:
        """Read "i/n", i from 0 to n - 1. Raises `RecipeError`."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if found is None or not int(found[1]) < int(found[2]):
            last = f": the last of {int(found[2])} is {int(found[2]) - 1}" if found and int(found[2]) else ""
            raise RecipeError(f"--shard {text}: give i/n with i from 0 to n-1, as in 0/16{last}; or merge")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def own(self, rows: Iterable[AnyRow]) -> Iterator[AnyRow]:
        """The rows of this partition among `rows`."""
        return (row for row in rows if int(row.id, 16) % self.of == self.number)

    def mask(self, ids: np.ndarray) -> np.ndarray:
        """Which of these ids (uint64) belong to this partition."""
        return ids % np.uint64(self.of) == self.number
