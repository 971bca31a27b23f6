"""`--serve vllm`: start a vLLM server for the named model, use it like any other server, stop it at the end.

vLLM runs in a separate process because its dependencies conflict with other packages. It is found as `vllm` on the
PATH or as a module of the running interpreter; to use a vLLM in another environment, put that environment's `bin` on
the PATH.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

from selfcodealign.errors import MissingExtra, ModelError
from selfcodealign.models import Completion, Sampling, UnderWay
from selfcodealign.models.revisions import EMBEDDED, digest_folder, find_commit, locate_folder
from selfcodealign.models.server import ServerModel

if TYPE_CHECKING:
    from selfcodealign.settings import ModelSettings

_log = logging.getLogger(__name__)

#: Loading a large model from a slow disk and compiling its graphs takes at most this long.
_START_SECONDS = 3600.0
_REPORT_SECONDS = 10.0
_STOP_SECONDS = 20.0
_TAIL_BYTES = 16384

#: Marks of log lines that say why a server died; the last such line is shown.
_LONGEST_LINE = 300
_CAUSE_MARKS = ("Error", "error:", "Exception", "out of memory")

#: Known causes and their fixes. The first: vLLM 0.32 on a CPU dies when it cuts the prompt of a request with a seed.
_REMEDIES = {
    "CPU Generator does not use offset": 'add "--no-enable-chunked-prefill" to model.serve_args',
    "out of memory": "lower --gpu-memory-utilization or --max-model-len in model.serve_args",
    "KV cache": "lower --max-model-len in model.serve_args, or give it more memory",
}

# The child asks the kernel to kill it when this process dies (prctl PR_SET_PDEATHSIG), then becomes vLLM. The engine
# processes end by themselves when the server is gone. A small interpreter does this because `preexec_fn` can deadlock
# in a program with threads. If this process died before the call, the child exits at once.
_LAUNCH = (
    "import ctypes, os, signal, sys; "
    "ctypes.CDLL(None).prctl(1, signal.SIGTERM); "
    "os.getppid() == int(sys.argv[1]) or sys.exit('the parent process has died'); "
    "os.execvp(sys.argv[2], sys.argv[2:])"
)


class ServedModel:
    """A vLLM server for `settings.name`, started on entering and stopped on leaving.

    `settings.serve_args` are passed to the server. Its log is the file `log_path`, which error messages name.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._command = find_vllm()
        self.concurrency = settings.concurrency
        self.log_path: Path | None = None
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._server: ServerModel | None = None

    async def __aenter__(self) -> Self:
        port = find_free_port()
        arguments = list_arguments(self._settings, port)
        self._start(arguments)
        try:
            await self._wait_until_healthy(port)
            self._server = ServerModel(
                self._settings.model_copy(
                    update={"urls": [f"http://127.0.0.1:{port}"], "serve": None, "name": _served_name(arguments)}
                ),
                extra_identity=_identify(self._settings),
                check=self._check_alive,
            )
            await self._server.__aenter__()
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            if self._server is not None:
                await self._server.__aexit__(*exc_info)
        finally:
            self._stop()

    def identity(self) -> dict[str, str]:
        """Return `ServerModel.identity` with the arguments of the server."""
        assert self._server is not None, "enter the model with `async with` first"
        return self._server.identity()

    #: As `ServerModel`.
    holds_calls = True

    @property
    def abandoned_tokens(self) -> int:
        """As `ServerModel.abandoned_tokens`."""
        return self._server.abandoned_tokens if self._server is not None else 0

    def under_way(self) -> UnderWay:
        return self._server.under_way() if self._server is not None else UnderWay()

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        """Continue `prompt`. Raises `ModelError`, with the cause from the log if the server has died."""
        assert self._server is not None, "enter the model with `async with` first"
        return await self._server.complete(prompt, sampling, seed=seed)

    def _start(self, arguments: list[str]) -> None:
        handle, path = tempfile.mkstemp(prefix="selfcodealign-vllm-", suffix=".log")
        self.log_path = Path(path)
        # A key for other servers would lock this client out.
        environment = {name: value for name, value in os.environ.items() if name != "VLLM_API_KEY"}
        with os.fdopen(handle, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, str(os.getpid()), *self._command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches only this process, which stops the server
            )

    async def _wait_until_healthy(self, port: int) -> None:
        import httpx

        started = reported = time.monotonic()
        async with httpx.AsyncClient(timeout=5.0) as client:
            while True:
                self._check_alive()
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"http://127.0.0.1:{port}/health")).status_code == 200:
                        return
                now = time.monotonic()
                if now - started > _START_SECONDS:
                    raise ModelError(f"vLLM is not ready after {_START_SECONDS:g} s; see its log {self.log_path}")
                if now - reported >= _REPORT_SECONDS:
                    reported = now
                    _log.warning("vLLM is starting (%d s): %s", now - started, self._last_lines(1))
                await asyncio.sleep(0.25)

    def _check_alive(self) -> None:
        """Raise `ModelError` with the cause from the log if the server has ended."""
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            return
        how = f"with code {code}" if code >= 0 else f"by signal {signal.Signals(-code).name}"
        raise ModelError(f"vLLM ended {how}: {self._find_cause()} (log: {self.log_path})")

    def _find_cause(self) -> str:
        """Return the last log line that looks like an error, else the last line; and the fix if it is known."""
        lines = self._last_lines(200).splitlines()
        for mark, remedy in _REMEDIES.items():
            known = [line for line in lines if mark in line and any(word in line for word in _CAUSE_MARKS)]
            if known:
                return f"{known[-1][:_LONGEST_LINE]}; {remedy}"
        causes = [line for line in lines if any(word in line for word in _CAUSE_MARKS)]
        return (causes or lines or ["it wrote nothing"])[-1][:_LONGEST_LINE]

    def _last_lines(self, count: int) -> str:
        assert self.log_path is not None
        with self.log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        return "\n".join(lines[-count:])

    def _stop(self) -> None:
        """End the server and all its processes. Blocks for some seconds, so that a second Ctrl-C cannot skip it."""
        process = self._process
        if process is None:
            return
        crashed = process.poll() is not None
        if not crashed:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # engine processes that outlived the server
        process.wait()
        self._process = None
        if not crashed and self._server is not None and self.log_path is not None:
            self.log_path.unlink(missing_ok=True)  # the log is kept after a failure


