"""How servers are reached: passwords in addresses, proxies of the environment, certificates that nobody trusts."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from selfcodealign.models.server import ServerModel
from tests.support.faulty_server import FaultyServer, Handler, answer, ask, ask_once, fail, settings

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def basic(user: str) -> str:
    return f"Basic {b64encode(user.encode()).decode()}"


def test_user_and_password_of_an_address_are_sent_instead_of_the_key(monkeypatch: pytest.MonkeyPatch):
    """Written as in any address, with signs that are escaped."""
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    with FaultyServer() as server:
        address = server.url.replace("//", "//me:p%40ss@")
        assert asyncio.run(ask_once(ServerModel(settings(address)))).text == "hello:11"
    assert [headers["Authorization"] for headers in server.headers] == [basic("me:p@ss")]


class Proxy(FaultyServer):
    """A proxy that answers itself, and has no list of models; `asked` are the addresses it was asked for, with the
    proxy's password."""

    def __init__(self) -> None:
        super().__init__(always=self.note)
        self.asked: list[tuple[str, str]] = []

    def note(self, handler: Handler, body: dict[str, Any]) -> None:
        self.asked.append((handler.path, handler.headers.get("Proxy-Authorization", "")))
        answer(handler, body)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_proxy_of_the_environment_is_used(variable: str, monkeypatch: pytest.MonkeyPatch):
    """With its user and password."""
    with Proxy() as proxy:
        host = proxy.url.removeprefix("http://").removesuffix("/v1")
        monkeypatch.setenv(variable, f"http://me:pass@{host}")
        assert asyncio.run(ask_once(ServerModel(settings("http://far.invalid:8000")))).text == "hello:11"
    assert proxy.asked == [("http://far.invalid:8000/v1/completions", basic("me:pass"))]


def test_servers_that_need_no_proxy_are_asked_directly(monkeypatch: pytest.MonkeyPatch):
    """NO_PROXY names them."""
    monkeypatch.setenv("HTTP_PROXY", "http://nowhere.invalid:1")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    with FaultyServer() as server:
        assert ask(server).text == "hello:11"


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch):
    """In one line with the fix, without its password."""
    monkeypatch.setenv("ALL_PROXY", "socks5://me:hushed@127.0.0.1:1")
    message = fail("http://far.invalid:8000")
    assert "names the proxy socks5://127.0.0.1:1, which is no HTTP proxy" in message
    assert "NO_PROXY" in message
    monkeypatch.setenv("ALL_PROXY", "http://me:hushed@127.0.0.1:1")
    message += fail("http://far.invalid:8000")
    assert "no connection (the proxy: " in message
    assert "hushed" not in message


def test_a_certificate_that_nobody_trusts_is_one_line(tmp_path: Path):
    """It says what is wrong with it."""
    made = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run(
        ["openssl", "req", *made, "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = FaultyServer()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with server:
        message = fail(server.url.replace("http:", "https:"))
    assert "no server can be reached" in message
    assert "certificate" in message
    assert "self-signed" in message
