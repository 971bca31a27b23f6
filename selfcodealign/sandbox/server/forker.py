"""The forker: keeps one process standing ready for the next program, behind all its walls.

    server ── forker ── program (pid 1 of its own pid namespace)

After a fork, whoever goes on writing pays for every page of memory once more. So the process that forks does nothing
else, and the server, which builds and watches, never forks. And since nothing about the walls depends on the program,
they are up before it comes: the process for the next program is made while the last one's verdict is on its way.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from selfcodealign.sandbox.isolation import kernel, walls
from selfcodealign.sandbox.isolation.walls import Walls
from selfcodealign.sandbox.language import Runner
from selfcodealign.sandbox.server.frames import HEADER
from selfcodealign.sandbox.server.process_tree import Family

NONCE_BYTES = 16
BEGUN = {"begun": True}  # the first report of every program
_HELLO = struct.Struct("!qqq")  # the forker by the host's number, its address space in bytes, its resident pages
_READY = struct.Struct(f"!q{NONCE_BYTES}s")  # a process stands ready: its number, and the secret of its reports
_ENDED = struct.Struct("!qq")  # a process has ended: its wait status, its peak memory in KiB
_GIVEN = b"!"  # the process that stood ready has its program now
# Numbers of descriptors in a program's process, out of the way of those it opens itself.
_REPORT, _WORK, _STDIN = 250, 251, 252


@dataclass(slots=True)
class Standby:
    """A process that stands ready, as the server holds it: its end, its reports, its output, the way to its work."""

    ended: int
    report: int
    output: int
    work: int
    nonce: bytes

    def give(self, work: Any) -> None:
        """Hand over what to run; marshal values. Raises `BrokenPipeError` when the process is gone."""
        data = memoryview(marshal.dumps(work))
        try:
            while data:
                data = data[os.write(self.work, data) :]
        finally:
            os.close(self.work)

    def kill(self) -> None:
        """End it, and with it its pid namespace."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.ended, signal.SIGKILL)

    def close(self) -> None:
        """Let go of its descriptors."""
        for fd in (self.ended, self.report, self.output):
            os.close(fd)


class Forker:
    """The server's hold on its forker."""

    def __init__(self, stands: Walls, runner: Runner, family: Family) -> None:
        """Start it. What the calling process has imported is what programs find."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            ours.close()
            try:
                _Nursery(theirs, stands, runner, family).serve()
            finally:
                os._exit(1)
        theirs.close()
        self._connection = ours
        family.head, stands.base_address_space, family.head_pages = _HELLO.unpack(self._receive(_HELLO.size))

    def fileno(self) -> int:
        """Readable when the program under way has ended."""
        return self._connection.fileno()

    def take_standby(self) -> Standby:
        """The process that stands ready; the next one is made when it has ended."""
        message, fds, _, _ = socket.recv_fds(self._connection, _READY.size, 3)
        if len(message) < _READY.size:
            raise EOFError("the forker is gone")
        pid, nonce = _READY.unpack(message)
        report, output, work = fds
        standby = Standby(os.pidfd_open(pid), report, output, work, nonce)
        self._connection.send(_GIVEN)
        return standby

    def wait(self) -> tuple[int, float]:
        """Until the program has ended and nothing it started is left: its exit code, and its peak memory in MiB."""
        status, peak_kib = _ENDED.unpack(self._receive(_ENDED.size))
        return os.waitstatus_to_exitcode(status), peak_kib / 1024

    def _receive(self, size: int) -> bytes:
        message = self._connection.recv(size)
        if len(message) < size:
            raise EOFError("the forker is gone")
        return message


class _Nursery:
    """The forker's own process."""

    def __init__(self, connection: socket.socket, stands: Walls, runner: Runner, family: Family) -> None:
        self._connection = connection
        self._walls = stands
        self._runner = runner
        self._family = family
        self._fork = kernel.bare_fork if threading.active_count() == 1 else os.fork

    def serve(self) -> None:
        """One process after the other, until the server is gone."""
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        # Where no pid namespace ends them all at once, what a program leaves behind becomes the forker's to kill.
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        kernel.name_process(kernel.FORKER)  # and so are called those that stand ready, until they have their program
        if self._walls.mode != "unsafe":
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        os.chdir(self._walls.scratch)
        self._family.offer_head()
        space = self._family.become_head()
        self._connection.send(_HELLO.pack(self._family.head, space, self._family.head_pages))
        untouched = walls.scratch_state(self._walls)
        while True:
            pid, message, fds = self._make_standby()
            _announce(self._connection, message, fds)
            if not self._connection.recv(1):
                os._exit(0)
            status, usage = os.wait4(pid, 0)[1:]
            if not self._walls.own_pids:
                self._family.kill()
            if walls.scratch_state(self._walls) != untouched:
                walls.fresh_scratch(self._walls)
                untouched = walls.scratch_state(self._walls)
            self._connection.send(_ENDED.pack(status, usage.ru_maxrss))

    def _make_standby(self) -> tuple[int, bytes, list[int]]:
        """Fork; the process's number, its announcement, and the descriptors that go with it."""
        nonce = os.urandom(NONCE_BYTES)
        report_out, report_in = os.pipe2(os.O_CLOEXEC)
        output_out, output_in = os.pipe2(os.O_CLOEXEC)
        work_out, work_in = os.pipe2(os.O_CLOEXEC)
        if self._walls.own_pids:
            kernel.unshare(kernel.CLONE_NEWPID)
        pid = self._fork()
        if pid == 0:
            _become_program(self._walls, self._runner, nonce, report_in, output_in, work_out)
        if self._walls.own_pids:
            kernel.set_namespace(self._walls.own_pid_namespace, kernel.CLONE_NEWPID)
        for fd in (report_in, output_in, work_out):
            os.close(fd)
        return pid, _READY.pack(pid, nonce), [report_out, output_out, work_in]


