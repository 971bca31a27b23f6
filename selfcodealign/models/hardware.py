"""Choose precision, threads and memory of a local model by measurement on this machine.

This module imports torch; import it on demand.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch

#: Below this many parameters a second thread costs more in barriers between small operations than it saves, and the
#: sandbox needs the other cores.
_ONE_THREAD_PARAMETERS = 50_000_000
#: Hidden size below which precision is not measured: such models are small, and float32 makes rows independent.
_SMALL_HIDDEN_SIZE = 512
#: How much faster bfloat16 has to be: float32 gives rows that hardly depend on the batch, so a small gain is none.
_WORTH_IT = 1.5
#: Rows of a decoding pass and tokens of a prefill pass, as in a run.
_ROWS, _TOKENS = 16, 256
_REPEATS = 5
_GIB = 2**30


def choose_memory(gib: float | None, device: str) -> int:
    """Return the bytes that keys and values may take: `gib`, or 1.5 GiB on a CPU, or most of what a GPU has free."""
    if gib is not None:
        return int(gib * _GIB)
    if torch.device(device).type == "cuda":
        return int(0.8 * torch.cuda.mem_get_info(torch.device(device))[0])
    return int(1.5 * _GIB)


def choose_threads(model: Any) -> int:
    """Return the fewest threads that are within 5 % of the fastest, for the products of a decoding pass."""
    if model.num_parameters() < _ONE_THREAD_PARAMETERS:
        return 1
    weight = max((one for one in model.parameters() if one.dim() == 2), key=lambda one: one.numel()).detach()
    rows = torch.zeros((_ROWS, weight.shape[1]), dtype=weight.dtype)
    most = os.process_cpu_count() if hasattr(os, "process_cpu_count") else len(os.sched_getaffinity(0))  # type: ignore[attr-defined]
    candidates = sorted({most, *(2**power for power in range(most.bit_length()))})
    seconds: dict[int, float] = {}
    before = torch.get_num_threads()
    for count in candidates:
        torch.set_num_threads(count)
        seconds[count] = _time(lambda: rows @ weight.T)
    torch.set_num_threads(before)
    best = min(seconds.values())
    return next(count for count in candidates if seconds[count] <= 1.05 * best)


def choose_precision(hidden_size: int) -> torch.dtype:
    """Return float32, or bfloat16 where this CPU is much faster with it both in prefill and in decoding."""
    if hidden_size < _SMALL_HIDDEN_SIZE:
        return torch.float32
    faster = []
    for tokens in (_ROWS, _TOKENS):
        seconds = {}
        for kind in (torch.float32, torch.bfloat16):
            weight = torch.zeros((4 * hidden_size, hidden_size), dtype=kind)
            rows = torch.zeros((tokens, hidden_size), dtype=kind)
            seconds[kind] = _time(lambda rows=rows, weight=weight: rows @ weight.T)
        faster.append(seconds[torch.float32] > _WORTH_IT * seconds[torch.bfloat16])
    return torch.bfloat16 if all(faster) else torch.float32


def _time(product: Callable[[], object]) -> float:
    """Return the shortest time of a few repetitions: other programs only make it longer."""
    product()
    found = []
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        product()
        found.append(time.perf_counter() - begun)
    return min(found)
