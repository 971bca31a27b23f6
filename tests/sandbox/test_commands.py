"""Scripts that end as commands do, with files into and out of the scratch, in both modes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from selfcodealign.sandbox import Program, Status
from selfcodealign.sandbox.isolation.scratch_files import MOST_BYTES, fetch_files
from tests.support.judge import Judge


def test_streams_are_apart_only_where_that_is_asked_for(judge: Judge) -> None:
    """stderr goes into `output` otherwise, in the order of writing."""
    text = "import sys\nprint('one')\nprint('two', file=sys.stderr)\nprint('three')\n"
    apart = judge(text, kind="script", as_command=True)
    assert (apart.output, apart.stderr, apart.exit_code) == ("one\nthree\n", "two\n", 0)
    merged = judge(text, kind="script")
    assert (merged.output, merged.stderr) == ("one\ntwo\nthree\n", "")


def test_children_write_to_the_same_streams(judge: Judge) -> None:
    """Descriptors 1 and 2, not only Python's objects."""
    text = "import os\nif os.fork() == 0:\n    os.write(1, b'a')\n    os.write(2, b'b')\n    os._exit(0)\nos.wait()\n"
    verdict = judge(text, kind="script", as_command=True)
    assert (verdict.output, verdict.stderr) == ("a", "b")


def test_a_flood_on_stderr_is_bounded_as_output_is(walled: Judge) -> None:
    """The bound holds for each of the two."""
    verdict = walled("import os\nwhile True: os.write(2, b'x' * 65536)\n", kind="script", as_command=True)
    assert (verdict.status, verdict.error_type) == (Status.BLOCKED, "OutputLimit")


def test_files_come_and_go(judge: Judge) -> None:
    """They are there when the script starts, those asked for are read after its end, and the next finds nothing."""
    text = "data = open('a/b/in.txt').read()\nopen('a/out.txt', 'w').write(data.upper())\n"
    fetch = ("a/out.txt", "a/b/in.txt", "missing", "a")
    verdict = judge(text, kind="script", files={"a/b/in.txt": b"hi"}, fetch=fetch)
    assert verdict.files == {"a/out.txt": b"HI", "a/b/in.txt": b"hi"}
    assert judge("import os\nassert os.listdir() == []", kind="script").passed


def test_files_of_a_script_that_is_ended_are_fetched(judge: Judge) -> None:
    """Also those of processes that it left behind: all are dead before anything is read."""
    text = "import os, time\nopen('log', 'w').write('begun')\nos.fork()\ntime.sleep(60)\n"
    program = Program(text, kind="script", fetch=("log",), limits=judge.sandbox.limits)
    verdict = judge(program)
    assert (verdict.status, verdict.files) == (Status.TIMEOUT, {"log": b"begun"})


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.symlink('/etc/passwd', 'out')",
        "import os\nopen('real', 'w').write('x')\nos.symlink('real', 'out')",
        "import os\nos.mkdir('out')",
    ],
)
def test_nothing_but_a_regular_file_is_fetched(walled: Judge, text: str) -> None:
    """Links are not followed, neither as a file nor on the way to one."""
    assert walled(text, kind="script", fetch=("out",)).files == {}
    through = walled("import os\nos.symlink('/etc', 'folder')", kind="script", fetch=("folder/passwd",))
    assert through.files == {}


def test_what_a_scratch_may_hold_is_read_in_bounds(tmp_path: Path) -> None:
    """Pipes, other names of a file and what is too large are left out, without waiting."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "one").write_text("x")
    os.link(tmp_path / "one", tmp_path / "other")
    for name in ("large", "fits", "then too large"):
        (tmp_path / name).touch()
    os.truncate(tmp_path / "large", MOST_BYTES + 1)
    os.truncate(tmp_path / "fits", MOST_BYTES)
    os.truncate(tmp_path / "then too large", 1)
    found = fetch_files(str(tmp_path), ["pipe", "one", "other", "large", "fits", "then too large"])
    assert list(found) == ["fits"]


@pytest.mark.parametrize(
    "names", [["/a"], ["../a"], ["a/../b"], [""], ["a\0b"], ["a/"], ["x" * 300], ["\ud800"], ["a", "a/b"], ["a", "./a"]]
)
def test_names_that_lead_elsewhere_are_refused(names: list[str]) -> None:
    """Before anything runs."""
    with pytest.raises(ValueError, match=r"."):
        Program("x = 1", kind="script", files=dict.fromkeys(names, b""))


def test_only_scripts_have_files(judge: Judge) -> None:
    """Tests run several times, in several processes."""
    with pytest.raises(ValueError, match="script"):
        Program("x = 1", "assert x", files={"a": b""})
