"""The walls hold: each promise is tried by a hostile program, and where it is about the host, the host is asked."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from selfcodealign.sandbox import Limits, Probe, Program, Status, Verdict
from tests.support.judge import Judge

# A fresh interpreter inside the sandbox has no audit hook: native calls meet the kernel's walls alone.
_NATIVE = """
import os, sys
os.execv(sys.executable, [sys.executable, "-I", "-c", '''
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    result = getattr(libc, name)(*arguments)
    print(name, result, os.strerror(ctypes.get_errno()) if result == -1 else "")
    return result
BODY
'''])
"""


def native(body: str) -> Program:
    return Program(_NATIVE.replace("BODY", body.strip("\n")), kind="script")


def script(text: str, **limits: float) -> Program:
    merged = Limits(**({"seconds": 3.0, "memory_mib": 512, "processes": 24, "scratch_mib": 16} | limits))  # type: ignore[arg-type]
    return Program(text, kind="script", limits=merged)


@pytest.fixture
def host_file(tmp_path: Path) -> Path:
    """A file of the host with a known text."""
    path = tmp_path / "host.txt"
    path.write_text("untouched")
    return path


def test_every_probe_meets_its_wall(probes: list[Probe]) -> None:
    """Each wall is there, as `doctor` would say: over thirty attempts, none of which could have done harm."""
    assert len(probes) >= 30
    assert [probe for probe in probes if not probe.held] == []


ENDLESS = {
    "loop": "while True: pass",
    "sleep": "import time\ntime.sleep(60)",
    "ignored signals": "import signal\nfor n in (1, 2, 3, 13, 14, 15): signal.signal(n, signal.SIG_IGN)\n"
    "while True: pass",
    "threads in tight loops": (
        "import threading\nfor _ in range(4): threading.Thread(target=lambda: any(iter(int, 1))).start()"
    ),
    "stopped itself": "import os, signal, time\nos.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(60)",
    "a regex that explodes": "import re\nre.match(r'(a+)+$', 'a' * 40 + 'b')",
    "one long C call": "sum(range(10**15))",
    "waits for input on a pipe": "import os\nr, w = os.pipe()\nos.read(r, 1)",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_programs_time_out(name: str, walled: Judge) -> None:
    """Whatever a program does to go on, it is over soon after its time, and nothing of it is left."""
    before = time.monotonic()
    verdict = walled(script(ENDLESS[name], seconds=0.5))
    assert verdict.status is Status.TIMEOUT
    assert time.monotonic() - before < 10
    assert walled.sandbox.count_programs() == 0


LEFT_BEHIND = {
    "a child": "import os, time\nif os.fork() == 0: time.sleep(60)",
    "a daemon": "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
    "    if os.fork() == 0: time.sleep(60)\n    os._exit(0)",
    "deaf children": (
        "import os, signal, time\nfor _ in range(5):\n    if os.fork() == 0:\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n        while True: pass"
    ),
    "stopped children": "import os, signal\nif os.fork() == 0: os.kill(os.getpid(), signal.SIGSTOP)",
    "a fresh interpreter": "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'while True: pass'])",
    "children of a program that was killed": (
        "import os, time\nfor _ in range(3):\n    if os.fork() == 0: time.sleep(60)\nwhile True: pass"
    ),
}


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_nothing_outlives_its_verdict(name: str, walled: Judge) -> None:
    """Every process that a program started is dead when its verdict is returned."""
    walled(script(LEFT_BEHIND[name], seconds=0.7))
    assert walled.sandbox.count_programs() == 0


def test_fork_bomb_stays_inside(walled: Judge) -> None:
    """A fork bomb is held by the process count, timed out, and leaves nothing on the host."""
    verdict = walled(script("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", seconds=1.0))
    assert verdict.status in (Status.TIMEOUT, Status.BLOCKED)
    assert walled.sandbox.count_programs() == 0


def test_fork_chain_stays_inside(walled: Judge) -> None:
    """A process that always lives on in its child is caught, too."""
    walled(script("import os\nwhile True:\n    if os.fork(): os._exit(0)", seconds=0.5))
    assert walled.sandbox.count_programs() == 0


MEMORY = {
    "one object": "x = bytearray(2 << 30)",
    "many objects": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "a long list": "x = [0]\nwhile True: x += x",
    "a big number": "x = 1 << (8 * (2 << 30))",
}


@pytest.mark.parametrize("name", MEMORY)
def test_memory_is_bounded(name: str, walled: Judge) -> None:
    """A program that wants more memory than it may have ends for that reason."""
    verdict = walled(script(MEMORY[name], seconds=10, memory_mib=128))
    assert verdict.status is Status.MEMORY
    assert verdict.peak_memory_mib < 400


def test_memory_of_many_processes_is_bounded(walled: Judge) -> None:
    """Processes that each stay below the limit do not exceed it together."""
    hog = (
        "import os, time\n"
        "for _ in range(8): os.fork() or (globals().update(x=bytearray(60 << 20)), time.sleep(5))\n"
        "time.sleep(5)"
    )
    assert walled(script(hog, seconds=8, memory_mib=128)).status is Status.MEMORY


def test_output_flood_is_cut(walled: Judge) -> None:
    """A flood of output ends the program; the verdict keeps only the last of it."""
    verdict = walled(script("import os\nwhile True: os.write(1, b'flood ' * 1000)", output_kib=256))
    assert (verdict.status, verdict.error_type) == (Status.BLOCKED, "OutputLimit")
    assert 0 < len(verdict.output) <= 8 * 1024


def test_large_files_are_refused(walled: Judge) -> None:
    """A file beyond the limit cannot be written."""
    verdict = walled(script("with open('f', 'wb') as f:\n    for _ in range(20): f.write(bytes(1 << 20))", file_mib=4))
    assert verdict.status is Status.BLOCKED


def test_scratch_is_fresh_for_every_program(walled: Judge) -> None:
    """What one program wrote, whatever permissions it left, is gone for the next."""
    litter = (
        "import os\nos.makedirs('a/b/c')\nopen('a/b/c/f', 'w').write('x')\nos.symlink('/', 'root')\n"
        "os.chmod('a/b', 0)\nos.chmod('.', 0o300)"
    )
    listing = "import os\nprint(os.listdir('.'))"
    for _ in range(3):
        assert walled(script(litter)).passed
        assert walled(script(listing)).output == "[]\n"


def test_full_scratch_is_fresh_again(walled: Judge) -> None:
    """A scratch filled to the brim leaves room for the next program."""
    fill = (
        "for n in range(100):\n    with open(f'f{n}', 'wb') as f: f.write(bytes(1 << 20))\nimport time\ntime.sleep(2)"
    )
    assert walled(script(fill)).status is Status.BLOCKED
    assert walled(script("open('f', 'wb').write(bytes(1 << 20))")).passed


HOST_READS = {
    "passwords": "open('/etc/shadow').read()",
    "users": "open('/etc/passwd').read()",
    "root's home": "__import__('os').listdir('/root')",
    "the root folder": "__import__('os').listdir('/')",
    "own environment in /proc": "open('/proc/self/environ').read()",
    "parent's environment in /proc": "open(f'/proc/{__import__(\"os\").getppid()}/environ').read()",
    "init's memory": "open('/proc/1/mem', 'rb').read(1)",
    "kernel log": "open('/dev/kmsg', 'rb').read(1)",
    "raw disk": "open('/dev/vda', 'rb').read(1)",
    "a terminal": "open('/dev/tty')",
    "sys": "__import__('os').listdir('/sys')",
    "climbing out": "open('/'.join(['..'] * 20) + '/etc/passwd').read()",
}


@pytest.mark.parametrize("name", HOST_READS)
def test_the_host_cannot_be_read(name: str, walled: Judge) -> None:
    """Nothing outside the interpreter and the scratch can be opened."""
    verdict = walled(script(HOST_READS[name]))
    assert verdict.status in (Status.BLOCKED, Status.ERROR)
    assert verdict.error_type in ("PermissionError", "FileNotFoundError")


def test_links_do_not_lead_out(walled: Judge, host_file: Path) -> None:
    """Symbolic and hard links to the host's files open nothing."""
    for make in ("symlink", "link"):
        verdict = walled(script(f"import os\nos.{make}({str(host_file)!r}, 'x')\nprint(open('x').read())"))
        assert not verdict.passed
        assert "untouched" not in verdict.output


