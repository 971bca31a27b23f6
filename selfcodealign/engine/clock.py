"""What each part of a journey takes of this machine: recorded in run.json, for plans of larger runs (`plan --nodes`).

A part is a flow of neighbouring stages that look at one row at a time, or one stage that compares rows.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selfcodealign.run_folder.folder import WORKED, RunFolder
from selfcodealign.stages import Source, Whole
from selfcodealign.stages.plan import Action, Decision

#: Rows of these are added to those of earlier runs.
_GOES_ON = (Action.RESUME, Action.UPDATE)
_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def clock_work(folder: RunFolder, part: Sequence[Decision]) -> Iterator[None]:
    """Record in run.json what the part took within this context, also when it ends by an error.

    By the part's first stage: its `stages`, its `kind` (reads, rows, table), `rows` that entered, seconds by the clock
    (`wall`), and seconds of CPU: of the thread that calls (`loop`, the event loop's), of all threads of this process
    (`own`), of the processes below it (`below`: pools of stages and the sandbox).
    """
    stage = part[0].step.stage
    adds = part[0].action in _GOES_ON and not isinstance(stage, Whole)
    rows, before = _entered(folder, stage.name) if adds else 0, _read()
    try:
        yield
    finally:
        took = {name: max(0.0, now - before[name]) for name, now in _read().items()}
        took["rows"] = max(0, _entered(folder, stage.name) - rows)
        known: Mapping[str, Any] = folder.facts().get(WORKED, {})
        if adds and stage.name in known:
            took = {name: value + known[stage.name].get(name, 0) for name, value in took.items()}
        kind = "table" if isinstance(stage, Whole) else "reads" if isinstance(stage, Source) else "rows"
        about = {"stages": [one.step.name for one in part], "kind": kind}
        folder.record({WORKED: {**known, stage.name: about | took}})


def _entered(folder: RunFolder, name: str) -> int:
    stage = folder.look_at(name)
    return stage.books().entered if stage is not None else 0


def _read() -> dict[str, float]:
    return {
        "wall": time.monotonic(),
        "loop": time.thread_time(),
        "own": time.process_time(),
        "below": _seconds_below(os.getpid()),
    }


def _seconds_below(process: int) -> float:
    """Seconds of CPU of all processes below this one, those that have ended and were waited for included."""
    spent: dict[int, int] = {}
    below: defaultdict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name of a program stands in brackets, and may hold spaces and brackets itself.
            fields = path.read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        number = int(path.parent.name)
        user, system, waited_user, waited_system = map(int, fields[11:15])
        # Of the process itself, only what its ended children took: its own time is `own`.
        spent[number] = waited_user + waited_system + (0 if number == process else user + system)
        below[int(fields[1])].append(number)
    found, left = 0, [process]
    while left:
        number = left.pop()
        found += spent.get(number, 0)
        left += below[number]
    return found / _TICKS