def find_vllm() -> list[str]:
    """Return the command that starts a server, without its model. Raises `MissingExtra` if vLLM is not found."""
    executable = shutil.which("vllm")
    if executable is not None:
        return [executable, "serve"]
    if find_spec("vllm") is not None:
        return [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model"]
    raise MissingExtra(
        'model.serve = "vllm"', "vllm", "; or put the bin folder of an environment that has vLLM on the PATH"
    )


def find_free_port() -> int:
    """Return a free TCP port on the loopback interface."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def list_arguments(settings: ModelSettings, port: int) -> list[str]:
    """List the command's arguments: the model, those from the settings, then `serve_args`, which win."""
    folder = locate_folder(settings.name)
    if settings.name == EMBEDDED and folder is None:
        raise ModelError("this installation lacks the embedded model; install the package again")
    if not settings.name:
        raise ModelError('model.serve needs model.name: a folder, a hub name or "embedded"')
    arguments = [str(folder or settings.name), "--host", "127.0.0.1", "--port", str(port)]
    # Logging every request would fill gigabytes.
    arguments += ["--uvicorn-log-level", "warning"]
    if settings.dtype != "auto":
        arguments += ["--dtype", settings.dtype]
    if settings.revision is not None and folder is None:
        arguments += ["--revision", settings.revision]
    for taken in ("--host", "--port"):
        if any(argument.partition("=")[0] == taken for argument in settings.serve_args):
            raise ModelError(f"model.serve_args cannot set {taken}: the server is private, on a free port")
    return [*arguments, *settings.serve_args]


def _served_name(arguments: list[str]) -> str:
    """Return the name under which vLLM serves the model."""
    for place, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag == "--served-model-name":
            return value if equals else arguments[place + 1]
    return arguments[0]


def _identify(settings: ModelSettings) -> dict[str, str]:
    folder = locate_folder(settings.name)
    revision = digest_folder(folder) if folder else find_commit(settings.name, settings.revision) or settings.revision
    return {
        "name": settings.name,
        "revision": revision or "unknown",
        "serve_args": " ".join(settings.serve_args),
    }
