"""The real `selfcodealign serve-sandbox` in its own process, addressed over real sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx

from tests.support.places import ROOT

TOKEN = "a-token-of-the-tests"


class Service:
    """A running service; `port` is told by the command."""

    def __init__(self, *options: str, token: str | None = TOKEN, cwd: Path | None = None) -> None:
        command = [sys.executable, "-m", "selfcodealign", "serve-sandbox", "--port", "0", "--warm", "", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)} | (
            {"SELFCODEALIGN_SANDBOX_TOKEN": token} if token else {}
        )
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=cwd
        )
        assert self.process.stdout is not None
        self.printed = self.process.stdout.readline().strip()
        self.base = self.printed.partition("/?")[0].rstrip("/")
        self.port = int(self.base.rpartition(":")[2] or 0)
        self.http = httpx.Client(base_url=self.base, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def judge(self, *programs: Any, **more: Any) -> httpx.Response:
        return self.http.post("/judge", json={"programs": list(programs), **more})

    def run_code(self, code: str, **fields: Any) -> dict[str, Any]:
        return self.http.post("/run_code", json={"code": code, "language": "python", **fields}).json()

    def metric(self, name: str) -> float:
        lines = self.http.get("/metrics").text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"selfcodealign_sandbox_{name}"))

    def send_raw(self, request: bytes) -> socket.socket:
        """Send bytes on a new connection, which the caller reads and closes."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(request)
        return connection

    def begin_judging(self, body: bytes) -> socket.socket:
        """Send a request to /judge without waiting for its answer."""
        head = (
            f"POST /judge HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}"
        )
        return self.send_raw(head.encode() + b"\r\n\r\n" + body)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, and return the exit code and what stderr held."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.stop(signal.SIGTERM)


def wait_until(is_true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for a condition that comes; fail when it does not."""
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, what
        time.sleep(0.02)
