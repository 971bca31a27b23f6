"""One process per answer and suite: it defines the answer's function, is asked for calls, hands back plain values."""

from __future__ import annotations

import contextlib
import io
import marshal
import os
import resource
import select
import signal
import struct
import sys
import time
import types
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NoReturn

from selfcodealign.benchmarks.inside.values import digest, pack

#: The name an answer's code sees as its module: not "__main__", so that blocks meant for a script stay quiet.
MODULE = "answer"
_HEADER = struct.Struct("<I")
#: Wall time allowed per second of processor time, because other programs share the machine; and a little to start.
_WALL_FACTOR, _WALL_START = 3.0, 2.0
#: A reply is sent after this many seconds at the latest (plus one call), so that a wrong value ends the work soon.
TURN = 0.05


class OutOfTime(BaseException):
    """Raised inside the answer's own code when its time is over; not an Exception, so it is seldom swallowed."""


class Sink(io.RawIOBase):
    """Takes everything, keeps nothing: what answers print must not cost memory nor reach the judge's output."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes


def silence() -> None:
    """Point the streams of this interpreter at a sink, and standard input at nothing."""
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(Sink()), write_through=False)
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(Sink()), write_through=False)
    sys.stdin = io.StringIO("")


def _raise_out_of_time(signum: int, frame: object) -> NoReturn:
    raise OutOfTime


def set_time_limit(seconds: float) -> None:
    """Raise `OutOfTime` after `seconds` of processor time (or three times that and 2 s by the clock); 0: never."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds * _WALL_FACTOR + _WALL_START if seconds else 0)


def define(source: str, name: str = MODULE) -> dict[str, Any]:
    """Execute an answer's code in a fresh module and return its names; raises whatever the code raises."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    # Without `dont_inherit` the code would get this module's own `annotations` future, and a missing import of a type
    # would go unnoticed.
    exec(compile(source, f"<{name}>", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def serve_calls(
    requests: int,
    replies: int,
    source: str,
    find: Callable[[dict[str, Any]], Callable],
    inputs: list,
    gather: bool,
    whole: bool,
) -> NoReturn:
    """Answer the judge's requests until it closes the pipe; never returns.

    A request is `(first, limits)`: calls from number `first` on, a processor-time limit in seconds for each; first −1
    asks to define the function instead. The reply is a list with one tuple for each call made:
    ("value", seconds, foreign, packed), ("digest", seconds, type name, hash), ("error", seconds, type name, message) or
    ("time", seconds, "", ""). It ends early after a call that gave no value, and when `TURN` seconds are over.
    `gather` turns a lazy answer (map, generator) into a list, where only its members count; `whole` forbids digests.
    """
    signal.signal(signal.SIGPROF, _raise_out_of_time)
    signal.signal(signal.SIGALRM, _raise_out_of_time)
    silence()
    function: Callable[..., Any] = print
    while (request := receive(requests)) is not None:
        first, limits = request
        replies_made: list[tuple] = []
        turn = time.monotonic() + TURN
        for number, seconds in enumerate(limits, first):
            start = time.process_time()
            try:
                set_time_limit(seconds)
                if number < 0:
                    function, value = find(define(source)), None
                else:
                    value = function(*inputs[number])
                    if gather and not isinstance(value, (list, tuple, set, str, dict, type(None))):
                        value = list(value)
                seconds = time.process_time() - start
                hashed = None if whole else digest(value)
                if hashed is None:
                    reply = ("value", seconds, *pack(value))
                else:
                    reply = ("digest", seconds, type(value).__name__, hashed)
            except OutOfTime:
                reply = ("time", time.process_time() - start, "", "")
            except BaseException as error:
                reply = ("error", time.process_time() - start, type(error).__name__, describe(error))
            replies_made.append(reply)
            if reply[0] not in ("value", "digest") or time.monotonic() > turn:
                break
        _send_in_peace(replies, replies_made)
    os._exit(0)


def _send_in_peace(pipe: int, message: list) -> None:
    # A limit may run out just while it is taken back.
    for _ in range(2):
        try:
            set_time_limit(0)
            break
        except OutOfTime:
            continue
    send(pipe, message)


def describe(error: BaseException) -> str:
    """The error's message, cut to 300 characters; "" when even that cannot be had."""
    try:
        return str(error)[:300]
    except BaseException:
        # The answer's own exception class may do anything in __str__.
        return ""


def send(pipe: int, message: tuple | list) -> None:
    """Write one message; raises `BrokenPipeError` when the other side is gone."""
    data = marshal.dumps(message)
    view = memoryview(_HEADER.pack(len(data)) + data)
    while view:
        view = view[os.write(pipe, view) :]


def receive(pipe: int) -> Any:
    """Read one message, or None when the other side has closed the pipe."""
    header = _read(pipe, _HEADER.size)
    if header is None:
        return None
    data = _read(pipe, _HEADER.unpack(header)[0])
    return None if data is None else marshal.loads(data)


def _read(pipe: int, size: int) -> bytes | None:
    parts = []
    while size:
        part = os.read(pipe, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class AnswerProcess:
    """The judge's side of one answer process."""

    def __init__(
        self,
        source: str,
        find: Callable[[dict[str, Any]], Callable],
        inputs: list,
        gather: bool = False,
        whole: bool = False,
    ) -> None:
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _close_all_but(requests, replies)
                serve_calls(requests, replies, source, find, inputs, gather, whole)
            finally:
                os._exit(1)
        os.close(requests)
        os.close(replies)

    def request(self, first: int, limits: list[float]) -> None:
        """Ask for calls (−1: define the function); the answer works on them while the judge does other things."""
        # A process that died is noticed by `reply`.
        with contextlib.suppress(BrokenPipeError):
            send(self._requests, (first, limits))

    def reply(self, longest: float) -> list[tuple]:
        """Wait for the reply to a request whose largest limit is `longest` seconds; never empty.

        A process stuck where no Python code runs is killed and counts as out of time; one that died is
        ("error", 0, "Crashed", …).
        """
        clock = ((~self._pid) << 3) | 2  # the kernel's name for another process's processor clock (clock_getres(2))
        started, used = time.monotonic(), _clock(clock)
        while not select.select([self._replies], [], [], 0.25)[0]:
            over = _clock(clock) - used > 2 * longest + 1.5
            if over or time.monotonic() - started > longest * 2 * _WALL_FACTOR + 2 * _WALL_START:
                self.end()
                return [("time", longest, "", "")]
        try:
            message = receive(self._replies)
        except (ValueError, EOFError, TypeError):
            message = None
        return message or [("error", 0.0, "Crashed", "the answer ended its process in the middle of a call")]

    def end(self) -> None:
        """Kill the process and take its remains away."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            os.close(self._requests)
            os.close(self._replies)
            self._pid = 0


def _close_all_but(*kept: int) -> None:
    """Close every descriptor above the standard ones: the other answers' pipes, and the sandbox's report."""
    borders = [2, *sorted(kept), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]
    for low, high in pairwise(borders):
        os.closerange(low + 1, high)


def _clock(clock: int) -> float:
    try:
        return time.clock_gettime(clock)
    except OSError:
        return 0.0
