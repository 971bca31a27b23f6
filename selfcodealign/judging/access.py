"""Who may ask a service: the token, and the names under which it may be addressed.

A page in a browser can make requests to 127.0.0.1 under a name of its author (DNS rebinding). Those carry that name in
Host or Origin, and are refused before anything is read.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from selfcodealign.errors import UserError, reason_of
from selfcodealign.judging.wire import TOKEN_VARIABLE

_TOKEN = re.compile(r"[!-~]+")
_BEARER = re.compile(r"Bearer +([!-~]+) *", re.IGNORECASE)
_MOST_TOKEN_BYTES = 4096


def find_token(file: Path | None) -> tuple[str, bool]:
    """Return the token from the file, else from the environment, else a new one; and whether it is new.

    Raises `UserError` when what was given is no token.
    """
    if file is not None:
        try:
            with file.open("rb") as opened:
                text = opened.read(_MOST_TOKEN_BYTES).decode("ascii", "replace")
        except OSError as error:
            raise UserError(f"--token-file {file}: {reason_of(error)}; name a file that holds the token") from None
        return _check(text, f"--token-file {file}"), False
    if (text := os.environ.get(TOKEN_VARIABLE)) is not None:
        return _check(text, TOKEN_VARIABLE), False
    return secrets.token_urlsafe(24), True


def _check(text: str, where: str) -> str:
    if not _TOKEN.fullmatch(token := text.strip()):
        raise UserError(f"{where}: a token is one line of visible ASCII characters, without spaces")
    return token


def is_allowed(token: str, header: str | None, query: str | None) -> bool:
    """Whether a request has the token, in `Authorization: Bearer` or as `token` in its address; in constant time."""
    found = _BEARER.fullmatch(header or "")
    given = found[1] if found else query or ""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def names_of_machine(host: str, more: Iterable[str]) -> frozenset[str]:
    """Return the names under which a service bound to `host` may be addressed besides the addresses of this machine."""
    own = socket.gethostname()
    return frozenset(map(_plain, (host, "localhost", own, own.partition(".")[0], *more)))


def is_own_host(host: str | None, names: frozenset[str], local: str) -> bool:
    """Whether a Host header names this service: by a name of `names`, or by the connection's own address.

    >>> is_own_host("gpu1:8090", frozenset({"gpu1"}), "10.0.0.7"), is_own_host("[::1]:80", frozenset(), "::1")
    (True, True)
    >>> is_own_host("evil.example", frozenset({"gpu1"}), "10.0.0.7"), is_own_host(None, frozenset(), "10.0.0.7")
    (False, False)
    """
    try:
        name = urlsplit(f"//{host or ''}").hostname
    except ValueError:
        return False
    if not name:
        return False
    if (plain := _plain(name)) in names:
        return True
    try:
        return _address(plain) == _address(local)
    except ValueError:
        return False


def is_same_origin(origin: str, host: str | None) -> bool:
    """Whether an Origin header names the host that the request was sent to."""
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == str(host).lower()
    except ValueError:
        return False


def _plain(name: str) -> str:
    return name.strip().strip("[]").rstrip(".").lower()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
