"""Judges programs that read standard input and write standard output, test by test."""

from __future__ import annotations

import io
import os
import resource
import select
import signal
import sys
import tempfile
import time
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

#: Imports that competition answers assume, as in LiveCodeBench's runner.
PRELUDE = """
from string import *; from re import *; from datetime import *; from collections import *; from heapq import *
from bisect import *; from copy import *; from math import *; from random import *; from statistics import *
from itertools import *; from functools import *; from operator import *; from io import *; from sys import *
from json import *; from builtins import *; from typing import *
import string, re, datetime, collections, heapq, bisect, copy, math, random, statistics, itertools
import functools, operator, io, sys, json
sys.setrecursionlimit(50000)
"""
#: Output beyond this is cut, and then compares unequal.
OUTPUT_BYTES = 64 << 20


def judge(tests: list[tuple[str, str]], answers: list[str], seconds: float) -> list[dict[str, dict]]:
    """Return the verdict on each answer: run each (input, expected output) in turn until one fails.

    `seconds` is the time limit of one test. Verdicts are like those of `calls.judge`, in one suite named "tests".
    """
    return [{"tests": _judge_answer(tests, answer, seconds)} for answer in answers]


def _judge_answer(tests: list[tuple[str, str]], answer: str, seconds: float) -> dict[str, Any]:
    verdict: dict[str, Any] = {"status": "pass", "index": -1, "passed": 0, "calls": len(tests), "seconds": 0.0}
    for number, (given, expected) in enumerate(tests):
        started = time.monotonic()
        kind, output, message = run_script(answer, given, seconds)
        verdict["seconds"] += time.monotonic() - started
        if kind == "value" and same_output(output, expected):
            verdict["passed"] += 1
            continue
        if kind == "value":
            kind, message = "wrong", f"printed {output[:120]!r}, expected {expected[:120]!r}"
        status = "timeout" if kind == "time" else "fail"
        return verdict | {"status": status, "kind": kind, "index": number, "message": message}
    return verdict


def run_script(source: str, given: str, seconds: float) -> tuple[str, str, str]:
    """Run a program in a new process; return (kind, output, message), kind as in `calls`.

    The limits are `seconds` of CPU time, and three times that plus 2 s of wall time. `exit()` with status 0 is success.
    """
    output, output_in = os.pipe()
    with tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if pid == 0:
            try:
                _become_script(source, given, output_in, errors.fileno(), seconds)
            finally:
                os._exit(1)
        os.close(output_in)
        text, status, used = _collect(pid, output, seconds)
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - 400))
        tail = errors.read().decode("utf-8", "replace").strip().splitlines()
    if status is None or used >= seconds:
        return "time", text, "took too long"
    if status != 0:
        return "error", text, tail[-1][:300] if tail else f"ended with status {status}"
    return "value", text, ""


def _become_script(source: str, given: str, output: int, errors: int, seconds: float) -> NoReturn:
    with tempfile.TemporaryFile() as file:
        file.write(given.encode("utf-8"))
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        os.dup2(file.fileno(), 0)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    limit = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    # The inherited stream objects may hold buffered text of the judge.
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r")), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w")), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(io.FileIO(2, "w")), encoding="utf-8", line_buffering=True)
    status = 0
    try:
        main = type(sys)("__main__")
        sys.modules["__main__"] = main
        exec(compile(PRELUDE, "<prelude>", "exec", dont_inherit=True), main.__dict__)
        exec(compile(source, "<answer>", "exec", dont_inherit=True), main.__dict__)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        status = 1
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 255)


def _collect(pid: int, output: int, seconds: float) -> tuple[str, int | None, float]:
    """Wait for a program and return its output, exit status (None: killed at the time limit) and CPU seconds."""
    parts: list[bytes] = []
    size = 0
    deadline = time.monotonic() + 3 * seconds + 2
    alive = True
    while alive and time.monotonic() < deadline:
        if select.select([output], [], [], 0.25)[0]:
            part = os.read(output, 1 << 20)
            alive = bool(part)
            if size < OUTPUT_BYTES:
                parts.append(part)
                size += len(part)
    os.close(output)
    # A program may continue after it has closed its output.
    status: int | None = None
    while time.monotonic() < deadline:
        found, code, usage = os.wait4(pid, os.WNOHANG)
        if found:
            # A kill by the CPU limit counts as a time-out, any other signal as an error.
            status = None if code in (signal.SIGKILL, signal.SIGXCPU) else os.waitstatus_to_exitcode(code)
            return b"".join(parts).decode("utf-8", "replace"), status, usage.ru_utime + usage.ru_stime
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    usage = os.wait4(pid, 0)[2]
    return b"".join(parts).decode("utf-8", "replace"), None, usage.ru_utime + usage.ru_stime


def same_output(output: str, expected: str) -> bool:
    """Compare stripped lines; lines that differ as text may be equal as numbers (LiveCodeBench's rule)."""
    lines, wanted = ([line.strip() for line in text.strip().split("\n")] for text in (output, expected))
    return len(lines) == len(wanted) and all(map(_same_line, lines, wanted))


def _same_line(line: str, wanted: str) -> bool:
    if line == wanted:
        return True
    try:
        return [Decimal(word) for word in line.split()] == [Decimal(word) for word in wanted.split()]
    except InvalidOperation:
        return False
