"""Kill `selfcodealign execute` at random moments and count its rows: `python bench/execute.py --kills 20`.

Makes a file of small programs of a few kinds, one row in a hundred malformed, and runs the command on it. Each time it
is killed by SIGKILL, SIGTERM or SIGINT after a random while, and run again. In the end every row must be there exactly
once, in order and with its status; nothing of a killed run may be left: no process, no scratch, no unfinished file.
Also told: the peak of the command's own memory, and how long it took to stop.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
_DEEP = 100_000


def make_row(number: int) -> tuple[bytes, str]:
    """Return a line and the status it must get."""
    draw = random.Random(number)
    if draw.random() < 0.01:
        return make_odd_row(number, draw.randrange(8))
    kind = draw.randrange(5)
    answer = number if kind else number + 1
    response = f"def f(x):\n    return x + {answer}\n"
    tests: Any = f"assert f(0) == {number}\nassert f(1) == {number + 1}\n"
    if kind == 1:
        tests = [f"assert f(0) == {number}", f"assert f(2) == {number + 2}"]
    elif kind == 2:
        tests = json.dumps([f"assert f(0) == {number}"])
    elif kind == 3:
        response = "import nothing_of_this_name\n" + response
    row = {"id": number, "response": response, "tests": tests, "score": 1.5}
    return json.dumps(row).encode(), {0: "failed", 3: "error"}.get(kind, "passed")


def make_odd_row(number: int, kind: int) -> tuple[bytes, str]:
    """Return a malformed line, or one that many readers cannot read, and the status it must get."""
    good = f'"response": "def f(): return {number}", "tests": "assert f() == {number}"'
    return {
        0: (b'{"id": %d, "response": "def f' % number, "no_code"),
        1: (b"[%d]" % number, "no_code"),
        2: (b'{"id": %d, "response": "caf\xe9"}' % number, "no_code"),
        3: (b'{"id": %d, "response": null}' % number, "no_code"),
        4: (f'{{"id": {number}, "half": "\\ud800", {good}}}'.encode(), "passed"),
        5: (f'{{"id": {number}, "long": {"9" * 5000}, "large": 1e400, "exact": 1.10, {good}}}'.encode(), "passed"),
        6: (f'{{"id": {number}, "deep": {"[" * _DEEP}{"]" * _DEEP}, {good}}}'.encode(), "passed"),
        7: (f'{{"id": {number}, "id": {number}, {good}, "status": "old"}}'.encode(), "passed"),
    }[kind]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--every", type=float, default=0, help="most seconds between kills; 0: spread over the work")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="judged.jsonl", help="name of the output; its ending chooses the form")
    parser.add_argument("--mode", default="auto")
    parser.add_argument("--full", action="store_true", help="with mutation testing and judging in two processes")
    given = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job would pass on that it is ignored
    folder = Path(tempfile.mkdtemp(prefix="bench-execute-"))
    source, target = folder / "rows.jsonl", folder / given.out
    expected = []
    with open(source, "wb") as file:
        for number in range(given.rows):
            line, status = make_row(number)
            file.write(line + b"\n")
            expected.append(status)
    temporary = folder / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "selfcodealign", "execute", str(source), str(target), "--sandbox", given.mode]
    command += [] if given.full else ["--no-mutation-testing", "--no-split"]
    environment = os.environ | {"TMPDIR": str(temporary)}
    draw = random.Random(given.seed)
    began, peak, stops, killed = time.monotonic(), 0.0, [], Counter[str]()
    while True:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        processes: set[tuple[int, str]] = set()
        kills = killed.total() < given.kills
        until = time.monotonic() + draw.uniform(0.2, given.every or given.rows / 60 / max(given.kills, 1))
        while process.poll() is None and not (kills and time.monotonic() > until):
            peak = max(peak, peak_mib(process.pid))
            processes |= set(processes_below(process.pid))
            time.sleep(0.05)
        sign = draw.choice(SIGNALS)
        was_killed, sent = process.poll() is None, time.monotonic()
        if was_killed:
            process.send_signal(sign)
        out, error = process.communicate()
        if not was_killed:
            assert process.returncode == 0, error.decode()
            break
        stops.append((time.monotonic() - sent, sign.name))
        killed[sign.name] += 1
        check_stop(process.returncode, sign, error.decode())
        check_nothing_left(temporary, processes)
        print(f"{sign.name:8} after {time.monotonic() - began:6.0f} s, rows: {count_rows(target)}", flush=True)
    print(out.decode())
    check_nothing_left(temporary, processes)
    check_rows(source, target, expected)
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted(["rows.jsonl", target.name, "tmp"]), left
    slowest = max((one for one in stops if one[1] != "SIGKILL"), default=(0.0, "none"))
    told = ", ".join(f"{name} {count}" for name, count in killed.items()) or "none"
    print(f"{given.rows:,} rows, each exactly once, in order, with its status; kills: {told}")
    print(f"wall time {time.monotonic() - began:.0f} s, peak memory of the command {peak:.0f} MiB")
    print(f"slowest clean stop {slowest[0]:.2f} s ({slowest[1]})")
    shutil.rmtree(folder)


def check_stop(code: int, sign: signal.Signals, error: str) -> None:
    """Fail unless a run ended as the signal wants: while Python starts, the signal itself ends it."""
    last = error.strip().splitlines()[-1] if error.strip() else ""
    assert code in (CODES[sign], -sign), (sign, code, error)
    if code == CODES[sign] and sign is not signal.SIGKILL:
        assert last.startswith("stopped"), error


def check_nothing_left(temporary: Path, processes: set[tuple[int, str]]) -> None:
    """Fail if a process of a run or a scratch is left."""
    deadline = time.monotonic() + 10
    while (left := [*filter(is_alive, processes), *temporary.iterdir()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, left


def is_alive(process: tuple[int, str]) -> bool:
    pid, start = process
    return bool(start) and start_of(pid) == start


def processes_below(pid: int) -> Iterator[tuple[int, str]]:
    """Yield the processes below one process, with the times of their starts, because ids are used again."""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield child, start_of(child)
                yield from processes_below(child)


def start_of(pid: int) -> str:
    """Return when a process started; empty when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return fields[19] if fields[0] != "Z" else ""


