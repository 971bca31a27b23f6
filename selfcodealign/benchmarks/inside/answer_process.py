"""One process per answer and suite: it defines the answer's function, makes calls, returns plain values."""

from __future__ import annotations

import contextlib
import gc
import io
import marshal
import math
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

from selfcodealign.benchmarks.inside.time_limit import Meter, OutOfTime, TimeLimit, by_clock
from selfcodealign.benchmarks.inside.values import OPAQUE, digest, pack, unpack

#: The module name that an answer's code sees: not "__main__", so that blocks meant for a script do not run.
MODULE = "answer"
_HEADER = struct.Struct("<I")
#: No value is larger than this many bytes; a larger frame is not from this module.
LARGEST = 1_500_000_000
#: A reply is sent after at most this many seconds (plus one call), so that a wrong value ends the work early.
TURN = 0.05
#: New containers per garbage collection: some tasks make millions of tuples, and collecting takes longer than making
#: them.
GARBAGE = 2_000_000


class Sink(io.RawIOBase):
    """Discards all output: what answers print must not use memory or reach the judge's output."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes


def silence() -> None:
    """Redirect the output streams of this interpreter to a sink, and make standard input empty."""
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(Sink()), write_through=False)
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(Sink()), write_through=False)
    sys.stdin = io.StringIO("")


def define(source: str, name: str = MODULE) -> dict[str, Any]:
    """Execute an answer's code in a fresh module and return its names; raises what the code raises."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    # Without `dont_inherit` the code would inherit this module's `annotations` future, which hides a missing import of
    # a type.
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

    A request is `(first, limits)`: calls from number `first` on, a CPU time limit in seconds for each; first −1 asks to
    define the function instead. The reply is a list with one tuple for each call made:
    ("value", seconds, foreign, packed), ("digest", seconds, type name, hash), ("error", seconds, type name, message) or
    ("time", seconds, "", ""). It ends early after a call that returned no value, and after `TURN` seconds.
    `gather` turns a lazy result (map, generator) into a list, where only its members count; `whole` forbids digests.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE)
    gc.enable()
    limit = TimeLimit()
    silence()
    function: Callable[..., Any] = print
    while (request := receive(requests)) is not None:
        first, limits = request
        replies_made: list[tuple] = []
        turn = time.monotonic() + TURN
        for number, seconds in enumerate(limits, first):
            start = time.process_time()
            try:
                limit.set(seconds)
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
                limit.lift()
            except OutOfTime:
                reply = ("time", time.process_time() - start, "", "")
            except BaseException as error:
                reply = ("error", time.process_time() - start, type(error).__name__, describe(error))
            replies_made.append(reply)
            if reply[0] not in ("value", "digest") or time.monotonic() > turn:
                break
        _send_without_limit(limit, replies, replies_made)
    os._exit(0)


def _send_without_limit(limit: TimeLimit, pipe: int, message: list) -> None:
    # The limit may expire while it is being cancelled.
    for _ in range(2):
        try:
            limit.stop()
            break
        except OutOfTime:
            continue
    send(pipe, message)


def describe(error: BaseException) -> str:
    """Return the error's message, cut to 300 characters; "" when it cannot be computed."""
    try:
        return str(error)[:300]
    except BaseException:
        # The answer's own exception class may do anything in __str__.
        return ""


def send(pipe: int, message: tuple | list) -> None:
    """Write one message; raises `BrokenPipeError` when the other side has closed."""
    data = marshal.dumps(message)
    view = memoryview(_HEADER.pack(len(data)) + data)
    while view:
        view = view[os.write(pipe, view) :]


def receive(pipe: int) -> Any:
    """Read one message from the judge; None when it has closed the pipe."""
    data = _read_frame(pipe, lambda: True)
    return None if data is None else marshal.loads(data)


def _read_frame(pipe: int, in_time: Callable[[], bool]) -> bytes | None:
    """Read one frame; None when the pipe is closed before its end.

    Raises `TimeoutError` when `in_time` returns false, and `ValueError` for invalid data.
    """
    header = _read(pipe, _HEADER.size, in_time)
    size = _HEADER.unpack(header)[0] if header else 0
    if size > LARGEST:
        raise ValueError(f"a frame of {size} bytes")
    return _read(pipe, size, in_time) if header else None


def _read(pipe: int, size: int, in_time: Callable[[], bool]) -> bytes | None:
    parts = []
    while size:
        while not select.select([pipe], [], [], 0.25)[0]:
            if not in_time():
                raise TimeoutError
        part = os.read(pipe, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def load(data: bytes) -> Any:
    """Return the plain value in an answer's bytes; `OPAQUE` when they hold none."""
    try:
        return unpack(data)
    except Exception:
        # An answer that found its pipe may have written anything, also the length of a list that fits no memory.
        return OPAQUE


def _is_reply(one: Any) -> bool:
    """Whether this is the reply to one call, as in `serve_calls`."""
    if type(one) is not tuple or len(one) != 4:
        return False
    kind, seconds, first, second = one
    forms = {"value": (bool, bytes), "digest": (str, int), "error": (str, str), "time": (str, str)}
    if type(kind) is not str or forms.get(kind) != (type(first), type(second)):
        return False
    return type(seconds) is float and 0 <= seconds < math.inf


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
        self._asked = 0
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _close_all_but(requests, replies)
                _empty_input()
                serve_calls(requests, replies, source, find, inputs, gather, whole)
            finally:
                os._exit(1)
        os.close(requests)
        os.close(replies)

    def request(self, first: int, limits: list[float]) -> None:
        """Ask for calls (−1: define the function); the answer runs them while the judge continues."""
        self._asked = len(limits)
        # `reply` reports a process that died.
        with contextlib.suppress(BrokenPipeError):
            send(self._requests, (first, limits))

    def reply(self, longest: float) -> list[tuple]:
        """Wait for the reply to a request whose largest limit is `longest` seconds; never empty.

        A process that hangs outside Python code is killed and counts as out of time; a dead process, and one that sent
        anything but a reply as `serve_calls` makes it, gives ("crashed", 0, "", message).
        """
        meter = Meter(self._pid)

        def in_time() -> bool:
            return not meter.exceeds(2 * longest + 1.5, waiting_for=1.5 * by_clock(longest))

        try:
            data = _read_frame(self._replies, in_time)
        except TimeoutError:
            self.end()
            return [("time", longest, "", "")]
        except (ValueError, MemoryError):
            data = b""  # the answer wrote its own data into the pipe
        if data is None:
            return [("crashed", 0.0, "", "the answer ended its process in the middle of a call")]
        message = load(data)
        if type(message) is list and 0 < len(message) <= self._asked and all(map(_is_reply, message)):
            return message
        return [("crashed", 0.0, "", "the answer sent data of its own in place of a reply")]

    def replied(self, seconds: float) -> bool:
        """Whether a reply is available or arrives within `seconds`."""
        return bool(select.select([self._replies], [], [], seconds)[0])

    def end(self) -> None:
        """Kill and reap the process."""
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


def _empty_input() -> None:
    """Replace standard input, which holds the rest of the judge's work, by an empty one."""
    empty, writer = os.pipe()
    os.dup2(empty, 0)
    os.close(empty)
    os.close(writer)
