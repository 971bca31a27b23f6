"""The sandbox itself survives: killed workers, cancelled runs, Ctrl-C, closing; and it starts only whole."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfcodealign.errors import SandboxError
from selfcodealign.sandbox import Limits, Program, Status
from selfcodealign.sandbox.isolation.landlock import FIRST_WITH_TRUNCATE, landlock_abi
from selfcodealign.sandbox.isolation.seccomp import assemble
from selfcodealign.sandbox.worker import ServerSettings, Worker
from tests.support.judge import Judge, scratch_folders
from tests.support.processes import process_tree, wait_for

GOOD = Program("def add(a, b):\n    return a + b\n", "assert add(1, 2) == 3\n", mutation_testing=False)
SLOW = Program("import time\ntime.sleep(0.6)\ndef add(a, b):\n    return a + b\n", GOOD.tests, mutation_testing=False)


@pytest.mark.parametrize("victim", [0, 1, 2], ids=["guard", "server", "forker"])
def test_a_killed_worker_is_replaced_and_its_program_run_again(victim: int, mode: str) -> None:
    """Who kills a worker costs no verdict: the program is run once more by a new worker."""
    judge = Judge(mode, workers=1)  # type: ignore[arg-type]
    try:

        async def kill_while_running() -> Status:
            run = asyncio.create_task(judge.sandbox.run(SLOW))
            while not judge.sandbox.count_programs():
                await asyncio.sleep(0.01)
            (worker,) = judge.sandbox._all
            os.kill([worker.pid, *process_tree(worker.pid)][victim], signal.SIGKILL)
            return (await run).status

        assert judge.wait(kill_while_running()) is Status.PASSED
        assert judge(GOOD).passed
        assert len(judge.sandbox._all) == 1
        assert judge.sandbox.count_programs() == 0
    finally:
        judge.close()


def test_a_process_killed_while_it_stood_ready_is_not_the_programs_crash(mode: str) -> None:
    """The process that waits for a program can be killed by others; the program is run by another one."""
    judge = Judge(mode, workers=1, split=False)  # type: ignore[arg-type]
    try:
        for _ in range(3):
            assert judge(GOOD).passed
            (worker,) = judge.sandbox._all
            assert wait_for(lambda pid=worker.pid: len(process_tree(pid)) == 3)
            _, _, ready = process_tree(worker.pid)
            os.kill(ready, signal.SIGKILL)
            assert judge(GOOD).passed
        assert judge.sandbox.count_programs() == 0
    finally:
        judge.close()


def test_a_signal_to_the_own_group_does_not_reach_the_worker(mode: str) -> None:
    """The process group is older than the program's pid namespace, and its worker is in it."""
    judge = Judge(mode, workers=1)  # type: ignore[arg-type]
    try:
        assert judge(GOOD).passed
        (worker,) = judge.sandbox._all
        servers = process_tree(worker.pid)[:2]
        judge(Program("import os, signal\nos.kill(0, signal.SIGKILL)", kind="script"))
        assert judge(GOOD).passed
        assert process_tree(worker.pid)[:2] == servers
    finally:
        judge.close()


def test_what_one_program_leaves_in_the_scratch_the_next_does_not_find(mode: str) -> None:
    """The process for the next program is made early, and made again when the scratch had to be renewed."""
    judge = Judge(mode, workers=1)  # type: ignore[arg-type]
    look = "import os\nprint(os.listdir(), os.path.samefile('.', os.environ['TMPDIR']))\nopen('left', 'w').write('x')\n"
    try:
        for _ in range(4):
            assert judge(Program(look, kind="script")).output == "[] True\n"
            assert judge(GOOD).passed
    finally:
        judge.close()


def test_a_program_whose_workers_all_die_is_not_judged(mode: str) -> None:
    """A program whose workers die again and again is our failure, not its own."""
    judge = Judge(mode, workers=1)  # type: ignore[arg-type]
    try:

        async def kill_all() -> Status:
            endless = Program("import time\ntime.sleep(600)", kind="script", limits=Limits(seconds=600))
            run = asyncio.create_task(judge.sandbox.run(endless))
            killed: set[int] = set()
            while not run.done():
                await asyncio.sleep(0.05)
                for worker in list(judge.sandbox._all):
                    servers = process_tree(worker.pid)
                    if worker.count_programs() and worker.pid not in killed:
                        killed.add(worker.pid)
                        os.kill(servers[0], signal.SIGKILL)
            return (await run).status

        assert judge.wait(kill_all()) is Status.NOT_JUDGED
        assert judge(GOOD).passed
    finally:
        judge.close()


