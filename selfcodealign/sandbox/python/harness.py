"""Runs one Python program behind its walls and reports what it proved.

This code shares a process with code that may try to deceive it. Therefore everything needed after foreign code has run
is captured in closures before, the report carries a secret that no name refers to, and another process judges it.
"""

from __future__ import annotations

import _json
import gc
import importlib
import os
import random
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from selfcodealign.sandbox.language import BuildError, Refused
from selfcodealign.sandbox.python import pytest_style, tamper
from selfcodealign.sandbox.python.build import (
    RESPONSE_FILE,
    Built,
    TooCostly,
    build_program,
    is_safe_to_parse,
    names_for_judge,
    sides_for_judge,
)
from selfcodealign.sandbox.python.command import end_as_interpreter
from selfcodealign.sandbox.python.evidence import describe_build_error, describe_tampering
from selfcodealign.sandbox.python.ready import Ready
from selfcodealign.sandbox.python.split.judge import LOST, Judge, SolutionModule
from selfcodealign.sandbox.python.split.response import Response
from selfcodealign.sandbox.python.split.untouched import Compared
from selfcodealign.sandbox.python.split.values import allowed_classes
from selfcodealign.sandbox.python.split.wire import ENDED, INTERRUPTED, Unsplittable
from selfcodealign.sandbox.python.together import Together, build_together, surrounding
from selfcodealign.sandbox.server.reports import MOST_REPORT_BYTES

# The folder of the whole sandbox package: the frames of the forker and the kernel module are trusted as well.
_SANDBOX = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/"
# The modules that programs import most: loaded once for all programs.
_EVERYDAY = (
    *("abc", "asyncio", "bisect", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "doctest"),
    *("enum", "fractions", "functools", "heapq", "io", "itertools", "json", "logging", "math", "operator", "random"),
    *("re", "statistics", "string", "tempfile", "threading", "time", "typing", "unittest", "unittest.mock"),
)

#: What a program's process is told of its job.
_TOLD = ("kind", "entry_point", "tests_inside", "together", "versions", "against", "as_command")
_UNTIL_ADAPTED = 20  # specialised bytecode is then written before the fork, not after each one
_DEEPEST_BUILD = 6000  # frames; the compiler's stack then needs less than the usual 8 MiB
_REHEARSAL: dict[str, Any] = {
    "kind": "tests",
    "entry_point": None,
    "as_command": False,
    "tests_inside": False,
    "response": "def twice(word):\n    return [letter for letter in word] * 2\n",
    "tests": "assert twice('a') == ['a', 'a']\n",
    "versions": [None],
    "together": False,
    "mutants_wanted": False,
    "against": [],
}
_TOGETHER: dict[str, Any] = {"versions": [None, "all:none", "value:all"], "together": {"seconds": 1.0}}


#: In the judge's process: there is no code of the response.
_NOTHING = compile("", RESPONSE_FILE, "exec")

#: The report on a program that cannot be judged in two processes.
_UNSPLIT = {"split": LOST | {"lost": "response and tests are one text, or the tests execute what the response returns"}}

Send = Callable[[dict[str, Any]], None]


