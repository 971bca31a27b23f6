"""A runner whose judge and response are plain texts, to test the processes around them.

The response's text is executed in one process, which then evaluates what it is asked; the tests' text is executed in
the other, with `ask(expression)`, `tell(value)` for a record, and `link`.
"""

from __future__ import annotations

import json
import marshal
import os
import socket
import struct
from dataclasses import replace
from typing import Any

from selfcodealign.sandbox import Program, Sandbox
from selfcodealign.sandbox.python import harness, program
from selfcodealign.sandbox.worker import ServerSettings
from tests.support.judge import LIMITS, Judge
from tests.support.places import ROOT

_SIZE = struct.Struct("!I")


class Runner(harness.Runner):
    """Python's, with judge and response apart."""

    def _rehearse_pair(self) -> None:
        """The two sides below are not the harness's."""

    def build_pair(self, job: dict[str, Any]) -> Any:
        return job["tests"], job["response"]

    def run_judge(self, work: Any, report: int, nonce: bytes, link: int) -> None:
        stream = socket.socket(fileno=link)

        def send(message: dict[str, Any]) -> None:
            body = json.dumps(message).encode()
            os.write(report, nonce + _SIZE.pack(len(body)) + body)

        def ask(expression: str) -> Any:
            stream.sendall(marshal.dumps(expression))
            answer = stream.recv(1 << 16)
            if not answer:
                raise EOFError
            return marshal.loads(answer)

        exec(work, {"ask": ask, "tell": lambda value: send({"record": value}), "link": stream})
        send({"end": True})
        os._exit(0)

    def run_response(self, work: Any, link: int) -> None:
        stream = socket.socket(fileno=link)
        names: dict[str, Any] = {"link": stream}
        exec(work, names)
        while expression := stream.recv(1 << 16):
            stream.sendall(marshal.dumps(eval(marshal.loads(expression), names)))
        os._exit(0)


class Language:
    """Python's, with the runner above; split runs prove something when they come to their end."""

    RUNNER = __name__

    def __getattr__(self, name: str) -> Any:
        return getattr(program, name)

    def judge_split(self, job: Any, verdict: Any, outcome: dict[str, Any]) -> Any:
        return replace(verdict, proof="split" if {"end": True} in outcome["reports"] else "shared")


class SplitSandbox(Sandbox):
    """A sandbox whose servers find this module."""

    def _settings(self, *arguments: Any, **named: Any) -> ServerSettings:
        return replace(super()._settings(*arguments, **named), environment=(("PYTHONPATH", str(ROOT)),))


class SplitJudge(Judge):
    """A sandbox with synchronous calls, for programs in one process and in two."""

    SANDBOX = SplitSandbox

    def __init__(self, mode: Any, **settings: Any) -> None:
        defaults = {"language": Language(), "workers": 1, "mutation_testing": False, "warm": ()}
        super().__init__(mode, **(defaults | settings))

    def start_pair(self, response: str, judge: str, **limits: Any) -> Any:
        """Begin a run in two processes."""
        texts = Program(response or "pass", judge, kind="check", limits=replace(LIMITS, **limits))
        job = program.prepare_job(texts, LIMITS)
        assert isinstance(job, program.Job)
        return self.sandbox._ask(job, {**job.message(), "split": True}, split=True)

    def pair(self, response: str, judge: str, **limits: Any) -> dict[str, Any]:
        """What the server observed of a run in two processes."""
        (outcome,) = self.wait(self.start_pair(response, judge, **limits))
        return outcome


def records(outcome: dict[str, Any]) -> list[Any]:
    """What the judge told."""
    return [report["record"] for report in outcome["reports"] if "record" in report]
