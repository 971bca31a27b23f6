"""Probes every wall with an attempt to cross it that would do no harm if it succeeded.

The attempts run as an ordinary program of the sandbox; their targets (a listening socket, a file, a process, an
environment variable) are created in this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from selfcodealign.errors import SandboxError
from selfcodealign.sandbox.pool import Mode, Sandbox
from selfcodealign.sandbox.verdict import Limits, Program, Status


class Probe(NamedTuple):
    """One probed wall: `held` says whether it held, `detail` is the result of the attempt."""

    wall: str
    mode: str
    held: bool
    detail: str


# Each attempt succeeds only where there is no wall; the wall raises an OSError.
_ATTEMPTS = r"""
import fcntl, json, os, resource, signal, socket, sys
target = json.loads(sys.stdin.read())
def connect(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as one:
        one.settimeout(1)
        one.connect(address)
        return "connected"

def send(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"seen", address)
        return "sent"

def seen(pid):
    os.kill(pid, 0)
    return "signalled"

def change_mode():
    before = os.stat(target["file"]).st_mode
    os.chmod(target["file"], 0o640)
    if os.stat(target["file"]).st_mode == before:
        raise PermissionError("without effect")
    return "changed"

def fork_many():
    made = 0
    for _ in range(target["processes"] + 40):
        if os.fork() == 0:
            signal.pause()
        made += 1
    return f"{made} processes"

def write_large():
    with open("large", "wb") as file:
        for _ in range(target["file_mib"] + 1):
            file.write(bytes(1 << 20))
    return "written"

def with_library(act):
    with open(os.__file__, "rb") as file:
        act(file)
    return "done"

def change_core_limit():
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # 0 would not stop a dump to a pipe
    if resource.getrlimit(resource.RLIMIT_CORE) == before and before[1] in (0, 1):
        raise PermissionError("without effect")
    return str(resource.getrlimit(resource.RLIMIT_CORE))

def open_many():
    return len([os.dup(1) for _ in range(target["open_files"] + 1)])

attempts = {
    "TCP": lambda: connect(socket.AF_INET, ("127.0.0.1", target["port"])),
    "UDP": lambda: send(("127.0.0.1", target["port"])),
    "raw sockets": lambda: connect(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_RAW),
    "unix sockets": lambda: connect(socket.AF_UNIX, target["path_socket"]),
    "abstract unix sockets": lambda: connect(socket.AF_UNIX, "\0" + target["abstract"]),
    "reading the host's files": lambda: open(target["file"]).read(),
    "listing the host's folders": lambda: os.listdir(target["folder"]),
    "writing outside the scratch": lambda: open(os.path.join(target["folder"], "written"), "w"),
    "changing the host's files' modes": change_mode,
    "locking the host's files": lambda: with_library(lambda file: fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)),
    "leases on the host's files": lambda: with_library(lambda file: fcntl.fcntl(file, 1024, fcntl.F_UNLCK)),
    "inode flags": lambda: with_library(lambda file: fcntl.ioctl(file, 0x80086601, bytes(8))),
    "core dumps": change_core_limit,
    "the host's /proc": lambda: open(f"/proc/{target['pid']}/environ", "rb").read()[:9],
    "the host's environment": lambda: os.environ[target["variable"]],
    "seeing other processes": lambda: seen(target["pid"]),
    "memory": lambda: len(bytearray((target["memory_mib"] + 64) << 20)),
    "process count": fork_many,
    "file size": write_large,
    "open files": open_many,
}
for name in attempts:
    try:
        print(json.dumps([name, False, str(attempts[name]())]))
    except (OSError, MemoryError, KeyError) as error:
        print(json.dumps([name, True, f"{type(error).__name__} {error}"]))
"""

# Forbidden calls by raw number, in a fresh interpreter (which has no audit hook), with arguments that change nothing
# even where they are allowed.
_CALLS = r"""
import os, sys
os.execv(sys.executable, [sys.executable, "-I", "-c", '''
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for name, number, argument in json.load(sys.stdin):
    result = libc.syscall(number, argument, 0, 0, 0, 0, 0)
    code = ctypes.get_errno() if result == -1 else 0
    print(json.dumps([name, code in (1, 38), os.strerror(code) if code else "allowed"]))
'''])
"""
_CLONE_NEWNET = 0x40000000
_FORBIDDEN_CALLS = {  # name: number on x86_64, on aarch64, first argument
    "mount": (165, 40, 0),
    "ptrace": (101, 117, -1),
    "bpf": (321, 280, -1),
    "keyctl": (250, 219, -1),
    "io_uring_setup": (425, 425, 0),
    "perf_event_open": (298, 241, 0),
    "kexec_load": (246, 104, -1),
    "init_module": (175, 105, 0),
    "userfaultfd": (323, 282, -1),
    "unshare": (272, 97, _CLONE_NEWNET),
    "setns": (308, 268, -1),
    "process_vm_readv": (310, 270, -1),
    "pivot_root": (155, 41, 0),
    "open_by_handle_at": (304, 265, -1),
    "inotify_init1": (294, 26, 0),
    "fanotify_init": (300, 262, 0),
    "syncfs": (306, 267, -1),
    "vmsplice": (278, 75, -1),
}


# Every process fills as many sockets as it may have, and prints the bytes.
_FILL_BUFFERS = r"""
import os, socket, time
children = 0
while children < 15 and os.fork():
    children += 1
else:
    held, sent = [], 0
    try:
        while True:
            held += socket.socketpair()
            for end in held[-2:]:
                end.setblocking(False)
                try:
                    while True:
                        sent += end.send(bytes(1 << 16))
                except BlockingIOError:
                    pass
    except OSError:
        os.write(1, f"{sent} ".encode())
        time.sleep(2)