class Runner:
    """Runs Python programs in one server."""

    def __init__(self) -> None:
        # asyncio imports TLS where it can: useless without a network, and a tenth of the cost of a fork.
        sys.modules["ssl"] = None  # type: ignore[assignment]
        for name in _EVERYDAY:
            importlib.import_module(name)
        del sys.modules["ssl"]
        self._raised: BaseException | None = None  # what ended the script
        self._last: tuple[Any, Any] = (), None  # the last program built: mutants follow their original
        sys.modules.update(pytest_style.as_modules())

    def settle(self) -> None:
        """Last step before the first program, after the warm libraries are loaded."""
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(0)
        self._watch = tamper.Watch()
        self._libraries = tamper.LibrarySnapshot(self._watch)
        # No name refers to this code any more; running code keeps its references.
        self._forgotten = [sys.modules.pop(name) for name in list(sys.modules) if name.startswith("selfcodealign")]
        self._allowed = allowed_classes()
        tamper.forbid_introspection(_SANDBOX, self._watch)
        self._rehearse()

    def _rehearse(self) -> None:
        """Run a small program a few times, until the interpreter has specialised this code."""
        main = sys.modules["__main__"]
        for _ in range(_UNTIL_ADAPTED):
            self._execute(self.build(_REHEARSAL), lambda message: None)
            self._run_together(self.build(_REHEARSAL | _TOGETHER), lambda message: None, "")
            self._rehearse_pair()
        sys.modules["__main__"] = main
        del sys.modules["solution"]

    def _rehearse_pair(self) -> None:
        """Both sides of a split run, in two threads."""
        ours, theirs = socket.socketpair()
        judges, responses = self.build_pair(_REHEARSAL | {"split": True})
        response = Response(theirs.fileno(), self._allowed, *responses)

        def serve() -> None:
            with suppress(Unsplittable):
                response.serve()

        thread = threading.Thread(target=serve, daemon=True)  # the run joins all others
        thread.start()
        self._judge(judges, ours.fileno(), lambda message: None, connect=False)
        ours.close()
        thread.join()
        theirs.close()

    def build(self, job: dict[str, Any]) -> Any:
        """In the server: build an ordinary program; other programs are built in their own process."""
        told = {name: job[name] for name in _TOLD}
        if job["against"]:
            return _build_against(told, job)
        try:
            whole = self._build_whole(job)
            if whole.tampering is not None:
                return Refused(describe_tampering(whole.tampering))
            return told, whole.pack(), build_together(job) if job["together"] else None
        except TooCostly:
            return told | {name: job[name] for name in ("response", "tests", "mutants_wanted")}, None, None
        except BuildError as error:
            return Refused(describe_build_error(error))

    def _build_whole(self, job: dict[str, Any]) -> Built:
        """Build the program, unless it is the last one that was built. Raises `TooCostly`, `BuildError`."""
        texts = job["response"], job["tests"], job["kind"], bool(job["together"]) and job["tests_inside"]
        if texts != self._last[0] or not (job["together"] or job.get("split")):
            if not is_safe_to_parse(job):
                raise TooCostly
            try:
                self._last = texts, build_program(job, only_cheap=True)
            except BuildError as error:
                if isinstance(error.cause, RecursionError):  # a tree that is too deep here
                    raise TooCostly from None
                raise
        return self._last[1]

    def run(self, work: tuple[dict[str, Any], Any, Any], report: int, nonce: bytes) -> None:
        """In the program's own process, behind its walls. Never returns."""
        leave, get_pid, send = os._exit, os.getpid, _make_sender(report, nonce)
        own_pid = get_pid()
        try:
            if work[0]["together"]:
                self._run_together(work, send, os.getcwd())
                leave(0)
            summary = self._execute(work, send)
        except BuildError as error:
            summary = describe_build_error(error)
        if get_pid() == own_pid:  # a fork of the program also gets here
            send(summary)
        leave(end_as_interpreter(self._raised) if work[0]["as_command"] else 0)

    def _run_together(self, work: tuple[dict[str, Any], Any, Any], send: Send, folder: str) -> None:
        job, packed, parts = work
        if job["against"]:
            parts = _deeply(build_together, job) if parts is None else parts
            built = surrounding(parts)
        else:
            built = _deeply(build_program, job) if packed is None else Built.unpack(packed)
            parts = _deeply(build_together, job) if parts is None else parts

        def make_ready(version: Built) -> Ready:
            return Ready(job, version, self._watch, self._libraries)

        together = Together(make_ready, built, parts, folder, are_mutants=not job["against"])
        together.run(job["together"].get("turns"), send)

    def _execute(self, work: tuple[dict[str, Any], Any, Any], send: Send) -> dict[str, Any]:
        job, packed, _ = work
        built = _deeply(build_program, job) if packed is None else Built.unpack(packed)
        if built.tampering is not None:
            return describe_tampering(built.tampering)
        ready = Ready(job, built, self._watch, self._libraries)
        evidence, run_phases = ready.evidence, ready.make_phases()
        evidence.connect(send, os.getpid())
        ready.enter()
        random.seed(0)
        gc.enable()
        run_phases()
        self._raised = evidence.raised
        return evidence.summary()

    def build_pair(self, job: dict[str, Any]) -> Any:
        """In the server: build a program for two processes: what the judge gets, and what the response gets.

        The part of the response holds nothing of the tests. A program whose response and tests are one text is refused;
        one that is costly to build is built by the two processes, each from its texts.
        """
        if job["tests_inside"]:
            return Refused(_UNSPLIT)
        told = {name: job[name] for name in ("kind", "entry_point", "tests_inside")}
        try:
            built = self._build_whole(job)
        except TooCostly:
            texts = {name: job[name] for name in ("response", "tests", "mutants_wanted")}
            return (told | texts, None), (job["response"], 0, [], False)
        except BuildError as error:
            return Refused(describe_build_error(error))
        told |= names_for_judge(job)
        if job.get("seen") is not None:
            told["compared"] = job["seen"], sides_for_judge(job, built.aliases)
        if built.reloads or told["tests_execute"]:
            return Refused(_UNSPLIT)
        return (told, replace(built, response=_NOTHING).pack()), (
            built.response,
            built.functions,
            built.aliases,
            built.uses_processes,
        )

    def run_judge(self, work: tuple[dict[str, Any], Any], report: int, nonce: bytes, link: int) -> None:
        """In the judge's process: run the tests against the response in the other process. Never returns."""
        leave, send = os._exit, _make_sender(report, nonce)
        gc.enable()
        self._judge(work, link, send)
        leave(0)

    def _judge(self, work: tuple[dict[str, Any], Any], link: int, send: Send, connect: bool = True) -> None:
        told, packed = work
        if packed is None:
            built = replace(_deeply(build_program, told), response=_NOTHING)
            told |= _deeply(names_for_judge, told)
            if built.reloads or told["tests_execute"]:
                send(_UNSPLIT)
                return
        else:
            built = Built.unpack(packed)
        module = SolutionModule("solution")
        ready = Ready(told, built, self._watch, self._libraries, module)
        evidence, compared = ready.evidence, told.get("compared")
        compared = None if compared is None else Compared(*compared)
        judge = Judge(link, self._allowed, vars(module), evidence, compared)
        evidence.believes = judge.believes
        evidence.connect(send, os.getpid())
        ready.enter()
        random.seed(0)  # before it is connected: the response seeds its own
        if connect:
            judge.connect(module)
        run_phases = ready.make_phases(lambda: judge.open(built.aliases, told))
        run_phases()
        send({"split": judge.summary()})
        send(evidence.summary())

    def run_response(self, work: tuple[Any, ...], link: int) -> None:
        """In the process of the response: run its code and serve the judge. Never returns."""
        random.seed(0)
        gc.enable()
        code, *rest = work
        if isinstance(code, str):
            code = _deeply(lambda text: compile(text, RESPONSE_FILE, "exec", dont_inherit=True), code)
        response = Response(link, self._allowed, code, *rest)
        response.take_streams()
        try:
            response.serve()
        except Unsplittable:
            os._exit(ENDED)
        finally:
            os._exit(INTERRUPTED)  # while it waited: an alarm that was meant for the tests


