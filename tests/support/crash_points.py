"""A run that is killed at a chosen point between two changes of the disk, again and again, and what is left of it.

    python -m tests.support.crash_points SOURCES FOLDER all       # each point of a run, from the same beginning
    python -m tests.support.crash_points SOURCES FOLDER further   # one folder; each session gets one change further

Both begin with a finished run, whose settings change, so that its rows move to superseded/, and go on to the data set.
Each session is a fork of this process, which has imported everything and begun nothing. The last line is the number of
kills; one that differs in its rows from an undisturbed run ends with exit code 1 and names its point.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from selfcodealign import run_recipe
from selfcodealign.engine import local
from tests.support.journey import judge_by_text, scripted_model, small_recipe, write_sources
from tests.support.runs import everything

#: What changes the disk so that a reader sees it.
CHANGES = ("rename", "replace", "fsync", "unlink", "remove", "rmdir", "mkdir", "ftruncate")
#: How a session ends at its point.
KILLED = 77


def main() -> None:
    sources, folder, how = write_sources(Path(sys.argv[1]), 12), Path(sys.argv[2]), sys.argv[3]
    begun, whole, run = folder / "begun", folder / "whole", folder / "run"
    assert _session(sources, begun, first=True) == 0
    shutil.copytree(begun, whole)
    assert _session(sources, whole) == 0
    expected = everything(whole)
    kills, point, ended = 0, 0, KILLED
    while ended == KILLED:
        if how == "all" or not run.exists():
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(begun, run)
        point += 1
        ended = _session(sources, run, point=point)
        kills += ended == KILLED
        if how == "all" and ended == KILLED:
            _compare(_session(sources, run), run, expected, point)
    _compare(ended, run, expected, point)
    print(kills)


def _compare(ended: int, run: Path, expected: str, point: int) -> None:
    if ended or everything(run) != expected:
        sys.exit(f"after a kill at change {point}: exit code {ended}, {'' if ended else 'the rows differ'}")


def _session(sources: Path, run: Path, *, first: bool = False, point: int = 0) -> int:
    """Run in a fork, which is killed before its change number `point` (0: never); return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        with pytest.MonkeyPatch.context() as patch:
            judge_by_text(patch)
            patch.setattr(local, "work_in_processes", _work_here)
            _kill_at(point, patch)
            settings = [
                "flush_seconds=0.01",
                "model.name=scripted",
                f"instructions.temperature={0.7 if first else 0.8}",
            ]
            recipe = small_recipe(sources, *settings)
            asyncio.run(run_recipe(recipe, run, model=scripted_model(), until="dataset", replace_finished=True))
        code = 0
    finally:
        os._exit(code)


def _kill_at(point: int, patch: pytest.MonkeyPatch) -> None:
    left = point

    def watch(change: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(KILLED)
            return change(*given, **named)

        return watched

    for name in CHANGES:
        patch.setattr(os, name, watch(getattr(os, name)))


@contextmanager
def _work_here(name: str, work: Callable[[Any], Any], given: object) -> Iterator[Callable[[Any], Awaitable[Any]]]:
    """Work in this process: a new one for each session would take most of the time."""

    async def call(row: Any) -> Any:
        return work(row)

    yield call


if __name__ == "__main__":
    main()