def test_the_host_cannot_be_written(walled: Judge, host_file: Path) -> None:
    """A program that deletes, empties and overwrites all it can name leaves the host's files as they were."""
    os.chmod(host_file, 0o640)
    wreck = (
        "import os, shutil\n"
        f"for path in ({str(host_file)!r}, {str(host_file.parent)!r}):\n"
        "    acts = [os.unlink, shutil.rmtree, lambda p: open(p, 'w'), lambda p: os.truncate(p, 0)]\n"
        "    acts += [lambda p: os.chmod(p, 0), lambda p: os.chown(p, 1, 1), lambda p: os.utime(p, (1, 1))]\n"
        "    acts += [lambda p: os.rename(p, 'mine'), lambda p: os.rename('.', p), lambda p: os.mkdir(p + 'x')]\n"
        "    for act in acts:\n        try: act(path)\n        except OSError: pass\n"
    )
    before = os.stat(host_file)
    assert walled(script(wreck)).passed
    after = os.stat(host_file)
    assert (after.st_mode, after.st_uid, after.st_size) == (before.st_mode, before.st_uid, before.st_size)
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)
    assert host_file.read_text() == "untouched"
    assert [entry.name for entry in host_file.parent.iterdir()] == ["host.txt"]


def test_the_interpreter_cannot_be_written(walled: Judge) -> None:
    """The files that programs may read are not theirs to change: attempts that would change nothing are refused."""
    before = os.stat(os.__file__)
    attempt = (
        f"import os\nfor act in (lambda p: open(p, 'r+'), lambda p: os.chmod(p, {before.st_mode & 0o777})):\n"
        "    try: act(os.__file__)\n    except OSError as error: print(type(error).__name__)\n"
    )
    assert "Error" in walled(script(attempt)).output
    assert os.stat(os.__file__).st_ctime_ns == before.st_ctime_ns


