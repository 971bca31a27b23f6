"""`selfcodealign execute` that is stopped and called again: every row once, nothing left, nothing replaced."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from selfcodealign.errors import UserError
from selfcodealign.judging import journal
from selfcodealign.judging.execute import execute_file
from selfcodealign.judging.rows import Fields
from selfcodealign.judging.summary import Summary
from selfcodealign.sandbox import Sandbox
from selfcodealign.sandbox.worker import WallMissing

GOOD = {"response": "def f(): return 1", "tests": "assert f() == 1"}


def write(path: Path, count: int, **more: Any) -> Path:
    path.write_text("".join(json.dumps({"id": number, **GOOD, **more}) + "\n" for number in range(count)))
    return path


def judge(source: Path, target: Path, **more: Any) -> Summary:
    return asyncio.run(execute_file(source, target, workers=1, mutation_testing=False, split=False, **more))


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in text.splitlines()]


def leave_unfinished(source: Path, target: Path, rows: int, rest: bytes = b"") -> None:
    """Leave what a run has left that was killed after so many rows, and in the middle of writing `rest`."""
    whole = source.with_name("whole.jsonl")
    judge(source, whole)
    lines = whole.read_bytes().splitlines(keepends=True)
    whole.unlink()
    stop_after_first_row(source, target)
    place = target if target.suffix == ".jsonl" else target.with_name(f"{target.name}.unfinished.jsonl")
    place.write_bytes(b"".join(lines[:rows]) + rest)


def stop_after_first_row(source: Path, target: Path) -> None:
    """Begin `target` with a source that breaks off: gzip that ends in the middle."""
    broken = source.with_name("broken.jsonl")
    broken.write_bytes(gzip.compress(source.read_bytes())[:-8])
    with pytest.raises(UserError, match="cannot read"):
        judge(broken, target)
    broken.unlink()


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.parquet"])
def test_the_same_command_goes_on_with_the_rows_that_are_there(name: str, tmp_path: Path) -> None:
    """A torn last line is judged again, the account counts all rows, and no unfinished file is left."""
    source, target = write(tmp_path / "in.jsonl", 5), tmp_path / name
    leave_unfinished(source, target, 3, b'{"id": 3, "respo')
    summary = judge(source, target)
    assert (summary.rows, summary.resumed, summary.counts) == (5, 3, {"passed": 5})
    assert [(row["id"], row["status"]) for row in read(target)] == [(number, "passed") for number in range(5)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", name]


def test_a_table_that_is_resumed_keeps_its_types(tmp_path: Path) -> None:
    """Parquet in, Parquet out: the journal of such a run holds verdicts only."""
    import pyarrow as pa

    columns = {"id": pa.array([1, 2, 3], pa.int8()), "response": [GOOD["response"]] * 3, "tests": [GOOD["tests"]] * 3}
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table(columns), source)
    judge(source, target)
    assert pq.read_schema(target).field("id").type == pa.int8()
    assert [row["status"] for row in read(target)] == ["passed"] * 3


def test_what_an_unfinished_output_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Other rows, fewer rows, other settings; --overwrite begins again."""
    source, target = write(tmp_path / "in.jsonl", 3), tmp_path / "out.jsonl"
    leave_unfinished(source, target, 2)
    before = target.read_bytes()
    write(source, 3, more=1)
    with pytest.raises(UserError, match=r"row 1 of .*out\.jsonl is not that row .*give --overwrite"):
        judge(source, target)
    write(source, 1)
    with pytest.raises(UserError, match=r"has more rows than .*in\.jsonl, which has changed"):
        judge(source, target)
    write(source, 3)
    with pytest.raises(UserError, match=r"other settings \(flake_reruns 0 → 1\): give --overwrite"):
        judge(source, target, flake_reruns=1)
    assert target.read_bytes() == before
    assert judge(source, target, flake_reruns=1, overwrite=True).resumed == 0
    assert len(read(target)) == 3


