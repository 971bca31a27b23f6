"""The sandbox of another machine, asked over HTTP: `RemoteSandbox` in the place of `Sandbox`."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from selfcodealign.errors import SandboxError, UserError, reason_of
from selfcodealign.judging.wire import API, TOKEN_VARIABLE, read_verdict, write_program
from selfcodealign.sandbox import Program, Verdict

_MOST_IN_REQUEST = 16
_AHEAD_PER_WORKER = 8
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 15.0
_CONNECT_SECONDS = 10.0
_MOST_BREAKS = 5  # of one request while the service was at work on it
# A judgement takes as long as it takes. That the other machine has died is noticed by these probes.
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


class _TooLarge(Exception):
    """The service takes no request of this size."""


class RemoteSandbox:
    """Runs programs in the sandbox that `selfcodealign serve-sandbox` serves at `url`; `run` is as `Sandbox.run`.

    The token may stand in the address (`?token=`), or in the variable SELFCODEALIGN_SANDBOX_TOKEN. Concurrent programs
    share requests. A service that is busy, restarted or out of reach is asked again; after `patience` seconds without
    any answer, `SandboxError` is raised. Raises `UserError` for a wrong token, address or version.
    """

    def __init__(self, url: str, token: str | None = None, patience: float = 300.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"{url}: the address of a service is http://HOST:PORT")
        self._url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        in_url = parse_qs(parts.query).get("token", [None])[0]
        self._token = token or in_url or os.environ.get(TOKEN_VARIABLE, "")
        self._patience = patience
        self._waiting: list[tuple[Program, asyncio.Future[Verdict]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {self._token}"} if self._token else {},
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
            transport=httpx.AsyncHTTPTransport(limits=limits, socket_options=_KEEPALIVE),
        )
        try:
            health = await self._ask("GET", "/health", None)
            self._check(health)
            await self._ask("POST", "/judge", {"programs": []})  # a wrong token shows now
        except _TooLarge as error:
            await self._client.aclose()
            raise self._foreign(f"413 {error}") from None
        except BaseException:
            await self._client.aclose()
            raise
        self.workers, self.mode = health["workers"], health["mode"]
        self._most = min(_MOST_IN_REQUEST, health["workers"] + health["queue"])
        self._room = min(_AHEAD_PER_WORKER * health["workers"], health["workers"] + health["queue"])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in list(self._sending):
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        for _, future in self._waiting:
            future.cancel()
        await self._client.aclose()

    async def run(self, program: Program) -> Verdict:
        """Run one program and judge it. Cancelling kills it, unless other programs of its request still run."""
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append((program, future))
        # Not at once: programs of the same moment share a request.
        asyncio.get_running_loop().call_soon(self._send_waiting)
        return await future

    def _send_waiting(self) -> None:
        self._waiting = [one for one in self._waiting if not one[1].done()]
        while self._waiting and self._room > 0:
            size = min(self._most, self._room, len(self._waiting))
            batch, self._waiting = self._waiting[:size], self._waiting[size:]
            self._room -= size
            task = asyncio.create_task(self._send(batch))
            self._sending.add(task)
            task.add_done_callback(lambda done, size=size: self._note_end(done, size))
            for _, future in batch:
                future.add_done_callback(lambda _, batch=batch, task=task: self._cancel_unwanted(batch, task))

    def _note_end(self, task: asyncio.Task[None], size: int) -> None:
        self._sending.discard(task)
        self._room += size
        self._send_waiting()

    def _cancel_unwanted(self, batch: list[tuple[Program, asyncio.Future[Verdict]]], task: asyncio.Task[None]) -> None:
        """Break off a request whose programs nobody waits for any more: the service kills them."""
        if all(future.cancelled() for _, future in batch):
            task.cancel()

    async def _send(self, batch: list[tuple[Program, asyncio.Future[Verdict]]]) -> None:
        """Judge the programs of a batch, and give each its verdict, or all the error."""
        try:
            verdicts = await self._judge([program for program, _ in batch])
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), found in zip(batch, verdicts, strict=True):
            if future.done():
                continue
            if isinstance(found, SandboxError):
                future.set_exception(found)
            else:
                future.set_result(found)

    async def _judge(self, programs: list[Program]) -> list[Verdict | SandboxError]:
        """Return what each program gets; a program that no request can hold costs no other its verdict."""
        try:
            answer = await self._ask("POST", "/judge", {"programs": list(map(write_program, programs))})
        except _TooLarge as error:
            if len(programs) == 1:
                return [SandboxError(f"{self._url}: {error}")]
            half = len(programs) // 2
            return [*await self._judge(programs[:half]), *await self._judge(programs[half:])]
        try:
            verdicts: list[Verdict | SandboxError] = list(map(read_verdict, answer["verdicts"]))
        except Exception as error:
            raise self._foreign(f"{type(error).__name__} in its verdicts") from None
        if len(verdicts) != len(programs):
            raise self._foreign(f"{len(verdicts)} verdicts on {len(programs)} programs")
        return verdicts

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """Send a request until it is answered. Raises `UserError` for what waiting does not mend."""
        clock = asyncio.get_running_loop().time
        content = None if body is None else json.dumps(body).encode()  # ASCII: a text may hold half a surrogate pair
        headers = {} if body is None else {"Content-Type": "application/json"}
        silent_since, wait, breaks = clock(), _FIRST_WAIT, 0
        while True:
            started = clock()
            try:
                response = await self._client.request(method, self._url + path, content=content, headers=headers)
                if response.status_code not in (502, 503, 504) or "api" in _object(response):
                    return self._read(response)
                said, after = f"{response.status_code} {_line(response)}", response.headers.get("Retry-After", "")
                busy = response.status_code == 503 and bool(after)
            except httpx.TransportError as error:
                if isinstance(error, httpx.UnsupportedProtocol | httpx.ProxyError):
                    raise UserError(f"{self._url}: {reason_of(error)}") from None
                said, after, busy = reason_of(error), "", False
            except httpx.DecodingError as error:
                raise self._foreign(reason_of(error)) from None
            if busy:  # it answers: only its queue is full
                silent_since, wait = clock(), min(wait, float(after) if after.isdecimal() else _FIRST_WAIT)
            elif clock() - started > _LONGEST_WAIT:  # it was at work until the connection broke
                silent_since, breaks = clock(), breaks + 1
            if clock() - silent_since > self._patience or breaks > _MOST_BREAKS:
                raise SandboxError(f"{self._url}: no answer for {self._patience:g} s ({said}); is the service running?")
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))
            wait = min(2 * wait, _LONGEST_WAIT)

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        status = response.status_code
        if status == 401:
            raise UserError(f"{self._url}: the token is missing or wrong; give RemoteSandbox(url, token) the service's")
        if status == 413:
            raise _TooLarge(_line(response))
        if status in (400, 403, 422):
            raise UserError(f"{self._url}: {_line(response)}")
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            raise self._foreign(f"status {status}, no JSON") from None
        if status not in (200, 503) or not isinstance(answer, dict):
            raise self._foreign(f"status {status}")
        return answer

    def _check(self, health: dict[str, Any]) -> None:
        if not {"api", "version", "workers", "queue", "mode"} <= health.keys():
            raise self._foreign("its /health has other fields")
        if health["api"] != API:
            what = f"the service is selfcodealign {health['version']} (requests of version {health['api']})"
            raise UserError(f"{self._url}: {what}, this client has version {API}; install the same version on both")
        workers, queue = health["workers"], health["queue"]
        if not (isinstance(workers, int) and isinstance(queue, int) and workers > 0 and queue >= 0):
            raise self._foreign("its /health has no workers")

    def _foreign(self, what: str) -> UserError:
        return UserError(f"{self._url} is no selfcodealign serve-sandbox ({what}); give the address that it printed")


def _line(response: httpx.Response) -> str:
    """What a service says about an error, in one line."""
    return str(_object(response).get("error", response.reason_phrase))[:300]


def _object(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer, empty where there is none."""
    try:
        found = response.json()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