def test_closing_leaves_nothing(mode: str) -> None:
    """After the sandbox is closed, even in the middle of a program, no process and no scratch folder is left."""
    judge = Judge(mode)  # type: ignore[arg-type]
    judge(GOOD)
    running = asyncio.run_coroutine_threadsafe(
        judge.sandbox.run(Program("import os\nos.fork()\nos.setsid()\nwhile True: pass", kind="script")), judge.loop
    )
    assert wait_for(lambda: judge.sandbox.count_programs() == 2)
    pids = [pid for worker in judge.sandbox._all for pid in (worker.pid, *process_tree(worker.pid))]
    assert len(pids) >= 6
    folders = scratch_folders(judge)
    running.cancel()
    judge.close()
    assert [pid for pid in pids if is_alive(pid)] == []
    assert not any(folder.exists() for folder in folders)


_INTERRUPTED = """
import asyncio, sys
from selfcodealign.sandbox import Limits, Program, Sandbox
async def main():
    async with Sandbox(workers=2, mode=sys.argv[1]) as sandbox:
        print(*(worker.pid for worker in sandbox._all), flush=True)
        await asyncio.gather(*(sandbox.run(Program("while True: pass", kind="script")) for _ in range(6)))
asyncio.run(main())
"""


@pytest.fixture
def scratches() -> Iterator[Path]:
    """A folder for scratches, which programs' users may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_user_leaves_nothing(sign: signal.Signals, mode: str, scratches: Path) -> None:
    """Ctrl-C closes everything; and when the user's process is killed outright, everything ends, scratch included."""
    user = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(scratches)},
    )
    assert user.stdout is not None
    guards = [int(word) for word in user.stdout.readline().split()]
    assert wait_for(lambda: sum(len(process_tree(guard)) for guard in guards) >= 4)
    pids = [pid for guard in guards for pid in (guard, *process_tree(guard))]
    assert len(pids) >= 6
    user.send_signal(sign)
    user.communicate(timeout=600)
    assert user.returncode == -sign
    assert wait_for(lambda: not any(is_alive(pid) for pid in pids))
    assert wait_for(lambda: not list(scratches.iterdir()))


def is_alive(pid: int) -> bool:
    """A zombie counts as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


_RESTRICTED = """
import asyncio, sys
from selfcodealign.errors import SandboxError
from selfcodealign.sandbox import Program, Sandbox
from selfcodealign.sandbox.isolation import kernel
from selfcodealign.sandbox.isolation.seccomp import compile_filter, install_filter
refusals = [(0x15, 0, 1, int(number)) for number in sys.argv[2:]]
code = [(0x20, 0, 0, 0)]
for refusal in refusals:
    code += [refusal, (0x06, 0, 0, 0x00050001)]
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
install_filter(compile_filter([*code, (0x06, 0, 0, 0x7FFF0000)]))
async def main():
    async with Sandbox(workers=1, mode=sys.argv[1]) as sandbox:
        verdict = await sandbox.run(Program("def f(): return 1", "assert f() == 1"))
        print(sandbox.mode, verdict.status)
try:
    asyncio.run(main())
except SandboxError as error:
    print("refused:", error)
