"""Runs programs written by models behind walls, and returns a verdict that means *correct*.

Covered, each by a test in `tests/sandbox/`:

- no network: TCP, UDP, raw and unix sockets cannot be made (`socketpair` can)
- nothing readable but the interpreter, its libraries, time zones and an empty scratch folder; nothing else writable
- other processes are neither visible nor signalled; no environment of the host, no /proc
- no namespaces, capabilities, mount, ptrace, bpf, keyrings, io_uring, perf, kexec, modules, userfaultfd
- bounded: wall time, processor time, memory, processes, open files, file size, scratch, output
- when the verdict is returned, every process of the program is dead and its scratch is empty
- exits, forged reports, patched libraries, vacuous, swallowed and unreached assertions are not passes

Not covered:

- a kernel defect behind a permitted system call; side channels by timing, caches or load
- a response written against this harness with raw memory access from an extension module (for example an
  out-of-bounds numpy view); Python's own access (frames, gc, ctypes) is closed
- a response that knows its tests and special-cases them: it passes the tests it knows
- without namespaces (mode "landlock"): System V shared memory is refused but /proc of the host is hidden by Landlock
  alone, /dev/shm and multiprocessing locks are missing, the size of a scratch is polled instead of bounded, and
  processes are counted per user only when root starts the sandbox
- mode "unsafe" has resource limits and no walls

    async with Sandbox() as sandbox:
        verdict = await sandbox.run(Program(response=markdown, tests=more_markdown))
        print(verdict.status, verdict.message, verdict.mutation_score)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from selfcodealign.sandbox.verdict import Limits, Program, Status, Verdict

if TYPE_CHECKING:
    from selfcodealign.sandbox.pool import Sandbox
    from selfcodealign.sandbox.probes import Probe, probe_walls

__all__ = ["Limits", "Probe", "Program", "Sandbox", "Status", "Verdict", "probe_walls"]

_HOME = {
    "Probe": "selfcodealign.sandbox.probes",
    "Sandbox": "selfcodealign.sandbox.pool",
    "probe_walls": "selfcodealign.sandbox.probes",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
