"""The system call filter: a short list of permitted calls; every other call is refused.

A classic BPF program (linux/filter.h, linux/seccomp.h) that requires only no_new_privs. Refused calls return EPERM,
which Python raises as PermissionError; calls newer than this list return ENOSYS, so that the C library falls back to
older calls that the filter can check (clone3 hides its flags in memory); reading extended attributes returns ENOTSUP,
as on a file system without them, which `shutil.copy2` expects.

Some requests succeed without effect, because programs make them and none may have it: to flush files to the host's disk
(a scratch is thrown away), to size socket buffers, to change the bound that stops core dumps.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Sequence

from selfcodealign.sandbox.isolation import kernel
from selfcodealign.sandbox.isolation.syscall_numbers import syscall_numbers

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_LOAD, _AND, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = (
    0x20,
    0x54,
    0x15,
    0x25,
    0x35,
    0x45,
    0x06,
)
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_FIRST_ARGUMENT, _SECOND_ARGUMENT, _THIRD_ARGUMENT, _HIGH_HALF = 16, 24, 32, 4
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_SECCOMP_SET_MODE_FILTER = 1

_NEW_NAMESPACES = (
    kernel.CLONE_NEWTIME | kernel.CLONE_NEWNS | kernel.CLONE_NEWCGROUP | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC
) | (kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET)
# Requests of ioctl that change nothing but the own descriptor: TCGETS, TIOCGPGRP, TIOCOUTQ, TIOCGWINSZ, FIONREAD,
# FIONBIO, FIONCLEX, FIOCLEX, FICLONE, FICLONERANGE. All others (input into a terminal, signals to other processes,
# flags of inodes, freezing a file system ...) return ENOTTY, as from a descriptor that does not know them.
_PERMITTED_IOCTLS = (0x5401, 0x540F, 0x5411, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x40049409, 0x4020940D)
# Requests of fcntl: F_DUPFD, GETFD, SETFD, GETFL, SETFL, the POSIX locks GETLK, SETLK, SETLKW (sqlite3 requires them),
# GETOWN, SETSIG, GETSIG, GETOWN_EX, OFD_GETLK; GETLEASE, DUPFD_QUERY, DUPFD_CLOEXEC, GETPIPE_SZ, ADD_SEALS, GET_SEALS.
# Not: owners of signals, leases, F_NOTIFY, locks of an open file, larger pipes, hints that stay with a file.
_PERMITTED_FCNTLS = (*range(8), 9, 10, 11, 16, 36, 1025, 1027, 1030, 1032, 1033, 1034)
_SOL_SOCKET, _BUFFER_SIZES = 1, (7, 8)  # SO_SNDBUF, SO_RCVBUF
_RLIMIT_CORE = 4
# In the table because the filter names them; a program may not call them.
_NAMED_ONLY = frozenset({"clone3", "openat2", "socket"})
_SIGNALLING = frozenset({"kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"})
_METADATA = frozenset({"chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "utime", "utimes"})
_METADATA |= {"utimensat", "futimesat"}
_EXTENDED_ATTRIBUTES = frozenset(f"{prefix}{verb}xattr" for prefix in ("", "l", "f") for verb in ("get", "list"))
_WITHOUT_EFFECT = frozenset({"fsync", "fdatasync", "sync_file_range", "fadvise64"})
_NETWORK = frozenset({"bind", "connect", "listen", "accept", "accept4"})
_AF_INET, _TYPE_BITS, _STREAM, _DATAGRAM, _TCP, _UDP, _TCP_ULP = 2, 0xF, 1, 2, 6, 17, 31

Instruction = tuple[int, int, int, int]


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class Filter(ctypes.Structure):
    """A filter in the kernel's format."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction))]


def _refuse(code: int = errno.EPERM) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | code)


def _succeed() -> Instruction:
    return (_RETURN, 0, 0, _ERRNO)


def _allow() -> Instruction:
    return (_RETURN, 0, 0, _ALLOW)


