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
from typing import Any, ClassVar

from selfcodealign.sandbox.isolation import kernel, walls
from selfcodealign.sandbox.isolation.walls import Walls
from selfcodealign.sandbox.language import Runner
from selfcodealign.sandbox.server.frames import HEADER
from selfcodealign.sandbox.server.process_tree import ProcessTree
from selfcodealign.sandbox.server.reports import BEGUN, NONCE_BYTES

_HELLO = struct.Struct("!qqq")  # the forker's pid on the host, its address space in bytes, its resident pages
READY = struct.Struct(f"!q{NONCE_BYTES}s")  # a standby process: its pid, and the secret of its reports
_ENDED = struct.Struct("!qq")  # an ended process: its wait status, its peak memory in KiB
GIVEN = b"!"  # the standby process was taken for a program
KEPT = b"k"  # the same, and the scratch stays until the server has read from it
# Descriptors in a program's process, above those that the program opens. The two processes of a pair also have a link.
_ERRORS, _REPORT, _WORK, _STDIN, LINK = 249, 250, 251, 252, 253


@dataclass(slots=True)
class Standby:
    """A standby process, by the server's descriptors: its pidfd, its reports, its output, the pipe for its work.

    `errors` is a pipe of stderr alone, for a program that wants it apart; -1 where there is none.
    """

    ended: int
    report: int
    output: int
    work: int
    nonce: bytes
    errors: int

    def give(self, part: Any, bounds: list[tuple[int, int]], stdin: bytes, errors_apart: bool = False) -> None:
        """Send the runner's part, a marshal value, with the rlimits and the input; stderr goes to `errors` if wanted,
        else into the output."""
        send_work(self.work, (part, bounds, stdin, errors_apart))

    def find_unready(self, outcome: dict[str, Any]) -> str:
        """Say why the program, which has ended with this outcome, was never started; empty when it was."""
        if BEGUN in outcome["reports"]:
            return ""
        return str(outcome["reports"] or outcome["ended_by"] or f"exit code {outcome['exit_code']}")

    def kill(self) -> None:
        """Kill the process, and with it its pid namespace."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.ended, signal.SIGKILL)

    def close(self) -> None:
        """Close the descriptors."""
        for fd in (self.ended, self.report, self.output, self.errors):
            if fd >= 0:
                os.close(fd)


def send_work(pipe: int, work: Any) -> None:
    """Write the work for a standby process and close the pipe; one that has ended shows by its missing report."""
    data = memoryview(marshal.dumps(work))
    with suppress(BrokenPipeError):
        while data:
            data = data[os.write(pipe, data) :]
    os.close(pipe)


class Forker:
    """The forker, controlled from the server."""

    #: Processes that a program begins with.
    PROCESSES: ClassVar[int] = 1

    def __init__(self, stands: Walls, runner: Runner, tree: ProcessTree) -> None:
        """Start the forker. Programs inherit the imports of the calling process."""
        self.walls = stands
        self.tree = tree
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            ours.close()
            try:
                self._make_process(theirs, runner).serve()
            finally:
                os._exit(1)
        theirs.close()
        self._connection = ours
        tree.head, stands.base_address_space, tree.head_pages = _HELLO.unpack(self._receive(_HELLO.size))

    def _make_process(self, connection: socket.socket, runner: Runner) -> ForkerProcess:
        return ForkerProcess(connection, self.walls, runner, self.tree)

    def fileno(self) -> int:
        """Return a descriptor that is readable when the running program has ended."""
        return self._connection.fileno()

    def take_standby(self, keep_scratch: bool = False) -> Standby:
        """Take the standby process; the next one is made when this one has ended.

        With `keep_scratch`, what the program leaves in its scratch stays until `release_scratch`.
        """
        pid, nonce, (report, output, work, errors) = self._receive_standby(4)
        standby = Standby(os.pidfd_open(pid), report, output, work, nonce, errors)
        self._connection.send(KEPT if keep_scratch else GIVEN)
        return standby

    def release_scratch(self) -> None:
        """Let the forker renew a scratch that was kept, and make the next standby process."""
        self._connection.send(GIVEN)

    def wait(self) -> tuple[dict[str, int | None], float]:
        """Wait until the program and all it started have ended; return its `exit_code` and its peak memory in MiB."""
        status, peak_kib = _ENDED.unpack(self._receive(_ENDED.size))
        return {"exit_code": os.waitstatus_to_exitcode(status)}, peak_kib / 1024

    def _receive_standby(self, descriptors: int) -> tuple[int, bytes, list[int]]:
        message, fds, _, _ = socket.recv_fds(self._connection, READY.size, descriptors)
        if len(message) < READY.size:
            raise EOFError("the forker has ended")
        return *READY.unpack(message), fds

    def _receive(self, size: int) -> bytes:
        message = self._connection.recv(size)
        if len(message) < size:
            raise EOFError("the forker has ended")
        return message


class ForkerProcess:
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
        self.await_first()
        untouched = walls.scratch_state(self._walls)
        while True:
            announce(self._connection, *self.make_standby())
            kept = self.await_message() == KEPT
            ended = self.await_end()
            if not self._walls.own_pids:
                self._tree.kill()
            if kept:
                self._connection.send(ended)
                self.await_message()
            if walls.scratch_state(self._walls) != untouched:
                walls.fresh_scratch(self._walls)
                untouched = walls.scratch_state(self._walls)
            if not kept:
                self._connection.send(ended)

    def await_message(self) -> bytes:
        """Wait for a word of the server; exit when it closed its socket."""
        if word := self._connection.recv(1):
            return word
        os._exit(0)

    def await_first(self) -> None:
        """Wait until the first standby process is wanted: at once."""

    def make_standby(self) -> tuple[bytes, list[int]]:
        """Fork a standby process; return its announcement, and the descriptors to send with it."""
        nonce = os.urandom(NONCE_BYTES)
        report_out, report_in = os.pipe2(os.O_CLOEXEC)
        output_out, output_in = os.pipe2(os.O_CLOEXEC)
        work_out, work_in = os.pipe2(os.O_CLOEXEC)
        errors_out, errors_in = os.pipe2(os.O_CLOEXEC)
        self._pid = self.fork(nonce, report_in, output_in, work_out, errors=errors_in)
        close_all(report_in, output_in, work_out, errors_in)
        return READY.pack(self._pid, nonce), [report_out, output_out, work_in, errors_out]

    def await_end(self) -> bytes:
        """Wait until the program's first process has ended; return what the server is told."""
        status, usage = os.wait4(self._pid, 0)[1:]
        return _ENDED.pack(status, usage.ru_maxrss)

    def fork(self, nonce: bytes, report: int, output: int, work: int, link: int = -1, errors: int = -1) -> int:
        """Fork a process with these descriptors into its own pid namespace, where there are any; return its pid."""
        if self._walls.own_pids:
            kernel.unshare(kernel.CLONE_NEWPID)
        pid = self._fork()
        if pid == 0:
            _become_program(self._walls, self._runner, nonce, report, output, work, link, errors)
        if self._walls.own_pids:
            kernel.set_namespace(self._walls.own_pid_namespace, kernel.CLONE_NEWPID)
        return pid


