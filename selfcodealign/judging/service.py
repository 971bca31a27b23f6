"""The sandbox as an HTTP service: programs in, verdicts out, for trainers on other machines.

    POST /judge      a batch of programs; the verdicts come back in the same order
    POST /run_code   one script, asked and answered as SandboxFusion does
    GET  /health     whether it takes work; the only request without a token
    GET  /metrics    counters for Prometheus

A request takes places for all its programs or is refused. A client that breaks off cancels its programs, which are
killed, and frees its places.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from aiohttp import web

from selfcodealign.errors import SandboxError
from selfcodealign.judging.access import is_allowed, is_own_host, is_same_origin
from selfcodealign.judging.metrics import Metrics
from selfcodealign.judging.places import Draining, NeverFits, NoPlace, Places
from selfcodealign.judging.run_code import Unsupported, read_script, write_failure, write_result
from selfcodealign.judging.wire import API, RequestError, parse_request, read_batch, write_verdict
from selfcodealign.sandbox import Program, Sandbox, Status, Verdict

LOG = logging.getLogger(__name__)
#: Seconds after which a refused client may try again: most programs take a fraction of one.
RETRY_SECONDS = 1
_ENDPOINTS = ("POST /judge", "POST /run_code", "GET /health", "GET /metrics")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class ServiceSettings:
    """Who may ask, and how much at once: `queue` programs besides those that run, requests of `max_request_mib`."""

    token: str
    names: frozenset[str] = frozenset({"localhost"})
    queue: int = 1000
    max_request_mib: int = 32


class Refusal(Exception):
    """A request that is answered with an error; `reason` is counted."""

    def __init__(self, status: int, reason: str, text: object, retry: bool = False) -> None:
        super().__init__(str(text))
        self.status = status
        self.reason = reason
        self.retry = retry


class Service:
    """The requests of one sandbox, which has been entered."""

    def __init__(self, sandbox: Sandbox, settings: ServiceSettings) -> None:
        self._sandbox = sandbox
        self._settings = settings
        self.places = Places(sandbox.workers, settings.queue)
        self.metrics = Metrics(self.places)
        #: The requests that have been read; each ends when its answer has been sent.
        self.active: set[asyncio.Task[Any]] = set()

    def make_app(self) -> web.Application:
        """Return the application; its runner needs `handler_cancellation=True`."""
        app = web.Application(middlewares=[self._answer_errors, self._check_access], client_max_size=self._most_bytes)
        app.router.add_get("/", self._welcome)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_post("/judge", self._work(self._judge))
        app.router.add_post("/run_code", self._work(self._run_code))
        return app

    @property
    def _most_bytes(self) -> int:
        return self._settings.max_request_mib * 2**20

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every error is one line of JSON."""
        try:
            return await handler(request)
        except Refusal as refusal:
            self.metrics.refused.labels(refusal.reason).inc()
            headers = {"Retry-After": str(RETRY_SECONDS)} if refusal.retry else {}
            if refusal.status == web.HTTPUnauthorized.status_code:
                headers["WWW-Authenticate"] = "Bearer"
            return web.json_response({"error": str(refusal)}, status=refusal.status, headers=headers)
        except web.HTTPException as error:
            text = f"{error.status} {error.reason}; there is {', '.join(_ENDPOINTS)}"
            return web.json_response({"error": text}, status=error.status)
        except Exception:
            LOG.exception("a request ended in a bug")
            return web.json_response({"error": "a bug in the service; its log has the details"}, status=500)

    @web.middleware
    async def _check_access(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        local = request.transport.get_extra_info("sockname") if request.transport else None
        if not is_own_host(host, self._settings.names, local[0] if local else ""):
            raise Refusal(403, "host", "this service is not known under that Host; --allow-host NAME allows one")
        if origin is not None and not is_same_origin(origin, host):
            raise Refusal(403, "origin", "requests of pages of other hosts are refused")
        if request.path != "/health" and not is_allowed(
            self._settings.token, request.headers.get("Authorization"), request.query.get("token")
        ):
            raise Refusal(401, "token", "the token is missing or wrong: Authorization: Bearer TOKEN, or ?token=TOKEN")
        return await handler(request)

    async def _welcome(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"service": "selfcodealign serve-sandbox", "version": version("selfcodealign"), "asks": _ENDPOINTS}
        )

    async def _health(self, request: web.Request) -> web.Response:
        """What a client or a load balancer has to know; 503 as soon as no new work is taken."""
        limits = self._sandbox.limits
        facts = {
            "status": "draining" if self.places.draining else "ok",
            "version": version("selfcodealign"),
            "api": API,
            "mode": self._sandbox.mode,
            "workers": self._sandbox.workers,
            "queue": self._settings.queue,
            "max_request_mib": self._settings.max_request_mib,
            "limits": {"seconds": limits.seconds, "memory_mib": limits.memory_mib},
        }
        return web.json_response(facts, status=503 if self.places.draining else 200)

    async def _show_metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self.metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    def _work(self, answer: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> Handler:
        """Make the handler of a request with programs: read it, judge it, send the answer."""

        async def handle(request: web.Request) -> web.StreamResponse:
            task = asyncio.current_task()
            assert task is not None
            started = time.monotonic()
            try:
                body = await self._read(request)
                self.active.add(task)  # not before: a body that never ends would hold up a stopping service
                try:
                    found = await answer(body)
                except RequestError as error:
                    raise Refusal(422, "bad_request", error) from None
                response = web.json_response(found)
                await response.prepare(request)
                await response.write_eof()  # here, so that a stopping service waits until the answer has left
                self.metrics.requests.observe(time.monotonic() - started)
                return response
            except (asyncio.CancelledError, ConnectionError):
                self.metrics.breaks.inc()
                raise
            finally:
                self.active.discard(task)

        return handle

    async def _read(self, request: web.Request) -> dict[str, Any]:
        text = f"a request of more than {self._settings.max_request_mib} MiB (--max-request-mib)"
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refusal(415, "bad_request", "a compressed request: send the JSON itself, without Content-Encoding")
        if (request.content_length or 0) > self._most_bytes:
            raise Refusal(413, "too_large", text)
        try:
            return parse_request(await request.read())
        except web.HTTPRequestEntityTooLarge:
            raise Refusal(413, "too_large", text) from None
        except web.RequestPayloadError:
            raise Refusal(400, "bad_request", "the body breaks the rules of HTTP") from None
        except RequestError as error:
            raise Refusal(400, "bad_request", error) from None

    async def _judge(self, body: dict[str, Any]) -> dict[str, Any]:
        if isinstance(listed := body.get("programs"), list):
            try:  # before they are read: millions of them would hold up all others
                self.places.check(len(listed))
            except NeverFits as error:
                raise Refusal(413, "too_large", error) from None
        ids, programs, limits = read_batch(body, self._sandbox.limits)
        verdicts = await self.run_all(programs)
        return {
            "verdicts": [write_verdict(verdict, name) for verdict, name in zip(verdicts, ids, strict=True)],
            "limits": {"seconds": limits.seconds, "memory_mib": limits.memory_mib},
        }

    async def _run_code(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            program = read_script(body, self._sandbox.limits)
        except Unsupported as error:
            return write_failure(str(error))
        return write_result(program, (await self.run_all([program]))[0])

    async def run_all(self, programs: list[Program | Verdict]) -> list[Verdict]:
        """Judge the programs, or raise `Refusal` and judge none. Cancelling kills those that run."""
        try:
            self.places.take(len(programs))
        except Draining as error:
            raise Refusal(503, "draining", error, retry=True) from None
        except NoPlace as error:
            raise Refusal(503, "full", error, retry=True) from None
        except NeverFits as error:
            raise Refusal(413, "too_large", error) from None
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._run(program)) for program in programs]
            for task in tasks:
                task.add_done_callback(lambda _: self.places.free())  # also for one that is cancelled before it began
        return [task.result() for task in tasks]

    async def _run(self, program: Program | Verdict) -> Verdict:
        verdict = program if isinstance(program, Verdict) else await self._ask_sandbox(program)
        self.metrics.note(verdict)
        return verdict

    async def _ask_sandbox(self, program: Program) -> Verdict:
        try:
            return await self._sandbox.run(program)
        except SandboxError as error:
            LOG.error("%s", error)
            return Verdict(Status.NOT_JUDGED, message=str(error))
        except Exception as error:  # the other programs of the request keep their verdicts
            LOG.exception("a program could not be judged")
            return Verdict(Status.NOT_JUDGED, message=f"a bug in the service: {type(error).__name__}")