def _argument_is(
    number: int, offset: int, values: Sequence[int], otherwise: Instruction = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
) -> list[Instruction]:
    """Allow call `number` only when the low half of an argument is one of `values`."""
    count = len(values)
    code: list[Instruction] = [(_JUMP_EQUAL, 0, count + 3, number), (_LOAD, 0, 0, offset)]
    code += [(_JUMP_EQUAL, count - place, 0, value) for place, value in enumerate(values)]
    return [*code, otherwise, _allow()]


def _keep_core_limit(numbers: dict[str, int]) -> list[Instruction]:
    """Limits may be set for the calling process only; setting the one on core dumps succeeds without effect."""
    code: list[Instruction] = []
    if "setrlimit" in numbers:
        code += [(_JUMP_EQUAL, 0, 4, numbers["setrlimit"]), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
        code += [(_JUMP_EQUAL, 0, 1, _RLIMIT_CORE), _succeed(), _allow()]
    return [
        *code,
        (_JUMP_EQUAL, 0, 11, numbers["prlimit64"]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_EQUAL, 1, 0, 0),
        _refuse(),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_JUMP_EQUAL, 0, 5, _RLIMIT_CORE),
        (_LOAD, 0, 0, _THIRD_ARGUMENT),  # the new limit; none where the call only asks
        (_JUMP_EQUAL, 0, 2, 0),
        (_LOAD, 0, 0, _THIRD_ARGUMENT + _HIGH_HALF),
        (_JUMP_EQUAL, 1, 0, 0),
        _succeed(),
        _allow(),
    ]


def _restrict_socket_options(number: int) -> list[Instruction]:
    """In setsockopt, the sizes of a socket's buffers stay as they were: they bound what the kernel holds.

    Setting an upper protocol (TCP_ULP), which loads kernel modules, is refused.
    """
    return [
        (_JUMP_EQUAL, 0, 10, number),
        (_LOAD, 0, 0, _THIRD_ARGUMENT),
        (_JUMP_EQUAL, 0, 1, _TCP_ULP),
        _refuse(),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_JUMP_EQUAL, 0, 4, _SOL_SOCKET),
        (_LOAD, 0, 0, _THIRD_ARGUMENT),
        (_JUMP_EQUAL, 1, 0, _BUFFER_SIZES[0]),
        (_JUMP_EQUAL, 0, 1, _BUFFER_SIZES[1]),
        _succeed(),
        _allow(),
    ]


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return spans


def _argument_is_none_of(number: int, offset: int, values: tuple[int, ...]) -> list[Instruction]:
    """Allow call `number` unless the low half of an argument equals one of `values`."""
    code: list[Instruction] = [(_JUMP_EQUAL, 0, 2 + 2 * len(values), number), (_LOAD, 0, 0, offset)]
    for value in values:
        code += [(_JUMP_EQUAL, 0, 1, value), _refuse()]
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _allow_inet_sockets(number: int) -> list[Instruction]:
    """Allow `socket` for TCP and UDP over IPv4."""
    return [
        (_JUMP_EQUAL, 0, 14, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_EQUAL, 1, 0, _AF_INET),
        _refuse(),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_AND, 0, 0, _TYPE_BITS),
        (_JUMP_EQUAL, 2, 0, _STREAM),
        (_JUMP_EQUAL, 1, 0, _DATAGRAM),
        _refuse(),
        (_LOAD, 0, 0, _THIRD_ARGUMENT),
        (_JUMP_EQUAL, 3, 0, 0),
        (_JUMP_EQUAL, 2, 0, _TCP),
        (_JUMP_EQUAL, 1, 0, _UDP),
        _refuse(),
        (_RETURN, 0, 0, _ALLOW),
    ]