def close_all(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def announce(connection: socket.socket, message: bytes, fds: list[int]) -> None:
    """Tell the server of a standby process, and hand it the descriptors."""
    socket.send_fds(connection, [message], fds)
    close_all(*fds)


def _become_program(
    stands: Walls, runner: Runner, nonce: bytes, report: int, output: int, work: int, link: int, errors: int
) -> None:
    """In the program's process: build its walls, wait for the work, run it. Never returns.

    With a `link`, the process is one of a pair: with a nonce the judge, without one the response. `errors` takes stderr
    if the work asks for that.
    """
    channel = report
    try:
        kernel.quick_syscall(kernel.SYS_PRCTL, kernel.PR_SET_PDEATHSIG, signal.SIGKILL, what="prctl")
        stdin = os.memfd_create("stdin")
        null = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((null, 0), (output, 1), (output, 2), (report, _REPORT), (work, _WORK), (stdin, _STDIN)):
            os.dup2(source, target, inheritable=target <= 2)
        if link >= 0:
            os.dup2(link, LINK, inheritable=False)
        if errors >= 0:
            os.dup2(errors, _ERRORS, inheritable=False)
        channel = _REPORT
        ruleset = stands.ruleset
        if ruleset >= 0:
            os.dup2(ruleset, 3, inheritable=False)
            stands.ruleset = 3
        os.closerange(4 if ruleset >= 0 else 3, _REPORT if errors < 0 else _ERRORS)
        os.closerange(LINK if link < 0 else LINK + 1, LINK + 4096)
        walls.close_walls(stands)
        if ruleset >= 0:
            os.close(3)
        begun = make_report(nonce, BEGUN)
        job = _receive_work()
        if job is None:
            os._exit(0)
        kernel.name_process(kernel.PROGRAM)
        part, bounds, text, errors_apart = job
        if errors_apart:
            os.dup2(_ERRORS, 2)
        if errors >= 0:
            os.close(_ERRORS)
        if text:
            os.write(_STDIN, text)
            os.lseek(_STDIN, 0, os.SEEK_SET)
            os.dup2(_STDIN, 0)
        os.close(_STDIN)
        del job, text  # what a program reads from its input is not to be found in its memory
        walls.limit_resources(bounds)
        os.write(_REPORT, begun)  # last: whatever is reported after it is the program's
    except BaseException as error:
        os.write(channel, make_report(nonce, {"unready": f"{type(error).__name__}: {error}"}))
        os._exit(1)
    try:
        if link < 0:
            runner.run(part, _REPORT, nonce)
        elif nonce:
            runner.run_judge(part, _REPORT, nonce, LINK)
        else:
            os.close(_REPORT)
            runner.run_response(part, LINK)
    finally:
        os._exit(1)


def make_report(nonce: bytes, message: dict[str, Any]) -> bytes:
    """A report as the server reads it. The response's process has no nonce: its only one leaves before it runs."""
    data = json.dumps(message).encode()
    return nonce + HEADER.pack(len(data)) + data


def _receive_work() -> tuple[Any, list[tuple[int, int]], bytes, bool] | None:
    """Read what `send_work` wrote; None when the pipe was closed without work."""
    chunks = []
    while chunk := os.read(_WORK, 1 << 16):
        chunks.append(chunk)
    os.close(_WORK)
    return marshal.loads(b"".join(chunks)) if chunks else None
