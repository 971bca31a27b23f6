"""The guard: started by the user's process, it starts a server behind its walls.

The guard writes the id maps of the server's user namespace, adopts processes that outlive the server, and dies with its
parent. Where programs have no pid namespace and no mounts, it first ends what is left of them and removes their
scratch.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from typing import Any

from selfcodealign.sandbox.isolation import kernel, walls
from selfcodealign.sandbox.isolation.scratch_owner import remove_scratch
from selfcodealign.sandbox.isolation.walls import WallRefused
from selfcodealign.sandbox.server.frames import receive_frame, send_frame
from selfcodealign.sandbox.server.process_tree import ProcessTree
from selfcodealign.sandbox.server.server import run_server

_NAMESPACES = (
    ("mount namespace", kernel.CLONE_NEWNS),
    ("ipc namespace", kernel.CLONE_NEWIPC),
    ("uts namespace", kernel.CLONE_NEWUTS),
    ("network namespace", kernel.CLONE_NEWNET),
    ("pid namespace", kernel.CLONE_NEWPID),
)


def guard(control_fd: int) -> None:
    """Entry point of the started process: start the server behind its walls, then wait for its processes."""
    parent = os.getppid()
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    connection = socket.socket(fileno=control_fd)
    settings = receive_frame(connection)
    if settings is None:
        return
    try:
        server_pid = _start_server(connection, settings)
    except WallRefused as refused:
        send_frame(connection, {"refused": refused.wall, "error": str(refused)})
        return
    connection.close()
    scratch = settings["scratch"] if settings["mode"] != "namespaces" else ""
    if scratch:
        _end_server_with(parent, server_pid)
    _outlive(server_pid)
    if scratch:  # a parent that still lives does the same; whether it does cannot be told while it is being killed
        remove_scratch(scratch)


def _end_server_with(parent: int, server_pid: int) -> None:
    """When the parent is killed, end the server instead of the guard, which then clears up."""

    def end_server(*_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(server_pid, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end_server)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the call, so that no signal comes
        end_server()


def _outlive(server_pid: int) -> None:
    """Wait for the server, then kill what is left of its programs (nothing, where they had a pid namespace)."""
    with suppress(ChildProcessError):
        while os.wait()[0] != server_pid:
            pass
        ProcessTree().kill()


def _start_server(connection: socket.socket, settings: dict[str, Any]) -> int:
    if settings["mode"] != "namespaces":
        pid = os.fork()
        if pid == 0:
            run_server(connection, settings, None)
        return pid
    own_user = walls.FIRST_OWN_USER + os.getpid() if os.geteuid() == 0 else None
    ready, mapped = socket.socketpair()
    first = os.fork()
    if first == 0:
        ready.close()
        _enter_namespaces(connection, settings, mapped, own_user is not None)
    mapped.close()
    if not ready.recv(1):
        os.waitpid(first, 0)
        os._exit(0)  # the child has reported the reason
    rich_map = _write_id_maps(first, own_user)
    ready.send(b"2" if rich_map else b"1")
    pid = int(ready.recv(16) or b"0")
    os.waitpid(first, 0)
    if pid:
        ready.send(b"g")
        pid = _only_child()
    return pid


def _only_child() -> int:
    with open(f"/proc/self/task/{os.getpid()}/children") as children:
        return int(children.read().split()[0])


def _write_id_maps(pid: int, own_user: int | None) -> bool:
    """Map the namespace's users; True when it has its own unprivileged user beside the one that started it."""
    outside = (os.geteuid(), os.getegid())
    with open(f"/proc/{pid}/setgroups", "w") as file:
        if own_user is None:
            file.write("deny")
        else:
            file.write("allow")
    try:
        for kind, outer in (("gid", outside[1]), ("uid", outside[0])):
            lines = (
                f"{walls.INSIDE_ID} {outer} 1" if own_user is None else f"0 {outer} 1\n{walls.INSIDE_ID} {own_user} 1"
            )
            with open(f"/proc/{pid}/{kind}_map", "w") as file:
                file.write(lines)
    except OSError as error:
        raise WallRefused("user namespace", error) from None
    return own_user is not None


def _enter_namespaces(
    connection: socket.socket, settings: dict[str, Any], mapped: socket.socket, is_root: bool
) -> None:
    """In the guard's first child: enter every namespace and start the server as pid 1 of a new pid namespace."""
    wall = "user namespace"
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
        mapped.send(b"u")
        if not mapped.recv(1):
            os._exit(1)
        for wall, flag in _NAMESPACES:  # noqa: B007
            kernel.unshare(flag)
    except OSError as error:
        send_frame(connection, {"refused": wall, "error": str(error)})
        os._exit(1)
    pid = os.fork()
    if pid == 0:
        mapped.recv(1)
        run_server(connection, settings, walls.INSIDE_ID if is_root else None)
    mapped.send(str(pid).encode())
    os._exit(0)
