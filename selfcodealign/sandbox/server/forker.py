"""The forker: keeps one standby process, behind all its walls, for the next program.

    server ── forker ── program (pid 1 of its own pid namespace)

After a fork, every page that a process writes to is copied. Therefore the forker does nothing but fork, and the server,
which builds and watches, never forks. No wall depends on the program, so the standby process has its walls before the
program arrives: it is made while the verdict on the last program is being returned.
"""

from __future__ import annotations

import json
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
from selfcodealign.sandbox.server.process_tree import ProcessTree
from selfcodealign.sandbox.server.reports import BEGUN, NONCE_BYTES

_HELLO = struct.Struct("!qqq")  # the forker's pid on the host, its address space in bytes, its resident pages
_READY = struct.Struct(f"!q{NONCE_BYTES}s")  # a standby process: its pid, and the secret of its reports
_ENDED = struct.Struct("!qq")  # an ended process: its wait status, its peak memory in KiB
_GIVEN = b"!"  # the standby process was taken for a program
# Descriptors in a program's process, above those that the program opens.
_REPORT, _WORK, _STDIN = 250, 251, 252


@dataclass(slots=True)
class Standby:
    """A standby process, by the server's descriptors: its pidfd, its reports, its output, the pipe for its work."""

    ended: int
    report: int
    output: int
    work: int
    nonce: bytes

    def give(self, work: Any) -> None:
        """Send the work, a marshal value. Raises `BrokenPipeError` when the process has ended."""
        data = memoryview(marshal.dumps(work))
        try:
            while data:
                data = data[os.write(self.work, data) :]
        finally:
            os.close(self.work)

    def kill(self) -> None:
        """Kill the process, and with it its pid namespace."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.ended, signal.SIGKILL)

    def close(self) -> None:
        """Close the descriptors."""
        for fd in (self.ended, self.report, self.output):
            os.close(fd)


class Forker:
    """The forker, controlled from the server."""

    def __init__(self, stands: Walls, runner: Runner, tree: ProcessTree) -> None:
        """Start the forker. Programs inherit the imports of the calling process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            ours.close()
            try:
                _ForkerProcess(theirs, stands, runner, tree).serve()
            finally:
                os._exit(1)
        theirs.close()
        self._connection = ours
        tree.head, stands.base_address_space, tree.head_pages = _HELLO.unpack(self._receive(_HELLO.size))

    def fileno(self) -> int:
        """Return a descriptor that is readable when the running program has ended."""
        return self._connection.fileno()

    def take_standby(self) -> Standby:
        """Take the standby process; the next one is made when this one has ended."""
        message, fds, _, _ = socket.recv_fds(self._connection, _READY.size, 3)
        if len(message) < _READY.size:
            raise EOFError("the forker has ended")
        pid, nonce = _READY.unpack(message)
        report, output, work = fds
        standby = Standby(os.pidfd_open(pid), report, output, work, nonce)
        self._connection.send(_GIVEN)
        return standby

    def wait(self) -> tuple[int, float]:
        """Wait until the program and all it started have ended; return its exit code and its peak memory in MiB."""
        status, peak_kib = _ENDED.unpack(self._receive(_ENDED.size))
        return os.waitstatus_to_exitcode(status), peak_kib / 1024

    def _receive(self, size: int) -> bytes:
        message = self._connection.recv(size)
        if len(message) < size:
            raise EOFError("the forker has ended")
        return message


class _ForkerProcess:
    """The forker's own process."""

    def __init__(self, connection: socket.socket, stands: Walls, runner: Runner, tree: ProcessTree) -> None:
        self._connection = connection
        self._walls = stands
        self._runner = runner
        self._tree = tree
        self._fork = kernel.bare_fork if threading.active_count() == 1 else os.fork

    def serve(self) -> None:
        """Make one standby process after the other, until the server closes its socket."""
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        # Without a pid namespace, processes that a program leaves behind become the forker's children, to be killed.
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        kernel.name_process(kernel.FORKER)  # standby processes keep this name until they get a program
        if self._walls.mode != "unsafe":
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        os.chdir(self._walls.scratch)
        self._tree.offer_head()
        space = self._tree.become_head()
        self._connection.send(_HELLO.pack(self._tree.head, space, self._tree.head_pages))
        untouched = walls.scratch_state(self._walls)
        while True:
            pid, message, fds = self._make_standby()
            _announce(self._connection, message, fds)
            if not self._connection.recv(1):
                os._exit(0)
            status, usage = os.wait4(pid, 0)[1:]
            if not self._walls.own_pids:
                self._tree.kill()
            if walls.scratch_state(self._walls) != untouched:
                walls.fresh_scratch(self._walls)
                untouched = walls.scratch_state(self._walls)
            self._connection.send(_ENDED.pack(status, usage.ru_maxrss))

    def _make_standby(self) -> tuple[int, bytes, list[int]]:
        """Fork a standby process; return its pid, its announcement, and the descriptors to send with it."""
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
    """In the program's process: build its walls, wait for the work, run it. Never returns."""
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
        runners_part, bounds, text = job
        if text:
            os.write(_STDIN, text)
            os.lseek(_STDIN, 0, os.SEEK_SET)
            os.dup2(_STDIN, 0)
        os.close(_STDIN)
        del job, text  # what a program reads from its input is not to be found in its memory
        walls.limit_resources(bounds)
        os.write(_REPORT, begun)  # last: whatever is reported after it is the program's
    except BaseException as error:
        os.write(channel, _report(nonce, {"unready": f"{type(error).__name__}: {error}"}))
        os._exit(1)
    try:
        runner.run(runners_part, _REPORT, nonce)
    finally:
        os._exit(1)


def _report(nonce: bytes, message: dict[str, Any]) -> bytes:
    data = json.dumps(message).encode()
    return nonce + HEADER.pack(len(data)) + data


def _receive_work() -> tuple[Any, list[tuple[int, int]], bytes] | None:
    """Read what `Standby.give` wrote; None when the pipe was closed without work."""
    chunks = []
    while chunk := os.read(_WORK, 1 << 16):
        chunks.append(chunk)
    os.close(_WORK)
    return marshal.loads(b"".join(chunks)) if chunks else None