def _announce(connection: socket.socket, message: bytes, fds: list[int]) -> None:
    socket.send_fds(connection, [message], fds)
    for fd in fds:
        os.close(fd)


def _become_program(stands: Walls, runner: Runner, nonce: bytes, report: int, output: int, work: int) -> None:
    """In the program's process: put up its walls, wait for the work, do it. Never returns."""
    channel = report
    try:
        kernel.quick_syscall(kernel.SYS_PRCTL, kernel.PR_SET_PDEATHSIG, signal.SIGKILL, what="prctl")
        stdin = os.memfd_create("stdin")
        null = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((null, 0), (output, 1), (output, 2), (report, _REPORT), (work, _WORK), (stdin, _STDIN)):
            os.dup2(source, target, inheritable=target <= 2)
        channel = _REPORT
        ruleset = stands.ruleset
        if ruleset >= 0:
            os.dup2(ruleset, 3, inheritable=False)
            stands.ruleset = 3
        os.closerange(4 if ruleset >= 0 else 3, _REPORT)
        os.closerange(_STDIN + 1, _STDIN + 4096)
        walls.close_walls(stands)
        if ruleset >= 0:
            os.close(3)
        begun = _report(nonce, BEGUN)
        job = _receive_work()
        if job is None:
            os._exit(0)
        kernel.name_process(kernel.PROGRAM)
        os.write(_REPORT, begun)
        runners_part, bounds, text = job
        if text:
            os.write(_STDIN, text)
            os.lseek(_STDIN, 0, os.SEEK_SET)
            os.dup2(_STDIN, 0)
        os.close(_STDIN)
        walls.limit_resources(bounds)
    except BaseException as error:
        os.write(channel, _report(nonce, {"unready": f"{type(error).__name__}: {error}"}))
        os._exit(1)
    try:
        runner.run(runners_part, _REPORT, nonce)
    finally:
        os._exit(1)


def _report(nonce: bytes, message: dict[str, Any]) -> bytes:
    data = marshal.dumps(message)
    return nonce + HEADER.pack(len(data)) + data


def _receive_work() -> tuple[Any, list[tuple[int, int]], bytes] | None:
    """What `Standby.give` wrote; None when nobody gives any work any more."""
    chunks = []
    while chunk := os.read(_WORK, 1 << 16):
        chunks.append(chunk)
    os.close(_WORK)
    return marshal.loads(b"".join(chunks)) if chunks else None
