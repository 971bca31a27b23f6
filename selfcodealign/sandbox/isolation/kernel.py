"""The system calls behind the walls, through libc: namespaces, mounts, capabilities, prctl.

Numbers and structures are those of the Linux UAPI headers. Every function raises `OSError` with the call's name, so
that the error can name the wall that the machine refuses.
"""

from __future__ import annotations

import ctypes
import os
import platform

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
AT_FDCWD = -100
AT_RECURSIVE = 0x8000

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_CAPBSET_DROP = 1, 4, 8, 24
PR_SET_NAME = 15
PR_SET_SECUREBITS, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 28, 36, 38
SECBIT_NOROOT_LOCKED = 0b11

# The same on every architecture since they were unified (5.1); pivot_root and seccomp are older.
SYS_MOUNT_SETATTR = 442
SYS_LANDLOCK_CREATE_RULESET, SYS_LANDLOCK_ADD_RULE, SYS_LANDLOCK_RESTRICT_SELF = 444, 445, 446
MACHINE = platform.machine()
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(MACHINE, -1)
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}.get(MACHINE, -1)
SYS_PRCTL = {"x86_64": 157, "aarch64": 167}.get(MACHINE, -1)
SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}.get(MACHINE, -1)

_libc = ctypes.CDLL(None, use_errno=True)
_quick_libc = ctypes.PyDLL(None)
_quick_libc.syscall.restype = ctypes.c_long
_quick_libc.syscall.argtypes = [ctypes.c_long] * 4
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def syscall(number: int, *arguments: object, what: str) -> int:
    """Make a raw system call; integers are passed as longs."""
    passed = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *passed), what)


def quick_syscall(number: int, first: int, second: int = 0, third: int = 0, *, what: str) -> None:
    """Make a system call in a program's process: it allocates nothing and keeps the GIL, so few pages are copied."""
    if _quick_libc.syscall(number, first, second, third) < 0:
        syscall(number, first, second, third, what=what)  # the quick call has no error code


def bare_fork() -> int:
    """fork(2) without Python's own fork handling (half the time); only for a process with a single thread.

    After a fork Python repairs locks that other threads may have held, and runs the handlers that modules registered
    (for example a new seed for `random`). The GIL is held during this call, so the thread's state stays consistent.
    """
    pid = _quick_libc.fork()
    return pid if pid >= 0 else os.fork()  # raises with the reason


def unshare(flags: int) -> None:
    """Move this process into new namespaces (for CLONE_NEWPID: its next children)."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def set_namespace(fd: int, kind: int) -> None:
    """Move this process (for CLONE_NEWPID: its next children) into the namespace open as `fd`."""
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode())
    _checked(result, f"mount {kind or source} on {target}")


def unmount(target: str) -> None:
    """Detach a mount now; the kernel frees it with its last user."""
    _checked(_libc.umount2(target.encode(), ctypes.c_int(MNT_DETACH)), f"umount {target}")


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns_fd")]


def seal_mount(target: str, attributes: int) -> None:
    """Set mount attributes on `target` and everything mounted below it (Linux 5.12)."""
    wanted = _MountAttributes(attributes, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    syscall(
        SYS_MOUNT_SETATTR,
        AT_FDCWD,
        ctypes.c_char_p(target.encode()),
        AT_RECURSIVE,
        ctypes.byref(wanted),
        size,
        what=f"mount_setattr {target}",
    )


def pivot_root(new_root: str) -> None:
    """Make `new_root` the root of this mount namespace and detach the old one."""
    os.chdir(new_root)
    syscall(SYS_PIVOT_ROOT, ctypes.c_char_p(b"."), ctypes.c_char_p(b"."), what="pivot_root")
    unmount(".")
    os.chdir("/")


def prctl(option: int, value: int = 0) -> None:
    """prctl(2) with one argument."""
    _checked(_libc.prctl(option, value, 0, 0, 0), f"prctl {option}")


FORKER, PROGRAM = "forker", "program"
_names = {name: ctypes.create_string_buffer(name.encode()) for name in (FORKER, PROGRAM)}


def name_process(name: str) -> None:
    """Show this process as `FORKER` or `PROGRAM` (/proc/<pid>/comm, ps)."""
    quick_syscall(SYS_PRCTL, PR_SET_NAME, ctypes.addressof(_names[name]), what="prctl")


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_Capabilities = ctypes.c_uint32 * 6
_own_capabilities = _CapabilityHeader(_LINUX_CAPABILITY_VERSION_3, 0)
_no_capabilities = _Capabilities()
_OWN, _NONE = ctypes.addressof(_own_capabilities), ctypes.addressof(_no_capabilities)


def drop_capabilities() -> None:
    """Drop every capability permanently (with no_new_privs, exec restores none)."""
    quick_syscall(SYS_CAPSET, _OWN, _NONE, what="capset")


def keep_permitted_capabilities() -> None:
    """Make the capabilities effective that a change of user left permitted (see PR_SET_KEEPCAPS)."""
    data = _Capabilities()
    _checked(_libc.capget(ctypes.byref(_own_capabilities), data), "capget")
    data[0], data[3] = data[1], data[4]
    _checked(_libc.capset(ctypes.byref(_own_capabilities), data), "capset")
