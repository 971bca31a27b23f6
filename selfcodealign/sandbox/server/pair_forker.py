"""The pair forker: keeps two standby processes that are linked, for a response and its judge.

    server ── pair forker ─┬─ response (pid 1 of its own pid namespace)
                           └─ judge    (pid 1 of another)

A response that shares no memory with its judge cannot find it. So that none does, this forker is forked before the
server sees its first program, and the response's process is forked before the secret of the judge's reports exists.
Until the first pair is wanted, the forker waits.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfcodealign.sandbox.isolation import kernel, walls
from selfcodealign.sandbox.language import Runner
from selfcodealign.sandbox.server.forker import (
    BEGUN,
    GIVEN,
    NONCE_BYTES,
    READY,
    Forker,
    ForkerProcess,
    Standby,
    close_all,
    make_report,
    send_work,
)

# The wait status and the peak memory in KiB of the judge, then of the response; the status of one that still ran is -1.
_BOTH_ENDED = struct.Struct("!qqqq")
_STILL_RAN = -1
_MOST_UNREADY = 4096


@dataclass(slots=True)
class Pair(Standby):
    """A standby pair. The fields of `Standby` are the judge's; the other two are pipes of the response's process."""

    response_work: int
    response_began: int

    def give(self, part: Any, bounds: list[tuple[int, int]], stdin: bytes, errors_apart: bool = False) -> None:
        """Send the two parts, the response's first: the judge waits for what it defines."""
        judges, responses = part
        send_work(self.response_work, (responses, bounds, stdin, False))
        send_work(self.work, (judges, bounds, stdin, False))

    def find_unready(self, outcome: dict[str, Any]) -> str:
        """Say why one of the two, which have ended with this outcome, was never started; empty when both were.

        A judge that needs no response may end well before the other has begun, which is then killed.
        """
        said = os.read(self.response_began, _MOST_UNREADY)
        codes = outcome["response_exit_code"], outcome["exit_code"]
        if said != make_report(b"", BEGUN) and codes != (None, 0) and not outcome["ended_by"]:
            return f"exit codes of the response and of its judge {codes}, {said!r}"
        return Standby.find_unready(self, outcome)

    def close(self) -> None:
        Standby.close(self)
        os.close(self.response_began)


class PairForker(Forker):
    """The pair forker, controlled from the server; `first` is the forker of programs in one process."""

    PROCESSES: ClassVar[int] = 2

    def __init__(self, first: Forker, runner: Runner) -> None:
        self._first = first
        self._wanted = False
        super().__init__(replace(first.walls), runner, copy(first.tree))

    def _make_process(self, connection: socket.socket, runner: Runner) -> ForkerProcess:
        os.close(self._first.fileno())
        return _PairProcess(connection, self.walls, runner, self.tree)

    def take_standby(self, keep_scratch: bool = False) -> Pair:
        """Take the standby pair; the next one is made when this one has ended."""
        if not self._wanted:
            self._connection.send(GIVEN)
            self._wanted = True
        pid, nonce, (report, output, work, response_work, response_began) = self._receive_standby(5)
        pair = Pair(os.pidfd_open(pid), report, output, work, nonce, -1, response_work, response_began)
        self._connection.send(GIVEN)
        return pair

    def wait(self) -> tuple[dict[str, int | None], float]:
        """Wait until both processes and all they started have ended.

        Return `exit_code`, the judge's, `response_exit_code`, None where the response still ran when the judge had
        ended, and their peak memory in MiB, where the pages that they share with the forker count once.
        """
        status, peak_kib, response_status, response_kib = _BOTH_ENDED.unpack(self._receive(_BOTH_ENDED.size))
        responses = None if response_status == _STILL_RAN else os.waitstatus_to_exitcode(response_status)
        codes = {"exit_code": os.waitstatus_to_exitcode(status), "response_exit_code": responses}
        shared = self.tree.head_mib
        return codes, max(peak_kib / 1024, response_kib / 1024, (peak_kib + response_kib) / 1024 - shared)


class _PairProcess(ForkerProcess):
    """The pair forker's own process."""

    def await_first(self) -> None:
        """Wait for the first pair that is wanted, then take a scratch apart from that of the other forker.

        Each of the two renews its scratch, and a standby process of the other would be left in the old one. With
        namespaces each has its own mount; a plain folder is emptied in place and serves both.
        """
        self.await_message()
        if self._walls.mode == "namespaces":
            kernel.unshare(kernel.CLONE_NEWNS)
            walls.fresh_scratch(self._walls)

    def make_standby(self) -> tuple[bytes, list[int]]:
        responses_link, judges_link = (end.detach() for end in socket.socketpair())
        output_out, output_in = os.pipe2(os.O_CLOEXEC)
        began_out, began_in = os.pipe2(os.O_CLOEXEC)
        response_out, response_in = os.pipe2(os.O_CLOEXEC)
        self._response = self.fork(b"", began_in, output_in, response_out, responses_link)
        close_all(began_in, response_out, responses_link)
        nonce = os.urandom(NONCE_BYTES)
        report_out, report_in = os.pipe2(os.O_CLOEXEC)
        work_out, work_in = os.pipe2(os.O_CLOEXEC)
        self._judge = self.fork(nonce, report_in, output_in, work_out, judges_link)
        close_all(report_in, output_in, work_out, judges_link)
        fds = [report_out, output_out, work_in, response_in, began_out]
        return READY.pack(self._judge, nonce), fds

    def await_end(self) -> bytes:
        """Wait until the judge has ended, and end the response; with a pid namespace, all its processes end with it."""
        ended: dict[int, tuple[int, int]] = {}
        while self._judge not in ended:
            self._reap(ended)
        still_ran = self._response not in ended
        if still_ran:
            with suppress(ProcessLookupError):
                os.kill(self._response, signal.SIGKILL)
        while self._response not in ended:
            self._reap(ended)
        status, peak_kib = ended[self._response]
        # One that was on its way out keeps its own status: its link closes, and the judge may end, before it has ended.
        still_ran &= status == signal.SIGKILL
        return _BOTH_ENDED.pack(*ended[self._judge], _STILL_RAN if still_ran else status, peak_kib)

    def _reap(self, ended: dict[int, tuple[int, int]]) -> None:
        """Wait for any child: without a pid namespace, processes that a program left behind are among them."""
        pid, status, usage = os.wait4(-1, 0)
        ended[pid] = status, usage.ru_maxrss
