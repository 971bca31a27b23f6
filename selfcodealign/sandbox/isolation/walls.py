"""The walls around a program: those that the server enters once, and those of each program.

Once per server: a user namespace (with its own unprivileged user), pid, mount, ipc, uts and net namespaces, and a root
folder that holds only the interpreter, its libraries and a scratch. Once per program: a pid namespace, limits, no
capabilities, Landlock, and the system call filter.
"""

from __future__ import annotations

import os
import resource
import socket
import stat
import sys
import sysconfig
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from selfcodealign.sandbox.isolation import kernel, landlock, loopback, scratch, seccomp

INSIDE_ID = 1000  # the user and group a program sees itself as, in a user namespace
# Outside, a server started by root runs as this user + its pid: no one else is that user, so processes can be counted.
FIRST_OWN_USER = 0x60000000
SCRATCH = "/scratch"  # in a private root folder; also known as /tmp and /dev/shm there
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_SHELL = "/bin/sh"  # of `shell=True`; no other command is there
_TIME_ZONES = "/usr/share/zoneinfo"
_ROOT_MIB = 1
_LEAST_OPEN_FILES = 16


class WallRefused(Exception):
    """The machine refuses a wall: `wall` names it, the message is the error."""

    def __init__(self, wall: str, error: object) -> None:
        super().__init__(f"{error}")
        self.wall = wall


@dataclass
class Walls:
    """The walls around the programs of one server."""

    mode: str
    readable: list[str]
    scratch: str
    scratch_mib: int
    ruleset: int = -1
    filter: seccomp.Filter | None = None  # None: made for each program, because it contains the pid
    own_pid_namespace: int = -1
    loopback: bool = False  # programs may make sockets that reach only themselves
    base_address_space: int = 0
    own_user: bool = True
    own_processes: int = 2  # of the user beside the program: server and forker
    hides_descriptors: bool = False  # the server may not read what descriptors its programs have open
    others: int = 0
    counted_at: float = -10.0
    left_out: set[str] = field(default_factory=set)  # measurements only: walls not put up

    def has(self, wall: str) -> bool:
        return wall not in self.left_out

    @property
    def own_pids(self) -> bool:
        """Whether each program has its own pid namespace, which ends all its processes with it."""
        return self.own_pid_namespace >= 0 and self.has("pid namespace")


def readable_paths(extra: list[str]) -> list[str]:
    """Return the paths of interpreter, libraries, shared libraries, time zones and shell; nothing of the user's."""
    paths = [
        path for name, path in sysconfig.get_paths().items() if name in ("stdlib", "platstdlib", "purelib", "platlib")
    ]
    paths += [os.path.join(sys.base_prefix, "lib"), *_SYSTEM_LIBRARIES, _TIME_ZONES, _SHELL]
    paths += [entry for entry in sys.path if "site-packages" in entry or "dist-packages" in entry]
    paths += [os.path.join(sys.prefix, "pyvenv.cfg")]
    interpreter = sys.executable
    while os.path.islink(interpreter):
        paths.append(interpreter)
        interpreter = os.path.normpath(os.path.join(os.path.dirname(interpreter), os.readlink(interpreter)))
    paths += [interpreter, *extra]
    return sorted({os.path.abspath(path) for path in paths if os.path.exists(path)})


