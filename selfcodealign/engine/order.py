"""The order in which rows enter a flow: those whose prompts begin alike follow each other, a bounded number at a time.

A prefix cache that holds a few beginnings then computes each once per chunk, not once per row. Chunks are small at
first: a run that is stopped early has used as many draws as a run of so many seeds would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

#: Rows of the first chunk and of the later ones: about 16 and 64 rows of each of 64 draws.
FIRST_CHUNK, CHUNK = 1024, 4096

T = TypeVar("T")


def in_groups(rows: Iterable[T], prefix: Callable[[T], Any]) -> Iterator[T]:
    """Yield all rows; within a chunk, those of one prefix one after the other, in the order in which they came."""
    coming, size = iter(rows), FIRST_CHUNK
    while chunk := list(islice(coming, size)):
        yield from sorted(chunk, key=prefix)
        size = CHUNK
