"""One server, controlled from the user's process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfcodealign.errors import SandboxError
from selfcodealign.sandbox.isolation.cgroups import ControlGroup
from selfcodealign.sandbox.isolation.kernel import FORKER
from selfcodealign.sandbox.isolation.scratch import remove, set_aside
from selfcodealign.sandbox.isolation.scratch_owner import claim_scratch, remove_scratch, sweep_scratches
from selfcodealign.sandbox.isolation.walls import SCRATCH
from selfcodealign.sandbox.server.frames import HEADER

_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from selfcodealign.sandbox.server.guard import guard; "
    "sys.path.remove(sys.argv[1]); guard(int(sys.argv[2]))"
)
_START_SECONDS = 60.0
_CLOSE_SECONDS = 10.0
_FIXES = {
    "user namespace": "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, or the host's "
    'AppArmor / container profile), or take mode="landlock"',
    "Landlock": "boot a kernel ≥ 6.2 with landlock among its security modules (lsm=)",
    "system call filter": "run on x86_64 or aarch64 with a kernel that has seccomp filters",
}


class WorkerDied(Exception):
    """The server died during a request."""


class WallMissing(SandboxError):
    """This machine refuses a wall."""

    def __init__(self, wall: str, error: str, mode: str) -> None:
        fix = _FIXES.get(wall, 'take mode="landlock", which needs no namespaces')
        super().__init__(f"sandbox mode {mode}: this machine refuses the wall '{wall}' ({error}); {fix}")
        self.wall = wall


@dataclass(frozen=True)
class ServerSettings:
    """The settings that a server is started with; servers with equal settings are interchangeable."""

    mode: str
    warm: tuple[str, ...]
    readable: tuple[str, ...]
    scratch_mib: int
    runner: str
    hash_seed: int = 0
    left_out: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = field(default=())
    split: bool = False  # programs may also run in two processes


class Worker:
    """A running server. Not for concurrent use: it runs one program at a time."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch = ""
        self._lock = -1
        self._group: ControlGroup | None = None
        self._removal: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the server. Raises `WallMissing`, or `SandboxError` when it does not start."""
        ours, theirs = socket.socketpair()
        self._scratch = SCRATCH
        if self.settings.mode != "namespaces":
            await asyncio.to_thread(sweep_scratches)
            self._scratch, self._lock = claim_scratch()
        environment = _environment(self.settings, self._scratch)
        command = [sys.executable, "-s", "-P", "-c", _START, _PACKAGE_ROOT, str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        # Before the first message: on it the guard starts the other processes, which then belong to the group.
        self._group = ControlGroup.around(self._process.pid, pairs=self.settings.split)
        ours.setblocking(False)
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 26)
        settings = {
            "mode": self.settings.mode,
            "warm": self.settings.warm,
            "readable": self.settings.readable,
            "scratch": self._scratch,
            "scratch_mib": self.settings.scratch_mib,
            "left_out": self.settings.left_out,
            "runner": self.settings.runner,
            "environment": environment,
            "split": self.settings.split,
        }
        try:
            answer = await asyncio.wait_for(self._ask(settings), _START_SECONDS)
        except (WorkerDied, TimeoutError) as error:
            await self.close()
            raise SandboxError(f"the sandbox server did not start: {error or type(error).__name__}") from None
        except BaseException:
            self._process.kill()  # a server that is starting looks at its socket only when it has loaded its libraries
            await self.close()
            raise
        if "refused" in answer:
            await self.close()
            raise WallMissing(answer["refused"], answer["error"], self.settings.mode)
        if "ready" not in answer:
            await self.close()
            raise SandboxError(f"the sandbox server broke while starting: {answer.get('broken', answer)}")

    async def run(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """Run each version of the program in `message` and return the outcomes. Raises `WorkerDied`."""
        if self._removal is not None:  # no more than one scratch waits to be removed
            await self._removal
            self._removal = None
        outcomes = await self._run(message)
        if os.path.exists(set_aside(self._scratch)):
            self._removal = asyncio.create_task(asyncio.to_thread(remove, set_aside(self._scratch)))
        return outcomes

    async def _run(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        if self._group is None:
            return (await self._ask(message))["outcomes"]
        try:
            self._group.bound(message["limits"])
            outcomes = (await self._ask(message))["outcomes"]
            if self._group.take_memory_kills():
                for outcome in outcomes:
                    if len(outcomes) == 1 or outcome["exit_code"] == -signal.SIGKILL:
                        outcome["ended_by"] = "memory"  # even when only a child was killed
        except OSError as error:
            raise WorkerDied(f"its control group: {error}") from None
        return outcomes

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(message).encode()
        try:
            self._writer.write(HEADER.pack(len(data)) + data)
            await self._writer.drain()
            size = HEADER.unpack(await self._reader.readexactly(HEADER.size))[0]
            answer: dict[str, Any] = json.loads(await self._reader.readexactly(size))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise WorkerDied(str(error)) from None
        if "broken" in answer:
            raise WorkerDied(answer["broken"])
        return answer

    @property
    def pid(self) -> int:
        """The guard's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def has_control_group(self) -> bool:
        """Whether the worker has its own control group."""
        return self._group is not None

    def count_programs(self) -> int:
        """Count the processes below the forkers (the server's children), without the standby processes."""
        server = next(iter(_children(self.pid)), 0)
        waiting = [child for forker in _children(server) for child in _children(forker)]
        count = 0
        while waiting:
            pid = waiting.pop()
            count += _name(pid) != FORKER
            waiting += _children(pid)
        return count

    def abandon(self) -> None:
        """Close the socket: the server then kills its program and exits."""
        self._writer.close()

    async def close(self) -> None:
        """End the server and everything below it, and remove its scratch."""
        with suppress(AttributeError):
            self._writer.close()
        process = self._process
        if process is not None:
            deadline = asyncio.get_running_loop().time() + _CLOSE_SECONDS
            while process.poll() is None and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(0.002)
            if process.poll() is None:
                process.kill()
                await asyncio.to_thread(process.wait)
        if self._group is not None:
            await asyncio.to_thread(self._group.remove)
        if self._scratch and self.settings.mode != "namespaces":
            if self._removal is not None:
                await self._removal
            await asyncio.to_thread(remove_scratch, self._scratch)
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1


def _environment(settings: ServerSettings, scratch: str) -> dict[str, str]:
    """Return the environment of programs: nothing from the user, the same on every machine."""
    fixed = {
        "PATH": os.path.dirname(sys.executable),
        "HOME": scratch,
        "TMPDIR": scratch,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": str(settings.hash_seed),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "MPLBACKEND": "Agg",
    }
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
    return fixed | threads | dict(settings.environment)


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _name(pid: int) -> str:
    """Return the name of a process; empty when the process has ended."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""
