"""Memory that is resident in no process counts, too."""

from __future__ import annotations

import os
import sys

import pytest

from selfcodealign.sandbox import Limits, Program, Status
from tests.support.judge import Judge

LIMITS = Limits(seconds=20, memory_mib=96, processes=16, open_files=64, file_mib=4)
EVERY_CHILD = """
import mmap, os, socket, time
kept = []
def fill(end, chunk=bytes(1 << 16)):
    sent = 0
    os.set_blocking(end, False)
    try:
        while True: sent += os.write(end, chunk)
    except BlockingIOError:
        return sent
children = 0
while children < 12 and os.fork():
    children += 1
else:
    total = 0
    try:
        for _ in range(40): BODY
    except OSError:
        pass
    os.write(1, f"{total} ".encode())
    time.sleep(3)
"""
HOLD = {
    "sockets": "kept += socket.socketpair(); total += sum(fill(end.fileno()) for end in kept[-2:])",
    "sockets with an end that was closed": (
        "one, other = socket.socketpair(); kept.append(other); total += fill(one.fileno()); one.close()"
    ),
    "pipes": "total += fill(os.pipe()[1])",
}


@pytest.mark.parametrize("name", HOLD)
def test_kernel_buffers_stay_below_the_limit(name: str, walled: Judge) -> None:
    """Filled sockets and pipes count as memory, or there cannot be so many."""
    verdict = walled(Program(EVERY_CHILD.replace("BODY", HOLD[name]), kind="script", limits=LIMITS))
    held = sum(map(int, verdict.output.split()))
    assert verdict.status is Status.MEMORY or (verdict.passed and held <= LIMITS.memory_mib << 20), verdict


UNMAPPED = """
import mmap, os, time
for _ in range(4):
    memory = mmap.mmap(-1, 40 << 20)
    for start in range(0, 40 << 20, 4096):
        memory[start] = 1
    memory.madvise(mmap.MADV_DONTNEED)
    if os.fork() == 0:
        time.sleep(5)
        os._exit(0)
    memory.close()
time.sleep(5)
"""


def test_shared_memory_counts_without_being_resident(walled: Judge) -> None:
    """Pages of shared mappings that no process has touched lately are memory; root's home hides them from the watch."""
    if walled.sandbox.mode == "landlock" and _hides_descriptors():
        pytest.skip("mappings cannot be read where programs stay root by name")
    assert walled(Program(UNMAPPED, kind="script", limits=LIMITS)).status is Status.MEMORY


def test_many_idle_sockets_are_no_excess_at_the_usual_limit(walled: Judge) -> None:
    """An honest program with a hundred sockets in each of four processes is not ended."""
    text = (
        "import os, socket, time\nkept = [socket.socketpair() for _ in range(50)]\n"
        "children = [os.fork() for _ in range(2)]\ntime.sleep(0.3)\n"
    )
    limits = Limits(seconds=20, open_files=160)
    assert walled(Program(text, kind="script", limits=limits)).passed


def _hides_descriptors() -> bool:

    return os.geteuid() == 0 and os.path.realpath(sys.executable).startswith("/root")
