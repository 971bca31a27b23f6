"""Judges programs that read standard input and write standard output, test by test."""

from __future__ import annotations

import atexit
import io
import os
import resource
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any, NoReturn

from selfcodealign.benchmarks.inside.forked import end_leftovers
from selfcodealign.benchmarks.inside.time_limit import Meter, by_clock

#: Imports that competition answers assume, as in LiveCodeBench's runner; contests do not limit an integer's digits.
PRELUDE = """
from string import *; from re import *; from datetime import *; from collections import *; from heapq import *
from bisect import *; from copy import *; from math import *; from random import *; from statistics import *
from itertools import *; from functools import *; from operator import *; from io import *; from sys import *
from json import *; from builtins import *; from typing import *
import string, re, datetime, collections, heapq, bisect, copy, math, random, statistics, itertools
import functools, operator, io, sys, json
sys.setrecursionlimit(50000)
sys.set_int_max_str_digits(0)
"""
#: Printed floats may differ by this, or by this share of the expected value, in the second score.
TOLERANCE = Decimal("1e-6")
#: Output beyond this is cut, and then compares unequal.
OUTPUT_BYTES = 64 << 20


def judge(tests: list[tuple[str, str]], answers: list[str], seconds: float) -> list[dict[str, dict]]:
    """Return the verdicts on each answer: run each (input, expected output) in turn until one fails.

    `seconds` is the CPU time limit of one test. Verdicts are like those of `calls.judge`, in the suites "tests"
    (numbers are compared exactly) and "approx" (printed floats may differ by `TOLERANCE`).
    """
    return [_judge_answer(tests, answer, seconds) for answer in answers]


def _judge_answer(tests: list[tuple[str, str]], answer: str, seconds: float) -> dict[str, dict]:
    whole: dict[str, Any] = {"status": "pass", "index": -1, "passed": 0, "calls": len(tests), "seconds": 0.0}
    verdicts = {"tests": whole, "approx": dict(whole)}
    for number, (given, expected) in enumerate(tests):
        started = time.monotonic()
        kind, output, message = run_script(answer, given, seconds)
        whole["seconds"] += time.monotonic() - started
        for name, same_word in (("tests", same_number), ("approx", near_number)):
            if verdicts[name]["status"] != "pass":
                continue
            if kind == "value" and same_output(output, expected, same_word):
                verdicts[name]["passed"] += 1
                continue
            wrong = f"printed {output[:120]!r}, expected {expected[:120]!r}"
            verdicts[name] |= {
                "status": "timeout" if kind == "time" else "fail",
                "kind": "wrong" if kind == "value" else kind,
                "index": number,
                "message": wrong if kind == "value" else message,
            }
        if verdicts["approx"]["status"] != "pass":
            break
    return verdicts


def run_script(source: str, given: str, seconds: float) -> tuple[str, str, str]:
    """Run a program in a new process; return (kind, output, message), kind as in `calls`.

    The limit is `seconds` of CPU time, or wall time for a program that only waits. `exit()` with status 0 is success.
    What the program started ends with it, as far as `end_leftovers` reaches.
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
        end_leftovers(pid)
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - 400))
        tail = errors.read().decode("utf-8", "replace").strip().splitlines()
    if status is None or used >= seconds:
        return "time", text, "took too long"
    if status != 0:
        return "error", text, tail[-1][:300] if tail else f"ended with status {status}"
    return "value", text, ""


def _become_script(source: str, given: str, output: int, errors: int, seconds: float) -> NoReturn:
    os.setsid()
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
    errors_stream = io.BufferedWriter(io.FileIO(2, "w"))
    sys.stderr = io.TextIOWrapper(errors_stream, encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    atexit._clear()  # the judge's own
    status = 0
    main = type(sys)("__main__")
    try:
        sys.modules["__main__"] = main
        exec(compile(PRELUDE, "<prelude>", "exec", dont_inherit=True), main.__dict__)
        exec(compile(source, "<answer>", "exec", dont_inherit=True), main.__dict__)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        status = 1
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    # The end of an interpreter: threads end, exit handlers run, files are closed, output is written.
    join_threads = threading._shutdown  # type: ignore[attr-defined]
    for step in (join_threads, atexit._run_exitfuncs, main.__dict__.clear, _flush):
        with suppress(BaseException):
            step()
    os._exit(status & 255)


def _flush() -> None:
    # An answer may have put other streams in place.
    for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
        with suppress(BaseException):
            stream.flush()  # type: ignore[union-attr]


def _collect(pid: int, output: int, seconds: float) -> tuple[str, int | None, float]:
    """Wait for a program and return its output, exit status (None: killed at the time limit) and CPU seconds."""
    parts: list[bytes] = []
    size = 0
    meter, alive = Meter(pid), True
    while alive and not meter.exceeds(seconds, waiting_for=by_clock(seconds)):
        if select.select([output], [], [], 0.25)[0]:
            part = os.read(output, 1 << 20)
            alive = bool(part)
            if size < OUTPUT_BYTES:
                parts.append(part)
                size += len(part)
    os.close(output)
    found, code, usage = os.wait4(pid, os.WNOHANG)
    # A program may continue after it has closed its output.
    while not found:
        if meter.exceeds(seconds, waiting_for=by_clock(seconds)):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.0005)
        found, code, usage = os.wait4(pid, os.WNOHANG)
    # A kill by the CPU limit counts as a time-out, any other signal as an error.
    status = None if code in (signal.SIGKILL, signal.SIGXCPU) else os.waitstatus_to_exitcode(code)
    return b"".join(parts).decode("utf-8", "replace"), status, usage.ru_utime + usage.ru_stime


def same_output(output: str, expected: str, same_word: Callable[[str, str], bool]) -> bool:
    """Compare stripped lines; lines that differ as text may be equal word by word (LiveCodeBench's rule)."""
    lines, wanted = ([line.strip() for line in text.strip().split("\n")] for text in (output, expected))
    return len(lines) == len(wanted) and all(
        line == given or _same_words(line.split(), given.split(), same_word)
        for line, given in zip(lines, wanted, strict=True)
    )


def _same_words(words: list[str], wanted: list[str], same_word: Callable[[str, str], bool]) -> bool:
    return len(words) == len(wanted) and all(map(same_word, words, wanted))


def same_number(word: str, wanted: str) -> bool:
    """Whether both are numbers, and equal."""
    try:
        return Decimal(word) == Decimal(wanted)
    except ArithmeticError:
        return False


def near_number(word: str, wanted: str) -> bool:
    """Whether both are equal as texts or numbers, or differ by at most `TOLERANCE` and one is written as a float."""
    if word == wanted or same_number(word, wanted):
        return True
    try:
        a, b = Decimal(word), Decimal(wanted)
        written = any(mark in text for text in (word, wanted) for mark in ".eE")
        return written and a.is_finite() and b.is_finite() and abs(a - b) <= TOLERANCE * max(Decimal(1), abs(b))
    except ArithmeticError:
        return False
