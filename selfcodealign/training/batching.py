"""Plan the batches: the rows of each step, and the rows of each forward pass.

A step always has the same `batch` rows, drawn by seed and epoch only, for any number of devices and any micro-batch.
Within a step the order is free, because gradients are summed: rows are distributed so that every forward pass holds
about the same number of tokens. Speed settings therefore change only the speed.

Fixed-length blocks ("best fit decreasing") would fill memory as well, but the number of rows in a step of 64 blocks
depends on their lengths, and the published batch is 64 rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selfcodealign.errors import TrainingError

#: Tokens of a full forward pass: more tokens take more memory and run no faster.
_FULL_PASS = {"cpu": 2048, "cuda": 8192}


@dataclass(frozen=True)
class BatchPlan:
    """The split of the `batch` rows of a step: micro_batch × accumulation × processes = batch."""

    lengths: Sequence[int]
    batch: int
    micro_batch: int
    processes: int
    seed: int

    @property
    def accumulation(self) -> int:
        return self.batch // (self.micro_batch * self.processes)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.lengths) // self.batch)

    @property
    def blank(self) -> int:
        """Number of the row without loss that fills the last step of an epoch."""
        return len(self.lengths)

    def steps(self, epoch: int) -> Iterator[list[int]]:
        """Yield the rows of each step of an epoch, by forward pass; micro-batch i is items [i·m, (i+1)·m)."""
        import numpy as np

        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.lengths)).tolist()
        for start in range(0, len(order), self.batch):
            chosen = order[start : start + self.batch]
            yield self._deal(chosen + [self.blank] * (self.batch - len(chosen)))

    def _deal(self, chosen: list[int]) -> list[int]:
        """Deal rows, longest first, back and forth over the forward passes, so that their tokens are nearly equal."""
        passes: list[list[int]] = [[] for _ in range(self.batch // self.micro_batch)]
        ordered = sorted(chosen, key=lambda row: (-self._length(row), row))
        for place, row in enumerate(ordered):
            turn, seat = divmod(place, len(passes))
            passes[seat if turn % 2 == 0 else -1 - seat].append(row)
        return [row for rows in passes for row in rows]

    def _length(self, row: int) -> int:
        return 1 if row == self.blank else self.lengths[row]


def plan_batches(
    lengths: Sequence[int], *, batch: int, micro_batch: int | None, processes: int, seed: int, device: str
) -> BatchPlan:
    """Plan the batches. `micro_batch` None chooses the divisor whose rows come closest to a full forward pass.

    Raises `TrainingError` if the rows of a step do not divide evenly.
    """
    share = share_rows(batch, processes)
    if micro_batch is None:
        micro_batch = choose_micro_batch(share, sum(lengths) / len(lengths), device)
    if share % micro_batch:
        raise TrainingError(
            f"train.micro_batch = {micro_batch} does not divide the {share} rows that each of {processes} "
            f"processes takes of train.batch = {batch}"
        )
    return BatchPlan(lengths, batch, micro_batch, processes, seed)


def choose_micro_batch(rows: int, mean: float, device: str) -> int:
    """Return the divisor of `rows` whose rows, of `mean` tokens each, come closest to a full forward pass."""
    wanted = _FULL_PASS.get(device, _FULL_PASS["cuda"]) / mean
    divisors = [size for size in range(1, rows + 1) if rows % size == 0]
    return min(divisors, key=lambda size: max(size / wanted, wanted / size))


def split_step(rows: int, micro_batch: int | None, mean: float, device: str, section: str) -> int:
    """Return the rows of a forward pass on one device. Raises `TrainingError` if `micro_batch` does not divide them."""
    size = choose_micro_batch(rows, mean, device) if micro_batch is None else micro_batch
    if rows % size:
        raise TrainingError(f"{section}.micro_batch = {size} does not divide the {rows} rows of a step")
    return size


def draw_rows(rows: int, seed: int) -> Iterator[int]:
    """Yield row numbers without end: all rows in one order, then all in another, so that every step is full."""
    import numpy as np

    for epoch in itertools.count():
        yield from np.random.default_rng([seed, epoch]).permutation(rows).tolist()


def share_rows(batch: int, processes: int) -> int:
    """Return the rows of a step per process. Raises `TrainingError` if `batch` does not divide evenly."""
    if batch % processes:
        raise TrainingError(f"train.batch = {batch} rows cannot be split evenly over {processes} processes")
    return batch // processes
