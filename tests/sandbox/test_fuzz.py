"""Random programs out of hostile pieces: whatever they do together, the sandbox stays whole."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfcodealign.sandbox import Limits, Program, Status
from tests.support.judge import Judge

LIMITS = Limits(seconds=0.4, memory_mib=96, processes=10, open_files=64, file_mib=2, scratch_mib=8, output_kib=64)
FRAGMENTS = (
    "import os, sys, signal, threading, time, gc, subprocess, ctypes",
    "pid = os.fork()",
    "os.setsid()",
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "os.kill(0, signal.SIGSTOP)",
    "os.kill(-1, signal.SIGKILL)",
    "os._exit(0)",
    "sys.exit(0)",
    "os.abort()",
    "hog = [bytearray(1 << 22) for _ in range(99)]",
    "print('x' * 200_000)",
    "os.write(63, b'x' * 100)",
    "os.closerange(0, 64)",
    "fds = [os.dup(1) for _ in range(99)]",
    "open('big', 'wb').write(bytes(1 << 22))",
    "[open(f'f{n}', 'w').write('x' * 9999) for n in range(2000)]",
    "os.chmod('.', 0)",
    "os.chdir('/')",
    "sys.setrecursionlimit(10**9)",
    "(lambda f: f(f))(lambda f: f(f))",
    "threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()",
    "threading.Thread(target=os._exit, args=(0,)).start()",
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'])",
    "os.execv(sys.executable, [sys.executable, '-c', 'while True: pass'])",
    "sys.stdout.close()",
    "sys.modules.clear()",
    "__builtins__.clear() if isinstance(__builtins__, dict) else vars(__builtins__).clear()",
    "globals().clear()",
    "gc.disable()",
    "del sys.stdout, sys.stderr",
    "sys.excepthook = sys.unraisablehook = threading.excepthook = lambda *a: os._exit(0)",
    "exec(compile('while 1: pass', 'x', 'exec'))",
    "time.sleep(30)",
    "raise BaseException",
    "raise KeyboardInterrupt",
    "raise MemoryError",
)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pieces=st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=6), guarded=st.booleans(), script=st.booleans())
def test_hostile_mixtures_leave_the_sandbox_whole(
    pieces: list[str], guarded: bool, script: bool, walled: Judge
) -> None:
    """One verdict each, never our fault, never a pass of wrong code; nothing left over; the worker still works."""
    lines = [FRAGMENTS[0], *pieces]
    if guarded:
        lines = [part for line in lines for part in ("try:", f"    {line}", "except Exception: pass")]
    text = "\n".join([*lines, "def add(a, b): return a - b", ""])
    if script:
        verdict = walled(Program(text, kind="script", limits=LIMITS))
    else:
        verdict = walled(Program(text, "assert add(1, 2) == 3", limits=LIMITS))
        assert not verdict.passed, text
    assert verdict.status is not Status.NOT_JUDGED, (text, verdict)
    assert walled.sandbox.count_programs() == 0
    assert all(Path(f"/proc/{pid}").exists() for pid in (1, os.getpid(), os.getppid()))
    assert walled("import os\ndef left(): return os.listdir('.')", "assert left() == []", mutation_testing=False).passed
