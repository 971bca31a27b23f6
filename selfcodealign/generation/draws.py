"""Which worked examples a prompt shows, and in which order: its draw.

Prompts of one draw begin alike, and a prefix cache computes what they share once. Few draws are cheap, many diverse.
By default their number grows with the seeds: the first `SEEDS_PER_DRAW` seeds, in the order of their ids, have the
first draw, the next ones the second, and when all `MOST_DRAWS` are in use, each further seed has one of them by chance.
New draws cost the same share of a small run as of a large one, and in a larger run the seeds of a trial have the draws
that they had.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from math import perm
from random import Random
from typing import TypeVar

from selfcodealign.errors import FewShotError
from selfcodealign.rows import digest, seed_of

MOST_DRAWS = 64
SEEDS_PER_DRAW = 16
#: How many seeds decide where draws begin: the first ones by id.
DECIDING_SEEDS = MOST_DRAWS * SEEDS_PER_DRAW + 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Growth:
    """The numbers of seeds' draws; `starts` are the ids of the first seeds of the second draw, of the third …, and of
    those that draw by chance (None: all do)."""

    starts: tuple[int, ...] | None = None

    @classmethod
    def over(cls, first_ids: Sequence[int]) -> Growth:
        """The growth over seeds of which these ids are the `DECIDING_SEEDS` smallest, in order."""
        return cls(tuple(first_ids[SEEDS_PER_DRAW:DECIDING_SEEDS:SEEDS_PER_DRAW]))

    def number(self, seed_id: str, random_seed: int) -> int:
        """The number of a seed's draw, from 0."""
        place = MOST_DRAWS if self.starts is None else bisect_right(self.starts, int(seed_id, 16))
        return place if place < MOST_DRAWS else seed_of(digest(random_seed, seed_id), "few-shot") % MOST_DRAWS


#: Where seeds are not counted, all draw by chance.
NOT_COUNTED = Growth()


def count_draws(seeds: int) -> int:
    """How many draws a run of so many seeds uses.

    >>> [count_draws(seeds) for seeds in (1, 16, 17, 320, 1_000_000)]
    [1, 1, 2, 20, 64]
    """
    return min(MOST_DRAWS, -(-seeds // SEEDS_PER_DRAW))


def nth_draw(pool: Sequence[T], count: int, stage: str, number: int, random_seed: int) -> list[T]:
    """Draw `count` different examples in order: the `number`-th draw of a stage, the same however many are in use.

    There are `MOST_DRAWS`, or as many as are possible, and then again the first; every example comes first equally
    often (± 1) in them. Raises `FewShotError` if the pool holds fewer than `count`.
    """
    _check(pool, count, stage)
    most = min(MOST_DRAWS, perm(len(pool), count))
    possible = _draws(len(pool), count, digest("few-shot", stage, len(pool), count, random_seed), most)
    return [pool[position] for position in possible[number % most]]


def draw_examples(pool: Sequence[T], count: int, stage: str, row_id: str, draws: int) -> list[T]:
    """Draw `count` different examples in order, for the prompt of one row, where a person has set the number of draws.

    The row's id chooses one of at most `draws` distinct ordered draws, fixed for the stage; every example comes first
    equally often (± 1) in them. `draws=0` makes a new draw for each row. Raises `FewShotError` if the pool holds fewer
    than `count`.
    """
    _check(pool, count, stage)
    if draws == 0:
        return Random(_chance(row_id, stage)).sample(list(pool), count)
    chosen = choose_draw(len(pool), count, stage, row_id, draws)
    if perm(len(pool), count) <= draws:
        return [pool[position] for position in _all_draws(len(pool), count)[chosen]]
    possible = _draws(len(pool), count, digest("few-shot", stage, len(pool), count), draws)
    return [pool[position] for position in possible[chosen]]


def choose_draw(size: int, count: int, stage: str, row_id: str, draws: int) -> int:
    """Which of `draws` draws of `count` examples out of `size` a row has; where fewer are possible, of those."""
    return _chance(row_id, stage) % min(draws, perm(size, count))


def _chance(row_id: str, stage: str) -> int:
    return seed_of(row_id, f"few-shot {stage}")


def _check(pool: Sequence[object], count: int, stage: str) -> None:
    if count > len(pool):
        raise FewShotError(
            f'stage "{stage}" needs more examples ({count}) than its few-shot file has ({len(pool)}); '
            f'add some or lower the stage\'s setting "examples"'
        )


@lru_cache(maxsize=64)
def _all_draws(size: int, count: int) -> tuple[tuple[int, ...], ...]:
    return tuple(permutations(range(size), count))


@lru_cache(maxsize=64)
def _draws(size: int, count: int, seed: str, draws: int) -> tuple[tuple[int, ...], ...]:
    """Distinct ordered draws of `count` positions below `size`; fewer are the beginning of more."""
    random = Random(seed)
    firsts = random.sample(range(size), size)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < draws:
        first = firsts[len(found) % size]
        rest = random.sample([position for position in range(size) if position != first], count - 1)
        found[(first, *rest)] = None
    return tuple(found)
