"""The real `selfcodealign view` in its own process, and a bundle behind a plain web server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.places import ROOT


class View:
    """A running explorer of a run; `address` is what it has printed, `base` the address without the token."""

    def __init__(self, run: Path, *options: str) -> None:
        command = [sys.executable, "-m", "selfcodealign", "view", str(run), "--no-open", *options]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.base = self.address.partition("/?")[0]

    def stop(self, *numbers: int) -> tuple[int, str]:
        """Send signals, and return the exit code and what stderr held."""
        for number in numbers:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@contextmanager
def view(run: Path, *options: str) -> Iterator[View]:
    """Serve a run until the block ends; a process that is still there then ends with code 0."""
    one = View(run, *options)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            code, errors = one.stop(signal.SIGTERM)
            assert code == 0, errors


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Serve the files of a folder as any web host does; give its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