def assemble(
    own_pid: int | None = None, only_landlock: bool = False, own_group: bool = True, loopback: bool = False
) -> list[Instruction]:
    """Return the filter's instructions.

    With `own_pid`, signals may be sent only to that process (for kernels whose Landlock does not restrict signals).
    With `only_landlock`, calls are closed that Landlock permits and that a private root folder would make harmless:
    changes of modes, owners and times return success without effect. Without
    `own_group`, no signal may be sent to the program's process group, which includes forker and server whatever the
    pid namespace. With `loopback`, sockets for TCP and UDP over IPv4 may be made: the network namespace holds nothing
    but the program. Raises `OSError` on a machine type without numbers in this list.
    """
    if kernel.MACHINE not in _AUDIT_ARCH:
        raise OSError(errno.ENOSYS, f"seccomp: no list of system calls for {kernel.MACHINE}")
    numbers = syscall_numbers(kernel.MACHINE)
    special = {"clone", "prctl", "setrlimit", "prlimit64", "ioctl", "fcntl", "setsockopt"}
    special |= _NAMED_ONLY | _EXTENDED_ATTRIBUTES | _WITHOUT_EFFECT
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, _AUDIT_ARCH[kernel.MACHINE]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_AT_LEAST, 0, 1, _X32_BIT),
        _refuse(),
    ]
    # The arguments of clone3 and openat2 lie in memory, unseen by the filter: callers fall back to clone and openat.
    for name in ("clone3", "openat2"):
        code += [(_JUMP_EQUAL, 0, 1, numbers[name]), _refuse(errno.ENOSYS)]
    for first, last in _ranges([numbers[name] for name in _EXTENDED_ATTRIBUTES]):
        code += [(_JUMP_GREATER, 2, 0, last), (_JUMP_AT_LEAST, 0, 1, first), _refuse(errno.ENOTSUP)]
    code += [(_JUMP_EQUAL, 0, 4, numbers["clone"]), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
    code += [(_JUMP_ANY_BIT, 0, 1, _NEW_NAMESPACES), _refuse(), (_RETURN, 0, 0, _ALLOW)]
    code += _argument_is(numbers["prctl"], _FIRST_ARGUMENT, [kernel.PR_SET_NAME])
    code += _argument_is(numbers["ioctl"], _SECOND_ARGUMENT, _PERMITTED_IOCTLS, _refuse(errno.ENOTTY))
    code += _argument_is(numbers["fcntl"], _SECOND_ARGUMENT, _PERMITTED_FCNTLS)
    code += _keep_core_limit(numbers) + _restrict_socket_options(numbers["setsockopt"])
    if own_pid is not None:
        special |= _SIGNALLING
        for name in ("kill", "tgkill"):
            code += _argument_is(numbers[name], _FIRST_ARGUMENT, [own_pid])
    elif not own_group:
        special = special | {"kill"}
        code += _argument_is_none_of(numbers["kill"], _FIRST_ARGUMENT, (0,))
    silent = _WITHOUT_EFFECT
    if loopback:
        code += _allow_inet_sockets(numbers["socket"])
    else:
        special = special | _NETWORK
    if only_landlock:
        special |= _METADATA | {"truncate"}
        silent = silent | _METADATA
    for name in sorted(silent & numbers.keys()):
        code += [(_JUMP_EQUAL, 0, 1, numbers[name]), _succeed()]
    allowed = [number for name, number in numbers.items() if name not in special]
    for first, last in _ranges(allowed):
        code += [(_JUMP_GREATER, 3, 0, last), (_JUMP_AT_LEAST, 0, 1, first), (_RETURN, 0, 0, _ALLOW)]
        code += [_refuse(errno.ENOSYS if first > numbers["clone3"] else errno.EPERM)]
    return [*code, _refuse(errno.ENOSYS)]


def compile_filter(instructions: list[Instruction]) -> Filter:
    """Convert the instructions to the kernel's format."""
    code = (_Instruction * len(instructions))(*[_Instruction(*instruction) for instruction in instructions])
    return Filter(len(code), ctypes.cast(code, ctypes.POINTER(_Instruction)))


def install_filter(compiled: Filter) -> None:
    """Apply the filter to this process and all it will start, permanently; requires no_new_privs."""
    kernel.quick_syscall(kernel.SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, 0, ctypes.addressof(compiled), what="seccomp")
