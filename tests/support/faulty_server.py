"""A real HTTP server on the loopback interface that speaks `/v1/completions` and fails on demand."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import pytest

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, Sampling
from selfcodealign.models.server import ServerModel
from selfcodealign.settings import ModelSettings

#: A plan answers one completion request; it gets the handler and the request's body.
Plan = Callable[["Handler", dict[str, Any]], None]


class FaultyServer(ThreadingHTTPServer):
    """Answers requests with `plans` in turn, then (and without plans) with `answer`."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, *plans: Plan, models: tuple[str, ...] = ("demo",), port: int = 0, **options: Any) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.plans = list(plans)
        self.models = models
        self.options = options
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.most_at_once = 0
        self.at_once = 0
        self.lock = threading.Lock()
        self.connections: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self.die()

    def start(self) -> Self:
        """Serve in a thread."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def die(self) -> None:
        """Behave like a killed server: cut connections, refuse new ones."""
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback for the broken pipes that these tests cause."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any  # a FaultyServer

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        if self.path == "/version" and "version" in self.server.options:
            self.send_json({"version": self.server.options["version"]})
        elif self.path == "/v1/models":
            plan = self.server.options.get("list_plan")
            if plan is not None:
                plan(self, {})
                return
            card = {"owned_by": "vllm", **self.server.options.get("card", {})}
            self.send_json({"object": "list", "data": [{"id": name, **card} for name in self.server.models]})
        else:
            self.send_json({"detail": "Not Found"}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.bodies.append(body)
            server.headers.append(dict(self.headers))
            server.times.append(time.monotonic())
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            plan = server.plans.pop(0) if server.plans else server.options.get("always", answer)
        try:
            plan(self, body)
        finally:
            with server.lock:
                server.at_once -= 1

    def send_json(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send(json.dumps(body).encode(), "application/json", status, headers)

    def send(self, content: bytes, kind: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def answer(handler: Handler, body: dict[str, Any]) -> None:
    """Return a valid response that names the prompt and the seed."""
    text = f"{body['prompt']}:{body['seed']}"
    choice = {"index": 0, "text": text, "finish_reason": "stop"}
    handler.send_json({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})


def say(text: str, reason: str | None = "stop") -> Plan:
    """Return a valid response with this text."""
    return lambda handler, body: handler.send_json({"choices": [{"text": text, "finish_reason": reason}]})


def refuse(status: int, message: str = "no", headers: dict[str, str] | None = None) -> Plan:
    """Refuse in OpenAI's format."""
    return lambda handler, body: handler.send_json({"error": {"message": message}}, status, headers)


def show_page(status: int = 200) -> Plan:
    """Return a web page, like a proxy or a wrong port."""
    return lambda handler, body: handler.send(b"<!DOCTYPE html><h1>Welcome</h1>", "text/html", status)


def stay_silent(seconds: float) -> Plan:
    """Answer after a delay."""

    def wait(handler: Handler, body: dict[str, Any]) -> None:
        time.sleep(seconds)
        answer(handler, body)

    return wait


def drop(handler: Handler, body: dict[str, Any]) -> None:
    """Reset the connection before a byte is sent."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def break_off(handler: Handler, body: dict[str, Any]) -> None:
    """Announce a body, send half of it, close."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"te')
    handler.close_connection = True


@contextmanager
def refused_port() -> Iterator[int]:
    """Return a port that refuses connections: bound, so that no other process takes it, but not listening."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def settings(*servers: FaultyServer | str, **values: Any) -> ModelSettings:
    """Settings that name these servers; each call is a request, if `group` does not say otherwise."""
    urls = [server if isinstance(server, str) else server.url for server in servers]
    fields = {"name": "demo", "urls": urls, "retry_seconds": 5.0, "group": 1}
    return ModelSettings.model_validate(fields | values)


async def ask_once(model: ServerModel, sampling: Sampling | None = None) -> Completion:
    """Enter the model and ask one thing."""
    async with model:
        return await model.complete("hello", sampling or Sampling(), seed=11)


def ask(server: FaultyServer, sampling: Sampling | None = None, **values: Any) -> Completion:
    """Ask one server one thing."""
    return asyncio.run(ask_once(ServerModel(settings(server, **values)), sampling))


def fail(server: FaultyServer | str, **values: Any) -> str:
    """Return the message of the `ModelError` from entering and asking; it is always one line."""
    with pytest.raises(ModelError) as caught:
        asyncio.run(ask_once(ServerModel(settings(server, **values))))
    assert "\n" not in str(caught.value)
    return str(caught.value)
