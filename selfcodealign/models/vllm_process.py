"""One vLLM server as a process: its command, its start, the cause of its end, its stop."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from selfcodealign.errors import MissingExtra, ModelError
from selfcodealign.models.revisions import EMBEDDED, locate_folder

if TYPE_CHECKING:
    from selfcodealign.settings import ModelSettings

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
#: Has the server tell how many tokens of a prompt came from its cache.
_TELL_CACHED = "--enable-prompt-tokens-details"

# The child asks the kernel to kill it when this process dies (prctl PR_SET_PDEATHSIG), then becomes vLLM. The engine
# processes end by themselves when the server is gone. A small interpreter does this because `preexec_fn` can deadlock
# in a program with threads. If this process died before the call, the child exits at once.
_LAUNCH = (
    "import ctypes, os, signal, sys; "
    "ctypes.CDLL(None).prctl(1, signal.SIGTERM); "
    "os.getppid() == int(sys.argv[1]) or sys.exit('the parent process has died'); "
    "os.execvp(sys.argv[2], sys.argv[2:])"
)


class VllmProcess:
    """A server on `port`, started with `command` and, besides this process's environment, `environment`.

    Each start has a log; `log_path` is that of the last one.
    """

    def __init__(self, command: Sequence[str], port: int, environment: Mapping[str, str]) -> None:
        self.port = port
        self.log_path: Path | None = None
        self._command = list(command)
        # A key for other servers would lock this client out.
        inherited = {name: value for name, value in os.environ.items() if name != "VLLM_API_KEY"}
        self._environment = {**inherited, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._asked_to_end = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process is there; it may still load the model."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, or start it again; what is left of its earlier process group is killed."""
        self.stop()
        self._asked_to_end = False
        handle, path = tempfile.mkstemp(prefix="selfcodealign-vllm-", suffix=".log")
        self.log_path = Path(path)
        with os.fdopen(handle, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, str(os.getpid()), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches only this process, which stops the server
            )

    def check(self) -> None:
        """Raise `ModelError` with the cause from the log if the server has ended."""
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            how = f"with code {code}" if code >= 0 else f"by signal {signal.Signals(-code).name}"
            raise ModelError(f"vLLM ended {how}: {self._find_cause()} (log: {self.log_path})")

    def last_lines(self, count: int) -> str:
        """The last lines of the log that are not empty."""
        assert self.log_path is not None
        with self.log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        return "\n".join(lines[-count:])

    def terminate(self) -> None:
        """Ask the server to end."""
        if self._process is not None and self._process.poll() is None:
            self._asked_to_end = True
            self._process.terminate()

    def stop(self, *, keep_log: bool = True) -> None:
        """End the server and all its processes. Blocks for some seconds, so that a second Ctrl-C cannot skip it.

        The log of a server that has ended by itself is kept in any case.
        """
        process = self._process
        if process is None:
            return
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # engine processes that outlived the server
        process.wait()
        self._process = None
        if self._asked_to_end and not keep_log and self.log_path is not None:
            self.log_path.unlink(missing_ok=True)

    def _find_cause(self) -> str:
        """Return the last log line that looks like an error, else the last line; and the fix if it is known."""
        lines = self.last_lines(200).splitlines()
        for mark, remedy in _REMEDIES.items():
            known = [line for line in lines if mark in line and any(word in line for word in _CAUSE_MARKS)]
            if known:
                return f"{known[-1][:_LONGEST_LINE]}; {remedy}"
        causes = [line for line in lines if any(word in line for word in _CAUSE_MARKS)]
        return (causes or lines or ["it wrote nothing"])[-1][:_LONGEST_LINE]


def stop_all(servers: Sequence[VllmProcess], *, keep_logs: bool) -> None:
    """Stop servers together: all are asked to end before the first is waited for."""
    for server in servers:
        server.terminate()
    for server in servers:
        server.stop(keep_log=keep_logs)


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


def find_free_ports(count: int) -> list[int]:
    """Return free TCP ports on the loopback interface."""
    with contextlib.ExitStack() as held:
        listeners = [held.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


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
    given = {argument.partition("=")[0].replace("_", "-") for argument in settings.serve_args}
    if not given & {_TELL_CACHED, _TELL_CACHED.replace("--", "--no-", 1)}:
        arguments.append(_TELL_CACHED)
    if settings.dtype != "auto":
        arguments += ["--dtype", settings.dtype]
    if settings.revision is not None and folder is None:
        arguments += ["--revision", settings.revision]
    for taken in ("--host", "--port"):
        if taken in given:
            raise ModelError(f"model.serve_args cannot set {taken}: the server is private, on a free port")
    return [*arguments, *settings.serve_args]
