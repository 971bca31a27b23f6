"""Expected values: a reference solution's, computed no further than answers get, by several processes where it is slow.

Sometimes nearly all of a benchmark's time goes into the references of a few tasks.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from selfcodealign.benchmarks.inside.answer_process import TURN, AnswerProcess, define, describe
from selfcodealign.benchmarks.inside.oracles import PRESENCE
from selfcodealign.benchmarks.inside.task import Task
from selfcodealign.benchmarks.inside.values import pack, unpack

#: Most calls looked ahead.
CALLS = 256
#: Working ahead, the reference looks this often (in seconds) whether the answer still works, too.
LOOK = 0.001
#: Before a call as slow as this it waits a moment: an answer that turns out wrong makes the call unnecessary.
PATIENCE = 0.01
#: A reference that has taken so many seconds gets help by other processes, at most so many.
SLOW, MOST_HANDS = 1.0, 4
_PLAIN = (bool, int, float, complex, str, list, tuple, dict, set, type(None))

#: Values with the seconds that each took the reference.
Expected = list[tuple[Any, float]]


class BrokenReference(Exception):
    """The benchmark's own solution does not run here: nobody's answer can be judged."""


class Reference:
    """Expected values, computed call by call and kept for the next answer."""

    def __init__(self, task: Task, calls: dict[str, list], slow: float = SLOW) -> None:
        self._task = task
        self._calls = calls
        self._slow = slow
        self._spent = 0.0
        self._known: dict[str, Expected] = {name: [] for name in calls}
        self._crews: dict[str, Crew] = {}
        self._function: Callable | None = None
        self._presence = task.rule == "mbpp" and task.entry_point in PRESENCE

    def some(self, suite: str, first: int) -> Expected:
        """Values from call `first` on: what is known, at least one. Raises `BrokenReference`."""
        if not self._task.reference:
            return [(value, 0.0) for value in self._task.expected[suite][first : first + CALLS]]
        known = self._known[suite]
        while len(known) <= first:
            known.append(self._compute(suite, len(known)))
        return known[first : first + CALLS]

    def ahead(self, suite: str, first: int, replied: Callable[[float], bool]) -> Expected:
        """Values from call `first` on, possibly none, computed while an answer works on earlier calls.

        `replied(seconds)` says whether it has done so, waiting so long for it. A reference that breaks is not noticed
        here: perhaps no answer gets that far.
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
                known.append(self._compute(suite, len(known)))
            except BrokenReference:
                break
        return known[first:end]

    def end(self) -> None:
        """End the processes that help."""
        for crew in self._crews.values():
            crew.end()

    def _compute(self, suite: str, number: int) -> tuple[Any, float]:
        if self._spent >= self._slow and suite not in self._crews:
            self._crews[suite] = Crew(self._task, self._calls[suite])
        found = self._crews[suite].take(number) if suite in self._crews else None
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


class Crew:
    """Processes that compute the calls of one suite side by side, each a call at a time, in order."""

    def __init__(self, task: Task, calls: list) -> None:
        self._calls = len(calls)
        self._longest = task.total
        self._next = 0
        self._busy: dict[int, AnswerProcess] = {}
        find = _thrifty(task.find)
        self._idle = [AnswerProcess(task.reference, find, calls, whole=True) for _ in range(_count_hands())]
        for process in self._idle:
            process.request(-1, [self._longest])
        self._idle = [process for process in self._idle if process.reply(self._longest)[0][0] == "value"]

    def take(self, number: int) -> tuple[Any, float] | None:
        """The value of call `number` and its seconds; None leaves it to the caller. The crew goes on behind it."""
        process, reply = self._busy.pop(number, None), None
        if process is not None:
            reply = process.reply(self._longest)[0]
            if reply[0] == "value":
                self._idle.append(process)
            else:
                process.end()  # it lacks memory, or the reference breaks: the caller sees
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
    """How many bytes a process of a crew may hold. The memory limit is one for all processes of a program together,
    so all of a crew get half of it."""
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    return sys.maxsize if most == resource.RLIM_INFINITY else most // (2 * MOST_HANDS)


def _count_hands() -> int:
    """One per core; none where that is one, or where each would begin with too much memory of this process's."""
    cores = len(os.sched_getaffinity(0))
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return min(cores, MOST_HANDS) if cores > 1 and held < _share() else 0


def _thrifty(find: Callable[[dict[str, Any]], Callable]) -> Callable[[dict[str, Any]], Callable]:
    """`find`, in a process that keeps to its share from then on; a call that needs more fails there."""

    def find_with_less(names: dict[str, Any]) -> Callable:
        resource.setrlimit(resource.RLIMIT_DATA, (_share(), _share()))
        return find(names)

    return find_with_less