def test_the_environment_is_not_inherited(walled: Judge) -> None:
    """Nothing of the host's environment is visible: no keys, no tokens."""
    verdict = walled(script("import os\nprint(*os.environ)"))
    allowed = {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE"}
    allowed |= {"PYTHONUNBUFFERED", "MPLBACKEND", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}
    assert set(verdict.output.split()) <= allowed | {"NUMEXPR_NUM_THREADS"}


def test_other_processes_cannot_be_signalled(walled: Judge) -> None:
    """Killing everything kills nothing outside: not this process, not a neighbour, not the servers."""
    neighbour = subprocess.Popen(["sleep", "60"])
    try:
        kill = f"import os\nfor pid in (-1, {neighbour.pid}, {os.getpid()}, os.getppid(), 1):\n" + (
            "    try: os.kill(pid, 9)\n    except OSError: pass\n"
        )
        walled(script(kill, seconds=1.0))
        assert neighbour.poll() is None
        assert walled("def f(): return 1", "assert f() == 1", mutation_testing=False).passed
    finally:
        neighbour.kill()
        neighbour.wait()


def test_mounts_are_refused(walled: Judge) -> None:
    """A native mount over a folder of the host changes nothing, for root neither."""
    before = Path("/proc/self/mounts").read_text()
    verdict = walled(native('call("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, 0)\ncall("umount2", b"/tmp", 2)'))
    assert verdict.output.count("Operation not permitted") == 2
    assert Path("/proc/self/mounts").read_text() == before


NATIVE_CALLS = {
    "new namespaces": 'call("unshare", 0x10000000)',
    "clone into namespaces": 'call("syscall", 56 if os.uname().machine == "x86_64" else 220, 0x10000011, 0, 0, 0, 0)',
    "chroot": 'call("chroot", b".")',
    "set user": 'call("setuid", 0)',
    "set group": 'call("setgid", 0)',
    "more memory": 'call("prlimit", 1, 9, 0, 0)',
    "trace": 'call("ptrace", 0, 0, 0, 0)',
    "host name": 'call("sethostname", b"owned", 5)',
    "set the clock": 'call("clock_settime", 0, (ctypes.c_long * 2)(0, 0))',
    "reboot": 'call("reboot", 0)',
    "shared memory": 'call("shmget", 0, 4096, 0o1600)',
    "message queues": 'call("msgget", 0, 0o1600)',
    "personality": 'call("personality", 0xFFFFFFFF)',
    "swap": 'call("swapoff", b"/nowhere")',
}


@pytest.mark.parametrize("name", NATIVE_CALLS)
def test_native_calls_are_refused(name: str, walled: Judge) -> None:
    """Calls into the kernel that no program needs are refused, also from a fresh interpreter."""
    verdict = walled(native(NATIVE_CALLS[name]))
    assert "Operation not permitted" in verdict.output or "not implemented" in verdict.output


XATTRS = """
for folder in (b".", os.fsencode(os.path.dirname(os.__file__))):
    for prefix in ("", "l"):
        call(prefix + "listxattr", folder, None, 0)
        call(prefix + "getxattr", folder, b"user.note", None, 0)
        call(prefix + "setxattr", folder, b"user.note", b"1", 1, 0)
        call(prefix + "removexattr", folder, b"user.note")
    descriptor = os.open(folder, os.O_RDONLY)
    call("flistxattr", descriptor, None, 0)
    call("fgetxattr", descriptor, b"user.note", None, 0)
    call("fsetxattr", descriptor, b"user.note", b"1", 1, 0)
    call("fremovexattr", descriptor, b"user.note")
"""


def test_extended_attributes_look_unsupported(walled: Judge) -> None:
    """Reading answers as a file system without such attributes, in the scratch and outside; changing is refused."""
    lines = walled(native(XATTRS)).output.splitlines()
    reads = [line for line in lines if "getxattr" in line or "listxattr" in line]
    assert len(lines) == 2 * len(reads) == 24
    assert all(line.endswith("xattr -1 Operation not supported") for line in reads), reads
    assert all(line.endswith("-1 Operation not permitted") for line in lines if line not in reads), lines


COPIES = """
import os, shutil
with open("a", "w") as file: file.write("text")
os.makedirs("tree/below")
shutil.copy2("a", "b")
shutil.copy2("a", "tree/below")
shutil.copytree("tree", "copied")
shutil.copystat("a", "tree")
shutil.copy2(os.__file__, "outside.py")
shutil.move("copied", "moved")
print(open("b").read(), open("moved/below/a").read(), os.path.getsize("outside.py") == os.path.getsize(os.__file__))
"""


def test_files_are_copied_with_their_metadata(walled: Judge) -> None:
    """The copies of `shutil` that read extended attributes work."""
    verdict = walled(script(COPIES))
    assert (verdict.status, verdict.output) == (Status.PASSED, "text text True\n"), verdict


def test_no_capability_is_left(walled: Judge) -> None:
    """A program, and what it executes, hold no capability and can gain none."""
    ask = "h = (ctypes.c_uint32 * 2)(0x20080522, 0)\nd = (ctypes.c_uint32 * 6)()\nlibc.capget(h, d)\nprint(list(d))"
    assert walled(native(ask)).output == "[0, 0, 0, 0, 0, 0]\n"


SOCKETS = ("AF_INET, socket.SOCK_RAW", "AF_INET6, socket.SOCK_DGRAM", "AF_UNIX", "AF_NETLINK, socket.SOCK_RAW")


@pytest.mark.parametrize("kind", SOCKETS)
def test_no_other_socket_can_be_made(kind: str, walled: Judge) -> None:
    """Raw, IPv6, unix and netlink sockets are refused; a program that dies of it is called blocked."""
    verdict = walled(script(f"import socket\nsocket.socket(socket.{kind})"))
    assert (verdict.status, verdict.error_type) == (Status.BLOCKED, "PermissionError")


LOOPBACK = """
import socket, threading
def serve():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 8123))
        server.listen()
        client = socket.create_connection(("localhost", 8123))
        accepted, _ = server.accept()
        accepted.sendall(b"own")
        accepted.close()
        return client.recv(9)
"""


def test_a_program_reaches_its_own_server(walled: Judge) -> None:
    """With namespaces, the loopback works, and no port waits for the next program; without, there are no sockets."""
    programs = [Program(LOOPBACK, "assert serve() == b'own'", mutation_testing=False)] * 4
    inside = walled.sandbox.mode == "namespaces"
    assert {v.status for v in walled.all(programs)} == {Status.PASSED if inside else Status.BLOCKED}


def test_the_loopback_leads_nowhere_else(walled: Judge) -> None:
    """Neither the host's ports nor other machines are reached, by TCP or UDP."""
    ask = """
import socket, sys
for host in ("127.0.0.1", "10.0.0.1", "8.8.8.8"):
    try:
        socket.create_connection((host, int(sys.stdin.readline())), 1)
        print("reached", host)
    except OSError:
        pass
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        verdict = walled(Program(ask, kind="script", stdin=f"{port}\n80\n53\n"))
    assert (verdict.status, verdict.output) == (Status.PASSED, ""), verdict


def test_name_lookup_is_refused(walled: Judge) -> None:
    """No request leaves the sandbox, by any library."""
    verdict = walled(script("import urllib.request\nurllib.request.urlopen('http://example.com', timeout=1)"))
    assert verdict.status in (Status.BLOCKED, Status.ERROR)


def test_programs_share_nothing(walled: Judge) -> None:
    """Modules patched, variables set and files opened by one program do not reach the next."""
    walled(
        script(
            "import builtins, math, os, sys\nbuiltins.print = math.pi = 3\nos.environ['LEFT'] = '1'\nsys.path.clear()"
        )
    )
    verdict = walled(script("import math, os\nprint(math.pi > 3.1, 'LEFT' in os.environ)"))
    assert verdict.output == "True False\n"


def test_ordinary_work_is_possible(walled: Judge) -> None:
    """Files in the scratch, temporary folders, threads, child processes, asyncio and time zones work."""
    work = """
import asyncio, subprocess, sys, tempfile, threading, zoneinfo
with tempfile.TemporaryDirectory() as folder, open(folder + "/f", "w+") as file:
    file.write("x")
thread = threading.Thread(target=lambda: None)
thread.start()
thread.join()
assert subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True).stdout == "42\\n"
asyncio.run(asyncio.sleep(0))
zoneinfo.ZoneInfo("Europe/Berlin")
"""
    verdict: Verdict = walled(script(work, memory_mib=1024, open_files=256))
    assert verdict.passed, verdict
