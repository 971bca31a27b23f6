"""Expected values: computed by the reference solution as far as answers get, by several processes where it is slow.

The references of a few tasks can take nearly all of a benchmark's time.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from selfcodealign.benchmarks.inside.answer_process import TURN, AnswerProcess, define, describe
from selfcodealign.benchmarks.inside.kept_values import KeptValues
from selfcodealign.benchmarks.inside.oracles import PRESENCE
from selfcodealign.benchmarks.inside.task import Task
from selfcodealign.benchmarks.inside.values import pack, unpack

#: Most calls computed ahead.
CALLS = 256
#: Seconds between two checks, while computing ahead, whether the answer is still running.
LOOK = 0.001
#: Longest wait (seconds) for the answer before a slow call: a wrong answer makes the call unnecessary.
PATIENCE = 0.01
#: After `SLOW` seconds, up to `MOST_WORKERS` other processes compute the reference as well.
SLOW, MOST_WORKERS = 1.0, 4
_PLAIN = (bool, int, float, complex, str, list, tuple, dict, set, type(None))

#: Values, each with the seconds that the reference took.
Expected = list[tuple[Any, float]]


class BrokenReference(Exception):
    """The reference solution does not run on this machine: no answer can be judged."""


class Reference:
    """Expected values, computed call by call and known for the next answer; `kept` are those of earlier judges."""

    def __init__(self, task: Task, calls: dict[str, list], slow: float = SLOW, kept: KeptValues | None = None) -> None:
        self._task = task
        self._calls = calls
        self._slow = slow
        self._spent = 0.0
        self._kept = kept
        self._known: dict[str, Expected] = {name: kept.values(name) if kept else [] for name in calls}
        self._workers: dict[str, Workers] = {}
        self._function: Callable | None = None
        self._presence = task.rule == "mbpp" and task.entry_point in PRESENCE

    def some(self, suite: str, first: int) -> Expected:
        """Return the known values from call `first` on, at least one. Raises `BrokenReference`."""
        if not self._task.reference:
            return [(value, 0.0) for value in self._task.expected[suite][first : first + CALLS]]
        known = self._known[suite]
        while len(known) <= first:
            self._extend(suite)
        return known[first : first + CALLS]

    def ahead(self, suite: str, first: int, replied: Callable[[float], bool]) -> Expected:
        """Return values from call `first` on, possibly none, computed while an answer runs earlier calls.

        `replied(seconds)` waits up to `seconds` and says whether the answer has replied. Errors of the reference are
        ignored here: no answer may get that far.
        """
        if not self._task.reference:
            return []
        known = self._known[suite]
        end = min(len(self._calls[suite]), first + CALLS)
        began = looked = time.monotonic()
        while len(known) < end and (now := time.monotonic()) < began + TURN:
            last = known[-1][1] if known else 0.0
            if last > LOOK or now > looked + LOOK:
                if replied(min(last / 10, PATIENCE)):
                    break
                looked = now
            try:
                self._extend(suite)
            except BrokenReference:
                break
        return known[first:end]

    def end(self) -> None:
        """End the worker processes."""
        for workers in self._workers.values():
            workers.end()

    def _extend(self, suite: str) -> None:
        known = self._known[suite]
        known.append(self._compute(suite, len(known)))
        if self._kept is not None:
            self._kept.add(suite, len(known) - 1, *known[-1])

    def _compute(self, suite: str, number: int) -> tuple[Any, float]:
        if self._spent >= self._slow and suite not in self._workers:
            self._workers[suite] = Workers(self._task, self._calls[suite])
        found = self._workers[suite].take(number) if suite in self._workers else None
        value, seconds = self._call(suite, number) if found is None else found
        self._spent += seconds
        if self._presence:
            return value is not None, seconds
        # Other values get the same plain form as an answer's, so that a Counter equals a Counter.
        return (value if type(value) in _PLAIN else unpack(pack(value)[1])), seconds

    def _call(self, suite: str, number: int) -> tuple[Any, float]:
        try:
            if self._function is None:
                self._function = self._task.find(define(self._task.reference, "reference"))
            start = time.process_time()
            value = self._function(*self._calls[suite][number])
            return value, time.process_time() - start
        except Exception as error:
            raise BrokenReference(f"{suite} call {number}: {type(error).__name__}: {describe(error)}") from None


class Workers:
    """Processes that compute the calls of one suite in parallel, each one call at a time, in order."""

    def __init__(self, task: Task, calls: list) -> None:
        self._calls = len(calls)
        self._longest = task.total
        self._next = 0
        self._busy: dict[int, AnswerProcess] = {}
        find = _with_memory_limit(task.find)
        self._idle = [AnswerProcess(task.reference, find, calls, whole=True) for _ in range(_count_workers())]
        for process in self._idle:
            process.request(-1, [self._longest])
        self._idle = [process for process in self._idle if process.reply(self._longest)[0][0] == "value"]

    def take(self, number: int) -> tuple[Any, float] | None:
        """Return the value of call `number` and its seconds, and start later calls; None: the caller computes it."""
        process, reply = self._busy.pop(number, None), None
        if process is not None:
            reply = process.reply(self._longest)[0]
            if reply[0] == "value":
                self._idle.append(process)
            else:
                process.end()  # out of memory, or a broken reference: the caller finds out
        self._next = max(self._next, number + 1)
        while self._idle and self._next < self._calls:
            process = self._idle.pop()
            process.request(self._next, [self._longest])
            self._busy[self._next] = process
            self._next += 1
        return (unpack(reply[3]), reply[1]) if reply is not None and reply[0] == "value" else None

    def end(self) -> None:
        for process in (*self._idle, *self._busy.values()):
            process.end()


def _share() -> int:
    """Return the memory limit of one worker in bytes. The program's limit holds for all its processes together, so the
    workers get half of it."""
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    return sys.maxsize if most == resource.RLIM_INFINITY else most // (2 * MOST_WORKERS)


def _count_workers() -> int:
    """Return one worker per core; none on one core, or where this process's memory exceeds a worker's share."""
    cores = len(os.sched_getaffinity(0))
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return min(cores, MOST_WORKERS) if cores > 1 and held < _share() else 0


def _with_memory_limit(find: Callable[[dict[str, Any]], Callable]) -> Callable[[dict[str, Any]], Callable]:
    """Wrap `find` to limit the memory of its process to a worker's share; a call that needs more fails there."""

    def find_with_less(names: dict[str, Any]) -> Callable:
        resource.setrlimit(resource.RLIMIT_DATA, (_share(), _share()))
        return find(names)

    return find_with_less
