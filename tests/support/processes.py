"""Processes, read from /proc."""

from __future__ import annotations

from pathlib import Path


def process_tree(pid: int) -> list[int]:
    """All processes below one."""
    found, waiting = [], [pid]
    while waiting:
        try:
            parent = waiting.pop()
            children = [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
        except OSError:
            continue
        found += children
        waiting += children
    return found
