"""The fork server: a warm interpreter that gives every program a fresh process behind walls.

    user's process ── guard ── server (pid 1 of its namespaces) ─┬─ forker ── program (pid 1 of its own pid namespace)
                                                                 └─ pair forker ── response, judge

The server holds no secret of the user. It reads jobs from one socket, builds programs, sends them to standby processes,
watches time, memory and output, kills, and answers with its observations.
"""

from __future__ import annotations

import gc
import importlib
import io
import os
import signal
import socket
import sys
import warnings
from contextlib import redirect_stderr, suppress
from typing import Any

from selfcodealign.sandbox.isolation import kernel, landlock, loopback, seccomp, walls
from selfcodealign.sandbox.isolation.scratch import ScratchUse
from selfcodealign.sandbox.isolation.scratch_files import fetch_files, put_files
from selfcodealign.sandbox.isolation.walls import WallRefused, Walls
from selfcodealign.sandbox.language import Refused
from selfcodealign.sandbox.server.forker import Forker, Standby
from selfcodealign.sandbox.server.frames import receive_frame, send_frame
from selfcodealign.sandbox.server.pair_forker import PairForker
from selfcodealign.sandbox.server.process_tree import ProcessTree
from selfcodealign.sandbox.server.watch import UNSTARTED, Watch


def run_server(connection: socket.socket, settings: dict[str, Any], become: int | None) -> None:
    """In the server's process: build the walls, load the libraries, serve until the socket closes. Never returns."""
    code = 0
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        server = Server(connection, settings, become)
        server.serve()
    except WallRefused as refused:
        send_frame(connection, {"refused": refused.wall, "error": str(refused)})
    except (BrokenPipeError, ConnectionResetError):
        pass  # the user's process has ended: there is no one to report to
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
        tree = ProcessTree()
        # Before the root folder changes: the runner is not an installed library.
        self._runner = importlib.import_module(settings["runner"]).Runner()
        self._walls = _put_up(settings, become)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # again: a change of the user clears it
        if settings["split"]:
            self._walls.own_processes += 3  # the pair forker, and the standby processes of the one or the other
        _warm_up(settings["warm"])
        self._runner.settle()
        gc.collect()
        gc.freeze()
        self._forker = Forker(self._walls, self._runner, tree)
        self._pair_forker = PairForker(self._forker, self._runner) if settings["split"] else None
        os.chdir("/")  # the forker renews the scratch

    def serve(self) -> None:
        """Answer jobs until the other side closes."""
        send_frame(self._connection, {"ready": True, "landlock": landlock.landlock_abi()})
        while (job := receive_frame(self._connection)) is not None:
            send_frame(self._connection, {"outcomes": [self._run(job)]})

    def _run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run the program and return the outcome."""
        work = self._runner.build_pair(job) if job.get("split") else self._runner.build(job)
        if isinstance(work, Refused):
            return {**UNSTARTED, "reports": [work.report]}
        forker = self._choose_forker(job)
        wanted = job.get("fetch") or []
        program = forker.take_standby(keep_scratch=bool(wanted))
        put_files(self._walls.scratch, job.get("files") or {})
        limits = job["limits"]
        if job["together"]:
            limits = limits | {"seconds": limits["seconds"] * len(job["versions"])}
        bounds = walls.resource_bounds(forker.walls, limits)
        program.give(work, bounds, job["stdin"].encode("utf-8", "replace"), job.get("as_command", False))
        outcome = self._supervise(program, forker, job)
        if wanted:  # every process of the program has ended
            outcome["files"] = fetch_files(self._walls.scratch, wanted)
            forker.release_scratch()
        return outcome

    def _choose_forker(self, job: dict[str, Any]) -> Forker:
        if not job.get("split"):
            return self._forker
        if self._pair_forker is None:
            raise RuntimeError("this server was started without a pair forker")
        return self._pair_forker

    def _supervise(self, program: Standby, forker: Forker, job: dict[str, Any]) -> dict[str, Any]:
        limits = job["limits"]
        use = None if self._walls.own_pids else ScratchUse(self._walls.scratch, limits["scratch_mib"])
        watch = Watch(self._connection.fileno(), forker)
        outcome = watch.supervise(
            program, limits, job["keep_output_kib"] * 1024, use, job["together"], job.get("as_command", False)
        )
        why = program.find_unready(outcome)
        program.close()
        if why:  # not the program's fault: it was never started
            raise RuntimeError(f"the standby process did not start its program: {why}")
        return outcome


def _put_up(settings: dict[str, Any], become: int | None) -> Walls:
    """Build the walls that all programs of this server share."""
    mode = settings["mode"]
    readable = walls.readable_paths(settings["readable"])
    found = Walls(mode, readable, settings["scratch"], settings["scratch_mib"], left_out=set(settings["left_out"]))
    walls.stop_core_dumps()
    if mode == "unsafe":
        found.own_user = False
        walls.fresh_scratch(found, renew=False)
        return found
    wall = "system call filter"
    found.loopback = mode == "namespaces" and loopback.bring_up()
    try:
        signals_stay_inside = landlock.landlock_abi() >= landlock.FIRST_WITH_SIGNALS
        if mode == "namespaces" or signals_stay_inside:
            instructions = seccomp.assemble(
                only_landlock=mode == "landlock", own_group=signals_stay_inside, loopback=found.loopback
            )
            found.filter = seccomp.compile_filter(instructions)
        if mode == "namespaces":
            wall = "pid namespace"
            found.own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            wall = "private root folder"
            walls.enter_root(readable)
            wall = "separate user"
            walls.become_powerless(become)
            walls.hide_name()
            found.readable += loopback.HOSTS
            found.scratch = walls.SCRATCH
        elif landlock.landlock_abi() < landlock.FIRST_WITH_TRUNCATE:
            raise WallRefused("Landlock", f"its version is {landlock.landlock_abi()}, and below 3 files can be emptied")
        else:
            wall = "separate user"
            found.own_user = walls.leave_root_behind(found.scratch)
            found.hides_descriptors = os.geteuid() == 0  # root by name, without the capability to read them
        wall = "scratch folder"
        walls.fresh_scratch(found, renew=False)
    except OSError as error:
        raise WallRefused(wall, error) from None
    return found


def _warm_up(libraries: list[str]) -> None:
    """Import the libraries to keep warm; one that is not installed is left out.

    What they print while they look for /proc or a cache folder is not shown.
    """
    for name in libraries:
        with suppress(ImportError), warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            importlib.import_module(name)
    sys.argv = ["program"]
