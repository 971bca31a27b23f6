"""Landlock: kernel-enforced access rules that a process without privileges can set for itself.

linux/landlock.h; ABI 1 (5.13) walls the file system, 4 (6.7) TCP, 5 (6.10) device ioctls, 6 (6.12) signals and
abstract unix sockets to processes outside.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from selfcodealign.sandbox.isolation import kernel

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _MAKE_FIFO, _MAKE_SYM = (
    1 << 4,
    1 << 5,
    1 << 7,
    1 << 8,
    1 << 10,
    1 << 12,
)
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK, _REFER = 1 << 6, 1 << 9, 1 << 11, 1 << 13
_ABI_1 = (1 << 13) - 1
FIRST_WITH_TRUNCATE, FIRST_WITH_SIGNALS = 3, 6
_TCP = 0b11
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2
_RULE_PATH_BENEATH = 1
_CREATE_RULESET_VERSION = 1

_READ = _EXECUTE | _READ_FILE | _READ_DIR
_SCRATCH = (
    _READ_FILE | _READ_DIR | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_FIFO | _MAKE_SYM
)
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("handled_fs", "handled_net", "scoped")]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def landlock_abi() -> int:
    """Return the kernel's Landlock version; 0 without Landlock."""
    try:
        return kernel.syscall(
            kernel.SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION, what="landlock"
        )
    except OSError:
        return 0


def make_ruleset(
    readable: Iterable[str], writable: Iterable[str], devices: Iterable[str], loopback: bool = False
) -> int:
    """Make a ruleset (file descriptor): read and execute below `readable`, a scratch below `writable`, `devices`.

    With `loopback`, TCP is not walled: it cannot leave the network namespace. Paths that do not exist are skipped.
    Raises `OSError` where the kernel has no Landlock.
    """
    abi = landlock_abi()
    handled = _ABI_1 | (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0) | (_IOCTL_DEV if abi >= 5 else 0)
    attributes = _Ruleset(handled, 0 if loopback else _TCP, _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS)
    size = ctypes.c_size_t(24 if abi >= 6 else 16 if abi >= 4 else 8)
    ruleset = kernel.syscall(
        kernel.SYS_LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), size, 0, what="landlock_create_ruleset"
    )
    scratch = _SCRATCH | (handled & (_REFER | _TRUNCATE))
    for paths, rights in ((readable, _READ), (writable, scratch), (devices, _READ_FILE | _WRITE_FILE)):
        for path in paths:
            _allow(ruleset, path, rights)
    return ruleset


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rule = _PathBeneath(rights if os.path.isdir(path) else rights & _FILE_RIGHTS, fd)
        kernel.syscall(
            kernel.SYS_LANDLOCK_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0, what=f"landlock {path}"
        )
    finally:
        os.close(fd)


def restrict_self(ruleset: int) -> None:
    """Restrict this thread and all it will start by the ruleset, permanently; requires no_new_privs."""
    kernel.quick_syscall(kernel.SYS_LANDLOCK_RESTRICT_SELF, ruleset, what="landlock_restrict_self")