def test_only_one_run_writes_an_output(tmp_path: Path) -> None:
    """A second run is refused while the first has the lock."""
    source, target = write(tmp_path / "in.jsonl", 3), tmp_path / "out.jsonl"
    leave_unfinished(source, target, 1)
    with open(tmp_path / "out.jsonl.unfinished.json") as sidecar:
        fcntl.flock(sidecar, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another run writes"):
            judge(source, target)
    assert judge(source, target).resumed == 1


def test_a_finished_output_without_its_sidecar_is_nobodys_to_resume(tmp_path: Path) -> None:
    """An output is resumed only where something tells how it was judged."""
    source, target = write(tmp_path / "in.jsonl", 2), tmp_path / "out.jsonl"
    judge(source, target)
    with pytest.raises(UserError, match="exists and is finished"):
        judge(source, target)
    (tmp_path / "out.jsonl.unfinished.json").touch()
    with pytest.raises(UserError, match="nothing tells what it was judged with"):
        judge(source, target)
    assert len(read(target)) == 2


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_a_kill_at_the_very_end_leaves_nothing_for_good(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows are in OUT, and what stood beside it is not removed: the next call does, and judges nothing."""
    source, target = write(tmp_path / "in.jsonl", 2), tmp_path / name
    with monkeypatch.context() as patch:
        patch.setattr(journal._FileOutput, "_clear", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            judge(source, target)
    assert len(list(tmp_path.iterdir())) > 2
    before = target.read_bytes()
    with pytest.raises(UserError, match="exists and is finished"):
        judge(source, target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", name]
    assert target.read_bytes() == before


def _interrupt(_: object) -> None:
    raise KeyboardInterrupt


def test_rows_in_the_place_of_unfinished_ones_are_not_lost(tmp_path: Path) -> None:
    """IN has the name of the journal of OUT: refused, also when OUT may be replaced."""
    source = write(tmp_path / "out.parquet.unfinished.jsonl", 1)
    with pytest.raises(UserError, match="would be lost"):
        judge(source, tmp_path / "out.parquet", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [source.name]
    assert len(read(source)) == 1


def test_a_wrong_name_is_found_before_an_old_output_is_replaced(tmp_path: Path) -> None:
    """With --overwrite, too."""
    source, target = write(tmp_path / "in.jsonl", 2), tmp_path / "out.jsonl"
    target.write_text("old\n")
    with pytest.raises(UserError, match='did you mean "response"'):
        judge(source, target, fields=Fields("respons"), overwrite=True)
    with pytest.raises(UserError, match=r'no row has the field "test" .* did you mean "tests"'):
        judge(source, target, fields=Fields(tests="test"), overwrite=True)
    assert target.read_text() == "old\n"
    assert len(list(tmp_path.iterdir())) == 2


async def _start(mode: Any) -> None:
    async with Sandbox(1, mode=mode):
        pass


_SLOW = {"response": "import time\ndef f():\n    time.sleep(60)", "tests": "assert f() == 1"}


@pytest.mark.parametrize("mode", ["namespaces", "landlock"])
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_what_is_done_and_nothing_else(sign: signal.Signals, mode: str, tmp_path: Path) -> None:
    """Rows appear as they are judged. A stop tells how many there are, and leaves neither process nor scratch."""
    try:
        asyncio.run(_start(mode))
    except WallMissing as error:
        pytest.skip(str(error))
    source, target, scratch = write(tmp_path / "in.jsonl", 2), tmp_path / "out.jsonl", tmp_path / "tmp"
    scratch.mkdir()
    with source.open("a") as file:
        file.write(json.dumps({"id": 2, **_SLOW}) + "\n")
    command = [sys.executable, "-m", "selfcodealign", "execute", str(source), str(target), "--workers", "1"]
    command += ["--timeout", "60", "--no-mutation-testing", "--no-split", "--sandbox", mode]
    run = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(scratch)}, stderr=subprocess.PIPE)
    assert run.stderr is not None
    while not target.exists() or target.read_bytes().count(b"\n") < 2:
        assert run.poll() is None, run.stderr.read()
    run.send_signal(sign)
    _, error = run.communicate(timeout=20)  # ends when no process holds stderr
    assert run.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[sign]
    if sign != signal.SIGKILL:
        last = error.decode().splitlines()[-1]
        assert last == "stopped: 2 rows are judged; run the same command again to resume"
    for _ in range(100):
        if not list(scratch.iterdir()):
            break
        subprocess.run(["sleep", "0.1"], check=True)
    assert list(scratch.iterdir()) == []
    assert [row["id"] for row in read(target)] == [0, 1]
    assert (tmp_path / "out.jsonl.unfinished.json").exists()


def test_standard_input_and_output(tmp_path: Path) -> None:
    """Only rows are on stdout; a reader that ends early ends the command quietly; stdin with a file is resumable."""
    source, target = write(tmp_path / "in.jsonl", 4), tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "selfcodealign", "execute", "-", "-", "--workers", "1", "--no-mutation-testing"]
    done = subprocess.run(command, input=gzip.compress(source.read_bytes()), capture_output=True, check=True)
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [0, 1, 2, 3]
    assert b"passed" in done.stderr
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        run.stdin.write(source.read_bytes())
        run.stdin.close()
        assert b"Error" not in run.stderr.read()
    leave_unfinished(source, target, 2)
    command = [*command[:5], str(target), *command[6:], "--no-split", "--timeout", "10"]
    done = subprocess.run(command, input=source.read_bytes(), capture_output=True, check=True)
    assert b"2 by earlier runs" in done.stdout
    assert [row["id"] for row in read(target)] == [0, 1, 2, 3]


def test_a_pipe_that_nobody_writes_to_can_be_stopped(tmp_path: Path) -> None:
    """A FIFO is an input; waiting for it ends with a signal, and then nothing has been written."""
    os.mkfifo(tmp_path / "in")
    command = [sys.executable, "-c", "import sys; print(flush=True); from selfcodealign.cli import main; main()"]
    run = subprocess.Popen(
        [*command, "execute", str(tmp_path / "in"), str(tmp_path / "out.jsonl")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    writer = os.open(tmp_path / "in", os.O_WRONLY)  # returns when the command has opened it
    run.send_signal(signal.SIGTERM)
    _, error = run.communicate(timeout=20)
    os.close(writer)
    assert (run.returncode, error.decode().splitlines()[-1][:29]) == (143, "stopped: 0 rows are judged; r")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_names_tell_the_form(tmp_path: Path) -> None:
    """Other endings are refused before anything is read."""
    source = write(tmp_path / "in.json", 1)
    with pytest.raises(UserError, match=r"rows are read from files that end in \.jsonl"):
        judge(source, tmp_path / "out.jsonl")
    with pytest.raises(UserError, match=r"rows are written to files that end in \.jsonl"):
        judge(write(tmp_path / "in.jsonl", 1), Path(tempfile.gettempdir(), "out.csv"))
