"""Expected values on disk: read by a later evaluation, out of the answers' reach, trusted only where they are ours."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from selfcodealign.benchmarks.differential import CallProblem, task_digest
from selfcodealign.benchmarks.inside.kept_values import KeptValues
from selfcodealign.benchmarks.reference_cache import judge_version, read_values, write_values
from tests.support.benchmark_rows import evalplus_row
from tests.support.grading import judge, read

HEAD = "def add_all(numbers):\n"
RIGHT = HEAD + "    return sum(numbers)\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "selfcodealign" / "expected" / judge_version()


def read_task() -> tuple[object, CallProblem]:
    benchmark, (problem,) = read("humaneval+", evalplus_row())
    assert isinstance(problem, CallProblem)
    return benchmark, problem


def kept(problem: CallProblem) -> dict[str, list]:
    values = KeptValues([*problem.suites], read_values(task_digest(problem)))
    return {name: [value for value, _ in values.values(name)] for name in problem.suites}


def test_values_are_kept_as_far_as_answers_get_and_read_by_the_next(folder: Path) -> None:
    """A wrong answer needs one value, a right one all; what is kept decides the verdicts after it."""
    benchmark, problem = read_task()
    judge((benchmark, problem, [HEAD + "    import time; time.sleep(0.3); return 7\n"]))  # type: ignore[arg-type]
    assert kept(problem)["base"][:1] == [3]
    judge((benchmark, problem, [RIGHT]))  # type: ignore[arg-type]
    assert kept(problem) == {"base": [3, 0, 5], "plus": [0, 60]}
    other = KeptValues([*problem.suites])
    for number, value in enumerate([3, 0, 6]):
        other.add("base", number, value, 0.01)
    (path,) = folder.iterdir()
    path.unlink()
    write_values(task_digest(problem), base64.b64decode(other.text()))
    ((outcome,),) = judge((benchmark, problem, [RIGHT]))  # type: ignore[arg-type]
    assert outcome.detail == "base test 2: gave 5, expected 6"


@pytest.mark.parametrize("fault", ["cut", "changed", "empty", "of another task", "writable by all", "a link"])
def test_a_file_that_is_damaged_or_not_ours_is_ignored_and_replaced(folder: Path, fault: str, tmp_path: Path) -> None:
    """The next judging computes the values and writes them again."""
    benchmark, problem = read_task()
    judge((benchmark, problem, [RIGHT]))  # type: ignore[arg-type]
    (path,) = folder.iterdir()
    good = path.read_bytes()
    if fault == "of another task":
        write_values("other", b"values of another task" * 100)
        (folder / "other").rename(path)
    elif fault == "writable by all":
        path.chmod(0o666)
    elif fault == "a link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_bytes({"cut": good[:-1], "changed": good[:-1] + b"?", "empty": b""}[fault])
    assert read_values(task_digest(problem)) == b""
    ((outcome,),) = judge((benchmark, problem, [RIGHT]))  # type: ignore[arg-type]
    assert outcome.status == "passed"
    assert kept(problem)["plus"] == [0, 60]
    assert [stat.S_IMODE(one.lstat().st_mode) for one in (path, folder)] == [0o600, 0o700]


def test_a_folder_that_others_may_write_is_not_trusted(folder: Path) -> None:
    """Whoever may write it can put a file in the place of ours."""
    write_values("task", b"values")
    assert read_values("task") == b"values"
    folder.chmod(0o777)
    assert read_values("task") == b""


def test_more_values_are_not_replaced_by_fewer(folder: Path) -> None:
    """Programs with answers to the same task run at the same time."""
    write_values("task", b"many values")
    write_values("task", b"few")
    assert read_values("task") == b"many values"


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are computed each time then."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    write_values("task", b"values")
    assert read_values("task") == b""


@pytest.mark.usefixtures("folder")
def test_an_answer_does_not_see_kept_values() -> None:
    """They arrive on the judge's standard input, after the answers' processes began; an answer's input is empty."""
    benchmark, problem = read_task()
    judge((benchmark, problem, [RIGHT]))  # type: ignore[arg-type]
    peek = HEAD + (
        "    import os\n"
        "    for look in (lambda: os.read(0, 9), lambda: os.pread(0, 9, 0), lambda: os.fstat(0).st_size):\n"
        "        try:\n            if look(): return 'seen'\n        except OSError: pass\n    return sum(numbers)\n"
    )
    ((outcome,),) = judge((benchmark, problem, [peek]))  # type: ignore[arg-type]
    assert outcome.status == "passed", outcome


@pytest.mark.parametrize(
    ("value", "keeps"),
    [
        ([1, (2.5, "a"), {"k": {3}}, None, 1j, b"x", 10**5000], True),
        (float("inf"), True),
        ([object()], False),
        ([type("Own", (int,), {})(3)], False),
        (memoryview(b"abc"), False),
        (list(range(20_000)), False),
        ("x" * (4 << 20), False),
    ],
)
def test_only_plain_values_of_some_size_are_kept(value: object, keeps: bool) -> None:
    """What comes back is the same value with the same types; the values behind a gap are not kept."""
    values = KeptValues(["base"])
    values.add("base", 0, value, 0.5)
    values.add("base", 1, 7, 0.5)
    assert values.values("base") == ([(value, 0.5), (7, 0.5)] if keeps else [])
    assert bool(values.text()) == keeps
