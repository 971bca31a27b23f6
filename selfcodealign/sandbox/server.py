"""The fork server: a warm interpreter that gives every program a fresh, walled process of its own.

    user's process ── guard ── server (pid 1 of its own namespaces) ── program (pid 1 of its own pid namespace)

The server holds no secret of the user; it reads jobs from one socket, forks, watches the clock, memory and output,
kills, and answers with what it saw.
"""

from __future__ import annotations

import gc
import importlib
import marshal
import os
import signal
import socket
import sys
import threading
import warnings
from contextlib import suppress
from typing import Any

from selfcodealign.sandbox import kernel, landlock, seccomp, walls
from selfcodealign.sandbox.frames import HEADER, receive_frame, send_frame
from selfcodealign.sandbox.language import BuildError
from selfcodealign.sandbox.walls import WallRefused, Walls
from selfcodealign.sandbox.watch import UNSTARTED, Watch


def run_server(connection: socket.socket, settings: dict[str, Any], become: int | None) -> None:
    """In the server's process: put up the walls, load the libraries, serve until the socket closes. Never returns."""
    code = 0
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        # Where no pid namespace ends them all at once, what a program leaves behind becomes the server's to kill.
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        server = Server(connection, settings, become)
        server.serve()
    except WallRefused as refused:
        send_frame(connection, {"refused": refused.wall, "error": str(refused)})
    except (BrokenPipeError, ConnectionResetError):
        pass  # the user's process is gone, and so is the one to tell
    except BaseException as error:
        code = 1
        with suppress(OSError):
            send_frame(connection, {"broken": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(code)


class Server:
    """One warm interpreter behind its walls."""

    def __init__(self, connection: socket.socket, settings: dict[str, Any], become: int | None) -> None:
        self._connection = connection
        self._watch = Watch(connection.fileno())
        # Before the root folder changes: the runner is no installed library.
        self._runner = importlib.import_module(settings["runner"]).Runner()
        self._walls = _put_up(settings, become)
        _warm_up(settings["warm"])
        self._runner.settle()
        self._fork = kernel.bare_fork if threading.active_count() == 1 else os.fork
        self._walls.base_address_space = self._watch.measure_itself()

    def serve(self) -> None:
        """Answer jobs until the other side closes."""
        send_frame(self._connection, {"ready": True, "landlock": landlock.landlock_abi()})
        gc.collect()
        gc.freeze()
        before = walls.scratch_state(self._walls)
        while (job := receive_frame(self._connection)) is not None:
            answer = self._answer(job)
            if walls.scratch_state(self._walls) != before:
                walls.fresh_scratch(self._walls)
                before = walls.scratch_state(self._walls)
            send_frame(self._connection, answer)

    def _answer(self, job: dict[str, Any]) -> dict[str, Any]:
        try:
            ready = self._runner.get_ready(job)
        except BuildError as error:
            return {**UNSTARTED, "reports": [self._runner.refuse(error)]}
        nonce = os.urandom(16)
        report_out, report_in = os.pipe2(os.O_CLOEXEC)
        output_out, output_in = os.pipe2(os.O_CLOEXEC)
        fresh_pids = self._walls.own_pid_namespace >= 0 and self._walls.has("pid namespace")
        if fresh_pids:
            kernel.unshare(kernel.CLONE_NEWPID)
        bounds = walls.resource_bounds(self._walls, job["limits"])
        pid = self._fork()
        if pid == 0:
            self._become_program(job, ready, bounds, nonce, report_in, output_in)
        if fresh_pids:
            kernel.set_namespace(self._walls.own_pid_namespace, kernel.CLONE_NEWPID)
        os.close(report_in)
        os.close(output_in)
        over_scratch = None if fresh_pids else lambda: walls.used_mib(self._walls) > job["limits"]["scratch_mib"]
        return self._watch.see_to_its_end(pid, job, nonce, report_out, output_out, fresh_pids, over_scratch)

    def _become_program(
        self, job: dict[str, Any], ready: Any, bounds: list[tuple[int, int]], nonce: bytes, report: int, output: int
    ) -> None:
        """In the program's process. Never returns."""
        channel = report
        try:
            stdin = os.memfd_create("stdin") if job["stdin"] else os.open("/dev/null", os.O_RDONLY)
            if job["stdin"]:
                os.write(stdin, job["stdin"].encode("utf-8", "replace"))
                os.lseek(stdin, 0, os.SEEK_SET)
            highest = int(job["limits"]["open_files"]) - 1
            for source, target in ((stdin, 0), (output, 1), (output, 2), (report, highest)):
                os.dup2(source, target, inheritable=target <= 2)
            channel = highest
            ruleset = self._walls.ruleset
            if ruleset >= 0:
                os.dup2(ruleset, 3, inheritable=False)
                self._walls.ruleset = 3
            os.closerange(4 if ruleset >= 0 else 3, highest)
            os.closerange(highest + 1, highest + 4096)
            walls.limit_resources(bounds)
            walls.close_walls(self._walls)
            if ruleset >= 0:
                os.close(3)
        except BaseException as error:
            message = marshal.dumps({"unready": f"{type(error).__name__}: {error}"})
            os.write(channel, nonce + HEADER.pack(len(message)) + message)
            os._exit(1)
        try:
            self._runner.run(job, ready, highest, nonce)
        finally:
            os._exit(1)


def _put_up(settings: dict[str, Any], become: int | None) -> Walls:
    """Put up the walls that all programs of this server share."""
    mode = settings["mode"]
    readable = walls.readable_paths(settings["readable"])
    found = Walls(mode, readable, settings["scratch"], settings["scratch_mib"], left_out=set(settings["left_out"]))
    if mode == "unsafe":
        found.own_user = False
        walls.fresh_scratch(found, renew=False)
        return found
    wall = "system call filter"
    try:
        if mode == "namespaces" or landlock.landlock_abi() >= landlock.FIRST_WITH_SIGNALS:
            found.filter = seccomp.compile_filter(seccomp.assemble(only_landlock=mode == "landlock"))
        if mode == "namespaces":
            wall = "pid namespace"
            found.own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            wall = "private root folder"
            walls.enter_root(readable)
            wall = "user of its own"
            walls.become_powerless(become)
            walls.hide_network_and_name()
            found.scratch = walls.SCRATCH
        elif landlock.landlock_abi() < landlock.FIRST_WITH_TRUNCATE:
            raise WallRefused("Landlock", f"its version is {landlock.landlock_abi()}, and below 3 files can be emptied")
        else:
            wall = "user of its own"
            found.own_user = walls.leave_root_behind(found.scratch)
        wall = "scratch folder"
        walls.fresh_scratch(found, renew=False)
    except OSError as error:
        raise WallRefused(wall, error) from None
    return found


def _warm_up(libraries: list[str]) -> None:
    """Import the libraries to keep warm; one that is not installed is left out."""
    for name in libraries:
        with suppress(ImportError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(name)
    sys.argv = ["program"]
