"""HTTP for models behind servers, and its faults in the words of `faults`: the one place that knows the library.

A connection is kept for each request under way. Proxies and certificates are those of the usual environment variables
(`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`); redirects are not followed.
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from json import JSONEncoder
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from selfcodealign.addresses import hide_address
from selfcodealign.errors import ModelError
from selfcodealign.models.faults import ConnectionFault, RequestFault
from selfcodealign.models.http_response import HttpResponse

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

#: The longest time until a connection.
CONNECT_SECONDS = 10.0
#: Idle connections are closed before servers do it (uvicorn: after five seconds): a request that meets a closing one
#: would count as a fault.
_KEEP_SECONDS = 4.0
_encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Reply:
    """A response whose body is still coming: `parts` gives it as it comes, `whole` at once."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def head(self) -> HttpResponse:
        """The response without its body."""
        return HttpResponse(self._response.status, b"", self._response.headers, self._response.reason or "")

    async def whole(self) -> HttpResponse:
        """Wait for the whole body."""
        body = await self._response.read()
        return HttpResponse(self._response.status, body, self._response.headers, self._response.reason or "")

    def parts(self) -> AsyncIterator[bytes]:
        """The body in pieces, as they come."""
        return self._response.content.iter_any()


@dataclass(frozen=True, slots=True)
class _Route:
    """How an address is reached."""

    url: URL
    headers: dict[str, str]
    more: dict[str, Any] = field(default_factory=dict)


class HttpClient:
    """Sends requests until it is closed. `key` goes to each server whose address has no user and password.

    All requests raise `ConnectionFault`, `RequestFault` for a body that cannot be decompressed, and `ModelError` for
    what no other try can mend.
    """

    def __init__(self, key: str) -> None:
        import aiohttp

        self._key = key
        self._routes: dict[str, _Route] = {}
        self._certificates: ssl.SSLContext | None = None
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_SECONDS)
        # A server is waited for as long as its silence allows, which others measure.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), max_line_size=65536
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    @asynccontextmanager
    async def post(self, address: str, body: dict[str, Any]) -> AsyncIterator[Reply]:
        """Send JSON. A body that has not come when the block is left closes its connection: the server stops."""
        route = self._routes.get(address) or self._find_route(address)
        with _in_our_words():
            async with self._session.post(
                route.url, data=_encode(body).encode(), headers=route.headers, allow_redirects=False, **route.more
            ) as response:
                yield Reply(response)

    async def get(self, address: str, seconds: float) -> HttpResponse:
        """Ask for an address; `seconds` is the longest silence."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(seconds, CONNECT_SECONDS), sock_read=seconds)
        route = self._routes.get(address) or self._find_route(address)
        with _in_our_words():
            async with self._session.get(
                route.url, headers=route.headers, timeout=timeout, allow_redirects=False, **route.more
            ) as response:
                return await Reply(response).whole()

    def _find_route(self, address: str) -> _Route:
        from yarl import URL

        parts = urlsplit(address)
        user, _, place = parts.netloc.rpartition("@")
        headers = {"Content-Type": "application/json"}
        if user:
            name, _, password = user.partition(":")
            headers["Authorization"] = f"Basic {b64encode(f'{unquote(name)}:{unquote(password)}'.encode()).decode()}"
        elif self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        more: dict[str, Any] = {}
        if proxy := _find_proxy(parts.scheme, place):
            more["proxy"] = proxy
        if parts.scheme == "https" or proxy.startswith("https:"):
            more["ssl"] = self._find_certificates()
        try:
            url = URL(urlunsplit(parts._replace(netloc=place)))
        except ValueError as error:
            raise ModelError(f"this is no address ({error})") from None
        route = self._routes[address] = _Route(url, headers, more)
        return route

    def _find_certificates(self) -> ssl.SSLContext:
        """The authorities that are trusted, as for all other requests of the package."""
        if self._certificates is None:
            import httpx

            self._certificates = httpx.create_ssl_context()
        return self._certificates


def _find_proxy(scheme: str, place: str) -> str:
    """The proxy that the environment names for a server; "" without one."""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all") or ""
    if not proxy or proxy_bypass(place):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise ModelError(
            f"the environment names the proxy {hide_address(proxy)}, which is no HTTP proxy; name one "
            "(HTTP_PROXY, HTTPS_PROXY), or this server in NO_PROXY"
        )
    return proxy


@contextmanager
def _in_our_words() -> Iterator[None]:
    import aiohttp

    try:
        yield
    except aiohttp.ClientError as error:
        raise _translate(error) from None


def _translate(error: aiohttp.ClientError) -> Exception:
    """The fault that an error of the library is."""
    import aiohttp
    from aiohttp.http_exceptions import ContentEncodingError

    said = " ".join(str(error).split())
    if isinstance(error, aiohttp.ClientPayloadError) and isinstance(error.__cause__, ContentEncodingError):
        return RequestFault(f"its body cannot be decoded ({error.__cause__.message})")
    if isinstance(error, aiohttp.InvalidURL):
        return ModelError(f"this is no address ({said})")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ConnectionFault("no connection in time")
    if isinstance(error, aiohttp.ServerTimeoutError):
        return ConnectionFault("no answer in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        # The library's own words repeat the address.
        cause = error.os_error
        said = " ".join(str(getattr(cause, "verify_message", "") or cause.strerror or cause).split())
        kind = "certificate refused: " * isinstance(error, aiohttp.ClientConnectorCertificateError)
        through = "the proxy: " * isinstance(error, aiohttp.ClientProxyConnectionError)
        return ConnectionFault(f"no connection ({kind}{through}{said or 'refused'})")
    return ConnectionFault(said or type(error).__name__)
