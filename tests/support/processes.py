"""Processes, read from /proc."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def process_tree(pid: int) -> list[int]:
    """All processes below one, by whichever of its threads they were started."""
    found, waiting = [], [pid]
    while waiting:
        for thread in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            try:
                children = [int(word) for word in thread.read_text().split()]
            except OSError:
                continue
            found += children
            waiting += children
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether the condition comes true; the time is only that of a failure."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()
