"""A service from its start to its end: a socket, a sandbox, and two signals."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable

from aiohttp import http_exceptions, web

from selfcodealign.errors import UserError, reason_of
from selfcodealign.judging.service import Service, ServiceSettings
from selfcodealign.sandbox import Sandbox

LOG = logging.getLogger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_BACKLOG = 1024
_LOOK_SECONDS = 0.05
_CLOSE_SECONDS = 5.0  # for answers under way and for programs that are killed


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises `UserError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host {host}: {reason_of(error)}; give an address of this machine, or 0.0.0.0") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        bound.close()
        what = f"--host {host} --port {port}"
        raise UserError(f"{what}: {reason_of(error)}; choose another port (0 takes a free one) or address") from None
    return bound


class _WithoutText(logging.Filter):
    """Tells a request that is no HTTP without its text, which may hold the token, and in one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else record.exc_info
        if isinstance(error, http_exceptions.HttpProcessingError):
            record.msg, record.exc_info = f"{record.msg}: {type(error).__name__}", None
        return True


class _Stop:
    """The first signal asks to stop, the second to stop at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = False
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                loop.add_signal_handler(number, self._note)

    def _note(self) -> None:
        self.at_once = self.asked.is_set()
        self.asked.set()


async def serve(
    listening: socket.socket,
    sandbox: Sandbox,
    settings: ServiceSettings,
    grace: float,
    ready: Callable[[], None],
    say: Callable[[str], None],
) -> bool:
    """Serve until SIGTERM or SIGINT, then finish what runs and waits within `grace` seconds; a second signal stops.

    `ready` is called when requests are taken. Returns whether every request that was taken has been answered.
    """
    stop = _Stop()
    LOG.addFilter(_WithoutText())
    async with sandbox:
        service = Service(sandbox, settings)
        runner = web.AppRunner(
            service.make_app(),
            access_log=None,
            logger=LOG,
            auto_decompress=False,  # a compressed body can be a thousand times larger than it looks
            handler_cancellation=True,
            shutdown_timeout=_CLOSE_SECONDS,
        )
        await runner.setup()
        try:
            await web.SockSite(runner, listening, backlog=_BACKLOG).start()
            if not stop.asked.is_set():
                ready()
            await stop.asked.wait()
            await _drain(service, stop, grace, say)
            finished = not service.active
            await _abandon(service)
        finally:
            await runner.cleanup()
    return finished


async def _drain(service: Service, stop: _Stop, grace: float, say: Callable[[str], None]) -> None:
    service.places.draining = True
    if service.active:
        left = service.places.taken
        programs = "1 program is" if left == 1 else f"{left} programs are"
        say(f"stopping when {programs} judged, in {grace:g} s at most; a second signal stops at once")
    until = asyncio.get_running_loop().time() + grace
    while service.active and not stop.at_once and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(_LOOK_SECONDS)


async def _abandon(service: Service) -> None:
    """Break off the requests that are left: their clients see a closed connection, their programs are killed."""
    left = list(service.active)
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_CLOSE_SECONDS)


def url_of(listening: socket.socket, host: str) -> str:
    """Return the address to give to clients: an unspecified one is this machine's name."""
    port = listening.getsockname()[1]
    name = socket.gethostname() if host in ("0.0.0.0", "::", "") else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
