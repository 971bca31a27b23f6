"""Programs written by models, run behind walls, with a verdict that means correct.

Covered, each by a test in `tests/sandbox/`:

- no network: TCP, UDP, raw and unix sockets cannot be made (`socketpair` can)
- nothing readable but the interpreter, its libraries, time zones and an empty scratch folder; nothing else writable
- other processes are neither seen nor signalled; no environment of the host, no /proc at all
- no namespaces, capabilities, mount, ptrace, bpf, keyrings, io_uring, perf, kexec, modules, userfaultfd
- bounded: wall time, processor time, memory, processes, open files, file size, scratch, output
- whatever a program started is dead, and its scratch gone, when the verdict is there
- exits, forged reports, patched judges, vacuous, swallowed and unreached assertions are not passes

Not covered:

- a kernel defect behind a permitted system call; side channels by timing, caches or load
- a response written against this very harness with raw memory access from an extension module (an out-of-bounds
  numpy view, say); Python's own ways there (frames, gc, ctypes) are closed
- a response that knows its tests and special-cases them: it passes what it was shown
- without namespaces (mode "landlock"): System V shared memory is refused but /proc of the host is hidden by Landlock
  alone, /dev/shm and multiprocessing locks are missing, the size of a scratch is watched instead of bounded, and
  processes are counted per user only when root starts the sandbox
- mode "unsafe" has limits on resources and no wall

    async with Sandbox() as sandbox:
        verdict = await sandbox.run(Program(response=markdown, tests=more_markdown))
        print(verdict.status, verdict.message, verdict.strength)
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