def enter_root(readable: list[str]) -> None:
    """Replace the root of this mount namespace by an empty one with `readable` and devices in it, read-only."""
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    stage = next(path for path in ("/tmp", "/var/tmp", "/mnt", "/run") if os.path.isdir(path))
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", stage, "tmpfs", flags, f"mode=755,size={_ROOT_MIB}m")
    os.mkdir(f"{stage}/old")
    os.mkdir(f"{stage}/new")
    os.chdir(stage)
    kernel.syscall(kernel.SYS_PIVOT_ROOT, b".", b"old", what="pivot_root")
    os.chdir("/")
    kernel.mount("tmpfs", "/new", "tmpfs", flags, f"mode=755,size={_ROOT_MIB}m")
    bound: list[str] = []
    for path in [*readable, *DEVICES]:
        # A path inside a bound folder is bound with it.
        if not any(path.startswith(f"{folder}/") for folder in bound):
            bound.append(path)
            _bind(path)
    for path, text in loopback.HOSTS.items():
        os.makedirs(os.path.dirname(f"/new{path}"), exist_ok=True)
        with open(f"/new{path}", "w") as file:
            file.write(text)
    os.mkdir(f"/new{SCRATCH}")
    os.symlink(SCRATCH, "/new/dev/shm")
    if not os.path.lexists("/new/tmp"):  # it exists as a folder when a readable path is below it
        os.symlink(SCRATCH, "/new/tmp")
    kernel.pivot_root("/new")
    # Devices are bound files of the host, each on its own mount: nodev would make them unusable.
    kernel.seal_mount("/", kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID)


def _bind(path: str) -> None:
    source = _resolve_in_old_root(path)
    target = f"/new{path}"
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC))
    kernel.mount(source, target, "", kernel.MS_BIND | kernel.MS_REC)


def _resolve_in_old_root(path: str) -> str:
    """Resolve symbolic links as before the root moved to /old."""
    resolved = "/old"
    parts = [part for part in path.split("/") if part]
    hops = 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            resolved = os.path.dirname(resolved) if resolved != "/old" else resolved
            continue
        candidate = f"{resolved}/{part}"
        if os.path.islink(candidate) and hops < 40:
            hops += 1
            goal = os.readlink(candidate)
            if goal.startswith("/"):
                resolved = "/old"
            parts = [piece for piece in goal.split("/") if piece not in ("", ".")] + parts
        else:
            resolved = candidate
    return resolved


def become_powerless(own_user: int | None) -> None:
    """Change from root to `own_user` (None: this process is not root); keep capabilities over its own namespaces."""
    if own_user is None:
        return
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(own_user, own_user, own_user)
    os.setresuid(own_user, own_user, own_user)
    kernel.keep_permitted_capabilities()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)


def leave_root_behind(scratch: str) -> bool:
    """Without namespaces: change the user of a server that root started. True when it now has its own user.

    Where that user could not read the interpreter (in root's home folder), only the real user changes: enough to count
    its processes separately, while dropping the capabilities removes root's privileges.
    """
    if os.geteuid() != 0:
        return False
    own_user = FIRST_OWN_USER + os.getpid()
    os.setgroups([])
    os.setresgid(own_user, own_user, own_user)
    os.setresuid(own_user, 0, 0)
    if os.access(os.__file__, os.R_OK) and os.access(sys.executable, os.X_OK):  # checks the real user
        for folder in (scratch, os.path.dirname(scratch)):
            os.chown(folder, own_user, own_user)
        os.setresuid(own_user, own_user, own_user)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    else:
        kernel.prctl(kernel.PR_SET_SECUREBITS, kernel.SECBIT_NOROOT_LOCKED)
        kernel.drop_capabilities()
    return True


def fresh_scratch(walls: Walls, renew: bool = True) -> None:
    """Make an empty scratch for the next program, and Landlock rules for it."""
    if walls.mode == "namespaces":
        if renew:
            kernel.unmount(walls.scratch)
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        data = f"mode=700,uid={INSIDE_ID},gid={INSIDE_ID},size={walls.scratch_mib}m,nr_inodes={scratch.MOST_FILES}"
        kernel.mount("tmpfs", walls.scratch, "tmpfs", flags, data)
    elif renew:
        scratch.renew(walls.scratch)
    if walls.mode != "unsafe" and landlock.landlock_abi():
        if walls.ruleset >= 0:
            os.close(walls.ruleset)
        walls.ruleset = landlock.make_ruleset(walls.readable, [walls.scratch], DEVICES, walls.loopback)
    os.chdir(walls.scratch)