"""
_UNSHARE = {"x86_64": 272, "aarch64": 97}[os.uname().machine]
_LANDLOCK_CREATE_RULESET = 444


def start_restricted(mode: str, *forbidden: int) -> str:
    """What a sandbox does on a machine that refuses some system calls (here: by a filter around a new process)."""
    command = [sys.executable, "-c", _RESTRICTED, mode, *map(str, forbidden)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_auto_takes_the_strongest_mode_that_the_machine_allows() -> None:
    """Where namespaces are refused, "auto" falls back to Landlock, and to nothing less."""
    without_namespaces = start_restricted("auto", _UNSHARE)
    if landlock_abi() >= FIRST_WITH_TRUNCATE:
        assert without_namespaces == "landlock passed\n"
    else:
        assert without_namespaces.startswith("refused:")
    neither = start_restricted("auto", _UNSHARE, _LANDLOCK_CREATE_RULESET)
    assert neither.startswith("refused:")
    assert "Landlock" in neither


def test_a_missing_wall_is_an_error_that_names_it() -> None:
    """A machine that refuses a wall gets no sandbox, but one sentence that says which and what to do."""
    refused = start_restricted("namespaces", _UNSHARE)
    assert "'user namespace'" in refused
    assert 'mode="landlock"' in refused


def test_a_server_that_cannot_load_says_why() -> None:
    """A broken set-up is an exception with its reason, never a verdict."""

    async def start() -> None:
        await Worker(ServerSettings("landlock", (), (), 16, "no_such_runner")).start()

    with pytest.raises(SandboxError, match="no_such_runner"):
        asyncio.run(start())


def run_filter(
    instructions: list[tuple[int, int, int, int]], number: int, first: int = 0, second: int = 0, third: int = 0
) -> int:
    """What the filter answers to a call: a small reading of the classic BPF that the kernel runs."""
    arch = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[os.uname().machine]
    data = {0: number, 4: arch, 16: first & 0xFFFFFFFF, 24: second & 0xFFFFFFFF}
    data |= {32: third & 0xFFFFFFFF, 36: third >> 32}
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, value = instructions[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            accumulator = data[value]
        else:
            holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x35: accumulator >= value}
            at += if_true if (bool(accumulator & value) if code == 0x45 else holds[code]) else if_false


ALLOW, EPERM, ENOSYS, ENOTSUP, DONE = 0x7FFF0000, 0x00050001, 0x00050026, 0x0005005F, 0x00050000
ENOTTY = 0x00050019


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers below are those of x86_64")
def test_the_filter_answers_as_it_should() -> None:
    """Every number up to 500: allowed or refused, never falling off the end; arguments are looked at."""
    plain, alone = assemble(), assemble(own_pid=77, only_landlock=True)
    assert {run_filter(plain, number) for number in range(500)} == {ALLOW, EPERM, ENOSYS, ENOTSUP, ENOTTY, DONE}
    xattrs = list(range(191, 197))
    for code in (plain, alone):
        assert [number for number in range(500) if run_filter(code, number) == ENOTSUP] == xattrs
    read, mount, kill, chmod, fcntl, clone, clone3, unknown = 0, 165, 62, 90, 72, 56, 435, 499
    assert run_filter(plain, read) == ALLOW
    assert run_filter(plain, mount) == EPERM
    assert (run_filter(plain, clone3), run_filter(plain, unknown)) == (ENOSYS, ENOSYS)
    assert (run_filter(plain, clone, 17), run_filter(plain, clone, 0x10000011)) == (ALLOW, EPERM)
    assert (run_filter(plain, fcntl, 1, 3), run_filter(plain, fcntl, 1, 8)) == (ALLOW, EPERM)
    assert (run_filter(plain, kill, 5), run_filter(alone, kill, 5), run_filter(alone, kill, 77)) == (
        ALLOW,
        EPERM,
        ALLOW,
    )
    assert (run_filter(plain, chmod), run_filter(alone, chmod)) == (ALLOW, DONE)
    assert run_filter(plain, 0x40000000) == EPERM
    ioctl, setrlimit, prlimit, setsockopt = 16, 160, 302, 54
    assert (run_filter(plain, ioctl, 1, 0x5413), run_filter(plain, ioctl, 1, 0x5412)) == (ALLOW, ENOTTY)
    assert [run_filter(plain, setrlimit, which) for which in (3, 4, 7)] == [ALLOW, DONE, ALLOW]
    asked = [(0, 4, 0), (0, 4, 1), (0, 4, 1 << 40), (0, 7, 1), (5, 4, 0)]
    assert [run_filter(plain, prlimit, *arguments) for arguments in asked] == [ALLOW, DONE, DONE, ALLOW, EPERM]
    options = [(3, 1, 7), (3, 1, 8), (3, 1, 9), (3, 6, 7)]
    assert [run_filter(plain, setsockopt, *option) for option in options] == [DONE, DONE, ALLOW, ALLOW]
