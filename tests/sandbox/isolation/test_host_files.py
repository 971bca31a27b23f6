"""What programs can do to files of the host that they may read: nothing that another process would notice."""

from __future__ import annotations

import pytest

from selfcodealign.sandbox import Program, Status, Verdict
from tests.support.judge import Judge


def run(judge: Judge, text: str) -> Verdict:
    return judge(Program(text, kind="script"))


HOLDS_ON_A_LIBRARY = {
    "flock": "fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)",
    "a lock of the open file": "fcntl.fcntl(file, 37, struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, 0, 1, 0))",
    "a lease": "fcntl.fcntl(file, 1024, fcntl.F_RDLCK)",
    "notice of changes in a folder": "fcntl.fcntl(os.open(os.path.dirname(os.__file__), os.O_RDONLY), 1026, 1)",
    "a hint that stays with the file": "fcntl.fcntl(file, 1036, struct.pack('Q', 0))",
    "its flags": "fcntl.ioctl(file, 0x40086602, bytes(8))",
    "its extended flags": "fcntl.ioctl(file, 0x401C5820, bytes(28))",
    "its version": "fcntl.ioctl(file, 0x40087602, bytes(8))",
    "an extended attribute": "os.setxattr(os.__file__, 'user.mark', b'1')",
}


@pytest.mark.parametrize("name", HOLDS_ON_A_LIBRARY)
def test_a_library_cannot_be_held(name: str, walled: Judge) -> None:
    """Locks, leases, flags and attributes of a file of the interpreter are refused, whoever owns it."""
    body = f"import fcntl, os, struct\nwith open(os.__file__, 'rb') as file:\n    {HOLDS_ON_A_LIBRARY[name]}\n"
    verdict = run(walled, body)
    assert verdict.status in (Status.BLOCKED, Status.ERROR)
    assert "[Errno 1]" in verdict.message or "[Errno 25]" in verdict.message


NATIVE = """
import os, sys
os.execv(sys.executable, [sys.executable, "-I", "-c", '''
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for name in ("inotify_init", "inotify_init1", "fanotify_init", "syncfs", "splice", "tee", "vmsplice"):
    print(name, getattr(libc, name)(0, 0, 0, 0, 0, 0), ctypes.get_errno())
'''])
"""


def test_folders_cannot_be_watched_nor_disks_flushed(walled: Judge) -> None:
    """Calls that watch, flush a whole file system or pin pages of memory are refused by the kernel."""
    lines = run(walled, NATIVE).output.splitlines()
    assert len(lines) == 7
    assert all(line.endswith(" -1 1") for line in lines), lines


WORKS = """
import fcntl, os, resource, socket, sqlite3
with open("mine", "w+b") as file:
    file.write(b"text")
    file.flush()
    os.fsync(file.fileno())
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    fcntl.lockf(file, fcntl.LOCK_EX)
    fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND)
    print(os.isatty(file.fileno()), fcntl.fcntl(file, fcntl.F_GETFD))
with sqlite3.connect("base") as base:
    base.execute("create table t (x)")
    base.execute("insert into t values (1)")
print(sqlite3.connect("base").execute("select x from t").fetchall())
from socket import SO_KEEPALIVE, SO_SNDBUF, SOL_SOCKET
one, other = socket.socketpair()
size = one.getsockopt(SOL_SOCKET, SO_SNDBUF)
one.setsockopt(SOL_SOCKET, SO_SNDBUF, 4096)
one.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
print(one.getsockopt(SOL_SOCKET, SO_SNDBUF) == size, one.getsockopt(SOL_SOCKET, SO_KEEPALIVE))
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE)[1] <= 1)
"""


def test_the_own_files_can_be_locked_and_flushed(walled: Judge) -> None:
    """POSIX locks (sqlite3 requires them), fsync, limits and descriptors work; sizes of socket buffers stay."""
    verdict = run(walled, WORKS)
    assert verdict.output.splitlines() == ["False 1", "[(1,)]", "True 1", "(50, 50) True"], verdict


def test_a_pipe_keeps_its_size(walled: Judge) -> None:
    """Pipes cannot be made larger than the watch counts them."""
    verdict = run(walled, "import fcntl, os\nfcntl.fcntl(os.pipe()[1], fcntl.F_SETPIPE_SZ, 1 << 20)")
    assert (verdict.status, verdict.error_type) == (Status.BLOCKED, "PermissionError")


def test_no_limit_on_core_dumps_can_be_set(walled: Judge) -> None:
    """A limit of 1 also stops dumps to a program of the host; asking for another succeeds and changes nothing."""
    ask = "import resource\nlimit = lambda *new: resource.prlimit(0, resource.RLIMIT_CORE, *new)\nbefore = limit()\n"
    change = "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\nlimit((0, 0))\nprint(before == limit(), before[1] <= 1)"
    assert run(walled, ask + change).output == "True True\n"
