"""`--serve vllm`: start vLLM servers for the named model, use them like any other servers, stop them at the end.

vLLM runs in separate processes because its dependencies conflict with other packages. It is found as `vllm` on the
PATH or as a module of the running interpreter; to use a vLLM in another environment, put that environment's `bin` on
the PATH. Of several servers, one that dies is started again while the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, Sampling, UnderWay
from selfcodealign.models.endpoints import ServerState
from selfcodealign.models.gpus import count_replicas, find_gpus
from selfcodealign.models.revisions import digest_folder, find_commit, locate_folder
from selfcodealign.models.server import ServerModel
from selfcodealign.models.vllm_process import VllmProcess, find_free_ports, find_vllm, list_arguments, stop_all

if TYPE_CHECKING:
    from selfcodealign.settings import ModelSettings

_log = logging.getLogger(__name__)

#: Loading a large model from a slow disk and compiling its graphs takes at most this long.
_START_SECONDS = 3600.0
_REPORT_SECONDS = 10.0
#: How often servers are looked at.
_LOOK_SECONDS = 0.25
#: Seconds before a server that has died is started again; after the last of them, it is left out.
RESTART_PAUSES = (5.0, 30.0, 120.0)
#: A server that has lived so long after a start gets all restarts again.
_STEADY_SECONDS = 1800.0


class ServedModel:
    """vLLM servers for `settings.name`, started on entering and stopped on leaving: `settings.replicas`, or as many as
    the visible GPUs have room for.

    `settings.serve_args` are passed to each. Their logs are the files `log_paths`, which error messages name.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._command = find_vllm()
        self.concurrency = settings.concurrency
        self._settings = settings
        gpus = find_gpus()
        self._shares = gpus.share(*count_replicas(settings.replicas, settings.serve_args, gpus))
        self._servers: list[VllmProcess] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._server: ServerModel | None = None

    @property
    def log_paths(self) -> list[Path]:
        """The logs of the servers that have been started."""
        return [server.log_path for server in self._servers if server.log_path is not None]

    async def __aenter__(self) -> Self:
        for port, share in zip(find_free_ports(len(self._shares)), self._shares, strict=True):
            command = [*self._command, *list_arguments(self._settings, port)]
            self._servers.append(VllmProcess(command, port, share))
        name = _served_name(list_arguments(self._settings, 0))
        try:
            for server in self._servers:
                server.start()
            await self._wait_until_healthy(self._servers)
            urls = [server.url for server in self._servers]
            several = {"replicas": str(len(urls))} if len(urls) > 1 else {}
            self._server = ServerModel(
                self._settings.model_copy(update={"urls": urls, "serve": None, "name": name}),
                extra_identity=_identify(self._settings) | several,
                check=self._check_alive,
            )
            await self._server.__aenter__()
        except BaseException:
            stop_all(self._servers, keep_logs=True)
            raise
        if len(self._servers) > 1:
            self._keepers = [asyncio.create_task(self._keep(server)) for server in self._servers]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            for keeper in self._keepers:
                keeper.cancel()
            await asyncio.gather(*self._keepers, return_exceptions=True)
            if self._server is not None:
                await self._server.__aexit__(*exc_info)
        finally:
            stop_all(self._servers, keep_logs=False)

    def identity(self) -> dict[str, str]:
        """Return `ServerModel.identity` with the arguments of the servers, and how many there are."""
        assert self._server is not None, "enter the model with `async with` first"
        return self._server.identity()

    #: As `ServerModel`.
    holds_calls = True

    @property
    def abandoned_tokens(self) -> int:
        """As `ServerModel.abandoned_tokens`."""
        return self._server.abandoned_tokens if self._server is not None else 0

    def state(self) -> list[ServerState]:
        """As `ServerModel.state`."""
        return self._server.state() if self._server is not None else []

    def under_way(self) -> UnderWay:
        return self._server.under_way() if self._server is not None else UnderWay()

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        """Continue `prompt`. Raises `ModelError`, with the cause from the log if no server is left."""
        assert self._server is not None, "enter the model with `async with` first"
        return await self._server.complete(prompt, sampling, seed=seed)

    async def _wait_until_healthy(self, servers: list[VllmProcess]) -> None:
        """Wait until each of the servers answers. Raises `ModelError` when one of them ends before."""
        import httpx

        started = reported = time.monotonic()
        waiting = list(servers)
        async with httpx.AsyncClient(timeout=5.0) as client:
            while True:
                for server in list(waiting):
                    server.check()
                    with contextlib.suppress(httpx.TransportError):
                        if (await client.get(f"{server.url}/health")).status_code == 200:
                            waiting.remove(server)
                if not waiting:
                    return
                now = time.monotonic()
                if now - started > _START_SECONDS:
                    raise ModelError(f"vLLM is not ready after {_START_SECONDS:g} s; see its log {waiting[0].log_path}")
                if now - reported >= _REPORT_SECONDS:
                    reported = now
                    ready = f", {len(servers) - len(waiting)} of {len(servers)} ready" if len(servers) > 1 else ""
                    _log.warning("vLLM is starting (%d s%s): %s", now - started, ready, waiting[0].last_lines(1))
                await asyncio.sleep(_LOOK_SECONDS)

    def _check_alive(self) -> None:
        """Raise `ModelError` with the cause from the log if no server is left."""
        if not any(server.running for server in self._servers):
            for server in self._servers:
                server.check()

    async def _keep(self, server: VllmProcess) -> None:
        """Start a server again when it has died, some times; requests reach it again on the same port."""
        restarts, started = 0, time.monotonic()
        place = f"server {self._servers.index(server) + 1} of {len(self._servers)}"
        while True:
            try:
                server.check()
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            except ModelError as error:
                message = str(error)
            if time.monotonic() - started > _STEADY_SECONDS:
                restarts = 0
            if restarts == len(RESTART_PAUSES):
                _log.warning("%s: %s; it is left out from now on, the others go on", place, message)
                return
            pause = RESTART_PAUSES[restarts]
            restarts += 1
            _log.warning("%s: %s; it starts again in %g s, the others go on", place, message, pause)
            await asyncio.sleep(pause)
            server.start()
            started = time.monotonic()
            with contextlib.suppress(ModelError):  # it has ended while starting: looked at above
                await self._wait_until_healthy([server])
                _log.warning("%s: vLLM answers again", place)


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
