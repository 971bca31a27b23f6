"""Control groups around workers: found, bounded, asked about kills, and gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfcodealign.sandbox import Limits, Program, Status
from selfcodealign.sandbox.isolation.cgroups import ControlGroup, find_delegated, locate
from tests.support.judge import Judge

UNIFIED = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
delegated = pytest.mark.skipif(find_delegated() is None, reason="no control group is delegated to this user")
# Each of these processes stays within what one may use; together they do not.
TOGETHER = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        held = bytearray(100 << 20)
        time.sleep(20)
os.wait()
"""


@pytest.mark.parametrize(
    ("mounts", "groups", "found"),
    [
        (UNIFIED, "0::/user.slice/app\n", ("/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/app")),
        (UNIFIED, "0::/\n", ("/sys/fs/cgroup", "/sys/fs/cgroup")),
        (UNIFIED.replace("0:26 /", "0:26 /pod"), "0::/pod/one\n", ("/sys/fs/cgroup", "/sys/fs/cgroup/one")),
        (UNIFIED.replace("0:26 /", "0:26 /pod"), "0::/elsewhere\n", None),
        (UNIFIED.replace("cgroup2", "cgroup"), "4:memory:/a\n0::/\n", None),
        (UNIFIED, "4:memory:/a\n", None),
    ],
)
def test_the_own_group_is_found(mounts: str, groups: str, found: tuple[str, str] | None) -> None:
    """The tree's place and the process's place in it come out of its /proc files, also in a container's part of it."""
    assert locate(mounts, groups) == (found and (Path(found[0]), Path(found[1])))


def test_a_program_is_bounded_on_top_of_what_its_worker_has(tmp_path: Path) -> None:
    """Memory, scratch and processes of a program come on top of the worker's own; kills are counted once."""
    (tmp_path / "memory.current").write_text(f"{50 << 20}\n")
    (tmp_path / "memory.swap.max").write_text("max\n")
    (tmp_path / "memory.events").write_text("low 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n")
    group = ControlGroup(tmp_path)
    group.bound({"memory_mib": 100, "scratch_mib": 10, "processes": 8})
    assert (tmp_path / "memory.max").read_text() == str(160 << 20)
    assert (tmp_path / "memory.swap.max").read_text() == "0"
    assert (tmp_path / "pids.max").read_text() == "11"
    ControlGroup(tmp_path, pairs=True).bound({"memory_mib": 100, "scratch_mib": 10, "processes": 8})
    assert (tmp_path / "pids.max").read_text() == "14"
    (tmp_path / "memory.current").write_text(f"{90 << 20}\n")
    group.bound({"memory_mib": 200, "scratch_mib": 10, "processes": 8})
    assert (tmp_path / "memory.max").read_text() == str(260 << 20)
    assert [group.take_memory_kills() for _ in range(2)] == [2, 0]


@delegated
def test_the_kernel_kills_what_exceeds_the_group() -> None:
    """A process in a group that takes more than its bound is killed for it, and the group tells."""
    code = "import sys\nsys.stdin.readline()\nheld = bytearray(200 << 20)\nprint('held')\n"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    group = ControlGroup.around(child.pid)
    assert group is not None
    try:
        group.bound({"memory_mib": 32, "scratch_mib": 16, "processes": 4})
        output, _ = child.communicate(b"go\n", timeout=600)
        assert output == b""
        assert child.returncode == -signal.SIGKILL
        assert group.take_memory_kills() == 1
    finally:
        group.remove()
    assert not group.path.exists()


@delegated
def test_processes_are_bounded_together(mode: str) -> None:
    """What all processes of a program use counts together and at once; the worker lives on, the group goes with it."""
    parent = find_delegated()
    assert parent is not None
    judge = Judge(mode, workers=1, limits=Limits(seconds=10, memory_mib=300, scratch_mib=16))  # type: ignore[arg-type]
    try:
        groups = list(parent.glob(f"selfcodealign-{os.getpid()}-*"))
        assert len(groups) == 1
        (worker,) = judge.sandbox._all
        verdict = judge(Program(TOGETHER, kind="script"))
        assert verdict.status is Status.MEMORY
        assert int((groups[0] / "memory.peak").read_text()) <= int((groups[0] / "memory.max").read_text())
        assert judge("def f(x):\n    return x", "assert f(1) == 1").passed
        assert [worker] == list(judge.sandbox._all)
    finally:
        judge.close()
    assert list(parent.glob(f"selfcodealign-{os.getpid()}-*")) == []


@delegated
def test_groups_of_a_killed_user_are_removed_by_the_next(mode: str) -> None:
    """A user killed outright leaves empty groups, which the next sandbox removes."""
    parent = find_delegated()
    assert parent is not None
    code = (
        "import asyncio, os, signal, sys\n"
        "from selfcodealign.sandbox import Sandbox\n"
        "async def main():\n"
        "    async with Sandbox(workers=1, mode=sys.argv[1]):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    user = subprocess.Popen([sys.executable, "-c", code, mode])
    user.wait(60)
    left = list(parent.glob(f"selfcodealign-{user.pid}-*"))
    assert len(left) == 1
    deadline = time.monotonic() + 60
    while (left[0] / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    Judge(mode, workers=1).close()  # type: ignore[arg-type]
    assert not left[0].exists()