def peak_mib(pid: int) -> float:
    """Return the peak of the resident memory of one process so far."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0


def count_rows(target: Path) -> int:
    journal = target.with_name(f"{target.name}.unfinished.jsonl")
    path = target if target.suffix == ".jsonl" else journal
    return path.read_bytes().count(b"\n") if path.exists() else 0


def check_rows(source: Path, target: Path, expected: list[str]) -> None:
    """Fail unless the output holds each row once, in order, with the text it had and the status it must get."""
    found = read_table(target) if target.suffix == ".parquet" else read_lines(target)
    count = 0
    with open(source, "rb") as lines:
        for number, (line, (row_id, status, text)) in enumerate(zip(lines, found, strict=True)):
            count += 1
            assert row_id in (number, None), (number, row_id)
            assert status == expected[number], (number, status, expected[number], text[:300])
            kept = line.strip().removesuffix(b"}").replace(b', "status": "old"', b"")
            if row_id is not None and text:
                assert text.startswith(kept), (number, text[:300], kept[:300])
    assert count == len(expected)


def read_lines(target: Path) -> Iterator[tuple[int | None, str, bytes]]:
    """Yield id, status and text of each row; of the deep ones, which `json` cannot read, without their depth."""
    with gzip.open(target) if target.suffix == ".gz" else open(target, "rb") as lines:
        for line in lines:
            row = json.loads(line.replace(b"[" * _DEEP + b"]" * _DEEP, b"[]").replace(b"9" * 5000, b"9"))
            yield row.get("id"), row["status"], line


def read_table(target: Path) -> Iterator[tuple[int | None, str, bytes]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(target).iter_batches(1000, columns=["id", "status"]):
        for row in batch.to_pylist():
            yield row["id"], row["status"], b""


if __name__ == "__main__":
    main()
