"""The base address of a server, from what a person writes in `model.urls`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from selfcodealign.addresses import hide_address, is_incomplete
from selfcodealign.errors import ModelError


def normalize_url(url: str) -> str:
    """Return the base address of `/completions` and `/models`, without a trailing slash.

    >>> normalize_url("localhost:8000")
    'http://localhost:8000/v1'
    >>> normalize_url("https://host/api/v1/completions/")
    'https://host/api/v1'

    Raises `ModelError` for anything but an http(s) address.
    """
    text = url.strip()
    if is_incomplete(text):
        raise ModelError(
            f"model.urls holds {text}: user, password and query are not kept in recipe.toml; give the whole address "
            "again (--set 'model.urls=[\"...\"]'), or put the key in the environment variable of model.api_key_env"
        )
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is not a number
        usable = False
    # A second `//`, or a `@` behind the host, is left of an address that was mistyped: http//me:password@host.
    if not usable or "//" in parts.path or "@" in parts.path:
        raise ModelError(f'"{hide_address(url)}" is no server address; write it like http://localhost:8000/v1')
    path = parts.path.rstrip("/")
    for ending in ("/chat/completions", "/completions", "/models"):
        path = path.removesuffix(ending)
    if not any(re.fullmatch(r"v\d+\w*", segment) for segment in path.split("/")):
        path += "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))