def _build_against(told: dict[str, Any], job: dict[str, Any]) -> tuple[dict[str, Any], None, list[Any] | None]:
    """Build a response with each of several tests, as `Runner.build` does with its own."""
    texts = {name: job[name] for name in ("response", "mutants_wanted")}
    try:
        return told, None, build_together(told | texts | {"only_cheap": True})
    except TooCostly:
        return told | texts | {"only_cheap": False}, None, None


def _deeply(build: Callable[[Any], Any], text: Any) -> Any:
    """Build in the program's own process, where a tree may be so deep that its stack overflows."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(_DEEPEST_BUILD)
    try:
        return build(text)
    finally:
        sys.setrecursionlimit(usual)


def _make_sender(report: int, nonce: bytes) -> Send:
    # Written in C, so that no patched function of `json` writes the report.
    make_encoder: Any = _json.make_encoder
    encode = make_encoder(None, None, _json.encode_basestring_ascii, None, ": ", ", ", False, False, True)
    write, join, pack, length, most = os.write, "".join, struct.Struct("!I").pack, len, MOST_REPORT_BYTES

    def send(message: dict[str, Any]) -> None:
        body = join(encode(message, 0)).encode()
        if length(body) > most:
            raise ValueError("too much to report")
        data = nonce + pack(length(body)) + body
        while data:
            data = data[write(report, data) :]

    return send
