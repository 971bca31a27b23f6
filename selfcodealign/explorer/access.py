"""Who may ask the explorer: a browser that was opened with the printed address, on this machine.

Everything is behind the token. The printed address has it once; then a cookie has it, which no script can read and
which no other site's page makes a browser send. Requests under another name (DNS rebinding) and posts from pages of
others are refused before anything is read.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware
from yarl import URL

from selfcodealign.errors import UserError
from selfcodealign.explorer.database import TooLarge, TooSlow
from selfcodealign.explorer.filters import FilterError
from selfcodealign.explorer.rendering import respond
from selfcodealign.judging.access import is_own_host, is_same_origin

LOG = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: The referrer stays on this server. With "no-referrer", browsers send forms with `Origin: null`, which is no proof.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_NAMES = frozenset({"localhost", "127.0.0.1"})
_SAFE = ("GET", "HEAD")
_HOW = "Open the address that `selfcodealign view` has printed: it has the token, which this browser does not know."


class NotFound(Exception):
    """There is nothing at this address."""


@dataclass(frozen=True)
class Access:
    """The middlewares of a server with this token."""

    token: str

    @property
    def middlewares(self) -> list[Middleware]:
        return [self._answer_errors, self._check_sender, self._check_token]

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every error is a page of one sentence."""
        try:
            _check_text(request)
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                return error
            return _tell(request, error.status, f"{error.reason}.")
        except NotFound as error:
            return _tell(request, 404, str(error) or "There is nothing at this address.")
        except FilterError as error:
            return _tell(request, 400, f"{error}.")
        except TooSlow:
            return _tell(request, 503, "This took too long and was broken off: filter by short fields first.")
        except TooLarge:
            return _tell(request, 503, "This needs more memory than the explorer takes: filter first, or do not sort.")
        except UserError as error:
            return _tell(request, 500, str(error))
        except Exception:
            LOG.exception("a request ended in a bug")
            return _tell(request, 500, "This is a bug in selfcodealign; the terminal has its details.")

    @web.middleware
    async def _check_sender(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        if not is_own_host(host, _NAMES, "127.0.0.1"):
            return _refuse(request, "The explorer is addressed as 127.0.0.1 or localhost.")
        is_own = is_same_origin(origin, host) if origin is not None else request.method in _SAFE
        if not is_own:
            return _refuse(request, "Requests of pages of other hosts are refused.")
        return await handler(request)

    @web.middleware
    async def _check_token(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        name = _cookie_name(request)
        if request.method in _SAFE and self._is_token(request.query.get("token")):
            here = request.rel_url.without_query_params("token")
            answer = web.Response(status=303, headers={"Location": _local(here)})
            answer.set_cookie(name, self.token, httponly=True, samesite="Strict", path="/")
            return answer
        if not self._is_token(request.cookies.get(name)):
            return _refuse(request, _HOW)
        return await handler(request)

    def _is_token(self, given: str | None) -> bool:
        return hmac.compare_digest((given or "").encode("utf-8", "replace"), self.token.encode())


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Give every answer the headers that it does not have yet."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.pop("Server", None)


def _cookie_name(request: web.Request) -> str:
    """Cookies of a host are shared by its ports: two explorers must not take each other's."""
    socket = request.transport.get_extra_info("sockname") if request.transport else None
    return f"selfcodealign-{socket[1] if socket else 0}"


def _local(here: URL) -> str:
    """A path on this server, whatever slashes it began with."""
    return str(here.with_path("/" + here.path.lstrip("/\\"), keep_query=True))


def _check_text(request: web.Request) -> None:
    """Refuse addresses that are not UTF-8, or hold control characters."""
    try:
        text = request.rel_url.path + "".join(name + value for name, value in request.query.items())
        text.encode()
    except (UnicodeError, ValueError):
        raise NotFound from None
    if "\0" in text:
        raise NotFound


def _refuse(request: web.Request, text: str) -> web.Response:
    """A page without the run's name: who asks may not know of it."""
    return respond(request, "refused.html", status=403, text=text, stages=(), run_name="selfcodealign view")


def _tell(request: web.Request, status: int, text: str) -> web.Response:
    return respond(request, "message.html", status=status, text=text, stages=())