"""


async def probe_walls_async(mode: Mode = "auto") -> list[Probe]:
    """Probe every wall of `mode`. Raises `SandboxError` when the sandbox does not start."""
    limits = Limits(seconds=20.0, memory_mib=256, processes=16, open_files=64, file_mib=2, scratch_mib=16)
    async with Sandbox(workers=1, limits=limits, mode=mode, mutation_testing=False, split=False) as sandbox:
        with _bait() as (bait, udp):
            probes = await _try_attempts(sandbox, bait | {name: getattr(limits, name) for name in Limits.__slots__})
            probes = [_arrived(probe, udp) if probe.detail == "sent" else probe for probe in probes]
        probes += await _try_calls(sandbox)
        probes += await _try_limits(sandbox)
    return probes


def probe_walls(mode: Mode = "auto") -> list[Probe]:
    """Like `probe_walls_async`, for callers without an event loop (`selfcodealign doctor`)."""
    return asyncio.run(probe_walls_async(mode))


@contextmanager
def _bait() -> Iterator[tuple[dict[str, object], socket.socket]]:
    """Targets on the host: listening sockets (the one for UDP apart), a file, an environment variable, this process."""
    name = f"selfcodealign-{secrets.token_hex(8)}"
    with (
        tempfile.TemporaryDirectory(prefix="selfcodealign-bait-") as folder,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as path_socket,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        udp.bind(tcp.getsockname())
        udp.setblocking(False)
        path_socket.bind(f"{folder}/socket")
        path_socket.listen()
        abstract.bind(f"\0{name}")
        abstract.listen()
        with open(f"{folder}/secret", "w") as file:
            file.write(name)
        variable = name.replace("-", "_").upper()
        os.environ[variable] = name
        try:
            target: dict[str, object] = {
                "port": tcp.getsockname()[1],
                "path_socket": f"{folder}/socket",
                "abstract": name,
                "file": f"{folder}/secret",
                "folder": folder,
                "pid": os.getpid(),
                "variable": variable,
            }
            yield target, udp
        finally:
            del os.environ[variable]


def _arrived(probe: Probe, udp: socket.socket) -> Probe:
    """Whether a datagram that a program could send, if only to itself, reached the host."""
    try:
        udp.recv(16)
    except BlockingIOError:
        return probe._replace(held=True, detail="nothing arrived")
    return probe._replace(held=False, detail="arrived")


async def _try_attempts(sandbox: Sandbox, target: dict[str, object]) -> list[Probe]:
    verdict = await sandbox.run(Program(_ATTEMPTS, kind="script", stdin=json.dumps(target), keep_output_kib=64))
    return _read(sandbox, verdict.output, verdict.message)


async def _try_calls(sandbox: Sandbox) -> list[Probe]:
    column = 1 if platform.machine() == "aarch64" else 0
    calls = [(name, numbers[column], numbers[2]) for name, numbers in _FORBIDDEN_CALLS.items()]
    verdict = await sandbox.run(Program(_CALLS, kind="script", stdin=json.dumps(calls), keep_output_kib=64))
    return _read(sandbox, verdict.output, verdict.message)


def _read(sandbox: Sandbox, output: str, message: str) -> list[Probe]:
    lines = [line for line in output.splitlines() if line.startswith("[")]
    if not lines:
        raise SandboxError(f"the probes themselves did not run: {message} {output}".strip())
    return [Probe(name, sandbox.mode, held, detail) for name, held, detail in map(json.loads, lines)]


async def _try_limits(sandbox: Sandbox) -> list[Probe]:
    """Probe the limits that end a program, and the cleanup afterwards."""
    endless = await sandbox.run(Program("while True: pass", kind="script", limits=Limits(seconds=0.3)))
    flood = await sandbox.run(
        Program("while True: print('x' * 1000)", kind="script", limits=Limits(seconds=5, output_kib=64))
    )
    fill = (
        "import time\nfor number in range(64):\n"
        "    with open(f'part{number}', 'wb') as part:\n        part.write(bytes(1 << 20))\ntime.sleep(2)"
    )
    full = await sandbox.run(Program(fill, kind="script"))
    leave = "import os, time\nopen('left', 'w').write('x')\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)"
    left = await sandbox.run(Program(leave, kind="script"))
    survivors = sandbox.count_programs()
    share = (
        "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n"
        "        held = bytearray(100 << 20)\n        time.sleep(10)\nos.wait()\ntime.sleep(10)"
    )
    together = await sandbox.run(Program(share, kind="script"))
    bounded = "by its control group" if sandbox.has_control_groups else "watched 20 times a second"
    buffers = Limits(seconds=20, memory_mib=96, processes=16, open_files=64)
    full_buffers = await sandbox.run(Program(_FILL_BUFFERS, kind="script", limits=buffers))
    buffered = sum(map(int, full_buffers.output.split())) >> 20
    are_bounded = full_buffers.status is Status.MEMORY or (full_buffers.passed and buffered <= buffers.memory_mib)
    found = await sandbox.run(Program("import os\nprint(os.listdir('.'))", kind="script"))
    probes = [
        ("wall time", endless.status is Status.TIMEOUT, endless.message or endless.status),
        ("output size", flood.status is Status.BLOCKED, flood.message or flood.status),
        ("memory of all", together.status is Status.MEMORY, f"{together.message or together.status}: {bounded}"),
        ("kernel buffers", are_bounded, full_buffers.message or f"{buffered} MiB in sockets"),
        ("scratch size", full.status is Status.BLOCKED, full.message or full.status),
        ("nothing lives on", left.passed and survivors == 0, f"{survivors} processes left"),
        ("empty scratch", found.output.strip() == "[]", found.output.strip() or found.message),
    ]
    return [Probe(wall, sandbox.mode, held, detail) for wall, held, detail in probes]