def scratch_state(walls: Walls) -> tuple[int, int, int, int, bool]:
    """Return a value that changes when a program touches its scratch folder.

    The kernel's clock for files stands still for milliseconds, so whether anything is left is looked at as well.
    """
    found = os.stat(walls.scratch)
    try:
        left = bool(os.listdir(walls.scratch))
    except OSError:
        left = True
    return found.st_mtime_ns, found.st_ctime_ns, stat.S_IMODE(found.st_mode), found.st_nlink, left


def stop_core_dumps() -> None:
    """Forbid core dumps of this process and all it will start; programs cannot change that limit.

    0 would not stop a dump to a program of the host (a pipe in `core_pattern`, see core(5)); 1 stops both kinds.
    """
    bound = 1 if resource.getrlimit(resource.RLIMIT_CORE)[1] else 0
    resource.setrlimit(resource.RLIMIT_CORE, (bound, bound))


def resource_bounds(walls: Walls, limits: dict[str, Any]) -> list[tuple[int, int]]:
    """The rlimits of a program; `limits` has the fields of `Limits`. Computed in the server, which never forks."""
    mib = 2**20
    bounds = {
        resource.RLIMIT_AS: walls.base_address_space + int(limits["memory_mib"]) * mib,
        resource.RLIMIT_CPU: int(limits["cpu_seconds"] or limits["seconds"]) + 2,
        resource.RLIMIT_FSIZE: int(limits["file_mib"]) * mib,
        resource.RLIMIT_NOFILE: _open_files(walls, limits),
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        # The server's own count too, and so do the user's other processes where it does not have its own.
        resource.RLIMIT_NPROC: int(limits["processes"]) + walls.own_processes + _count_others(walls),
    }
    capped = []
    for which, bound in bounds.items():
        hard = resource.getrlimit(which)[1]
        capped.append((which, bound if hard == resource.RLIM_INFINITY else min(bound, hard)))
    return capped


def _open_files(walls: Walls, limits: dict[str, Any]) -> int:
    """Return the bound on open files; where they cannot be watched, so few that no memory is lost in their buffers."""
    if not walls.hides_descriptors:
        return int(limits["open_files"])
    fitting = int(limits["memory_mib"]) * 2**20 // (int(limits["processes"]) * socket_bytes())
    return min(int(limits["open_files"]), max(fitting, _LEAST_OPEN_FILES))


def socket_bytes() -> int:
    """Return the most that the kernel buffers for one socket: a message is taken while there is any room."""
    one, other = socket.socketpair()
    with one, other:
        return 2 * max(one.getsockopt(socket.SOL_SOCKET, size) for size in (socket.SO_SNDBUF, socket.SO_RCVBUF))


def limit_resources(bounds: list[tuple[int, int]]) -> None:
    """Set the rlimits of the calling process."""
    for which, bound in bounds:
        resource.setrlimit(which, (bound, bound))


def _count_others(walls: Walls) -> int:
    """Count the threads that the same user runs outside the sandbox (0 where the server has its own user)."""
    if walls.own_user:
        return 0
    now = time.monotonic()
    if now > walls.counted_at + 1.0:
        walls.counted_at, walls.others = now, 0
        for entry in os.scandir("/proc"):
            with suppress(OSError, ValueError, StopIteration):
                if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                    walls.others += len(os.listdir(f"/proc/{entry.name}/task"))
    return walls.others


def close_walls(walls: Walls) -> None:
    """Close the walls for this process and all it starts, irreversibly; no_new_privs is already set."""
    if walls.mode == "unsafe":
        return
    if walls.has("capabilities"):
        kernel.drop_capabilities()
    if walls.ruleset >= 0 and walls.has("landlock"):
        landlock.restrict_self(walls.ruleset)
    if walls.has("seccomp"):
        seccomp.install_filter(walls.filter or seccomp.compile_filter(seccomp.assemble(os.getpid(), True)))


def hide_name() -> None:
    """Set an anonymous host name."""
    socket.sethostname("sandbox")
