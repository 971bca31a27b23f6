"""The addresses of servers that hold one model: which to ask next, and which to leave alone for a while."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from selfcodealign.errors import ModelError

#: Seconds an endpoint is left alone after its first fault; doubled with every further one.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0

#: Seconds without a fault after which the next one is news.
SILENCE = 60.0


def normalize_url(url: str) -> str:
    """The address below which `/completions` and `/models` lie, without a slash at its end.

    >>> normalize_url("localhost:8000")
    'http://localhost:8000/v1'
    >>> normalize_url("https://host/api/v1/completions/")
    'https://host/api/v1'

    Raises `ModelError` for what is no http(s) address.
    """
    text = url.strip()
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise ModelError(f'"{hide_password(url)}" is no server address; write it like http://localhost:8000/v1')
    path = parts.path.rstrip("/")
    for ending in ("/chat/completions", "/completions", "/models"):
        path = path.removesuffix(ending)
    if not any(re.fullmatch(r"v\d+\w*", segment) for segment in path.split("/")):
        path += "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def hide_password(url: str) -> str:
    """The address without user, password and query, fit for messages and files."""
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]


@dataclass
class Endpoint:
    """One server. Times are on the monotonic clock; `fault` is what went wrong last, "" while all is well.

    It is left alone until `ready_at`: until `asked_until` because it asked for that (Retry-After), and until
    `backing_off_until` because it failed.
    """

    url: str
    outstanding: int = 0
    served: int = 0
    faults: int = 0
    asked_until: float = 0.0
    backing_off_until: float = 0.0
    fault: str = ""
    said_at: float = float("-inf")
    shown: str = field(init=False)

    def __post_init__(self) -> None:
        self.shown = hide_password(self.url)

    @property
    def ready_at(self) -> float:
        return max(self.asked_until, self.backing_off_until)

    def note_fault(self, fault: str, pause: float | None) -> None:
        """Leave the server alone for `pause` seconds, or for ever longer."""
        now = time.monotonic()
        self.fault = fault
        if pause is not None:
            self.asked_until = max(self.asked_until, now + pause)
        # Hundreds of requests fail together when a server dies: they count as one fault, not as hundreds.
        elif now >= self.backing_off_until:
            self.faults += 1
            self.backing_off_until = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.faults - 1, 16))

    def note_answer(self) -> None:
        """The server answered."""
        self.served += 1
        self.faults, self.backing_off_until, self.fault = 0, 0.0, ""

    def worth_saying(self) -> bool:
        """Whether a person should hear of this fault: once, and again only after a while without news."""
        now = time.monotonic()
        quiet, self.said_at = now - self.said_at > SILENCE, now
        return quiet

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count a request as under way."""
        self.outstanding += 1
        try:
            yield
        finally:
            self.outstanding -= 1


def choose_endpoint(endpoints: Sequence[Endpoint]) -> Endpoint | None:
    """The endpoint with the fewest requests under way (then the fewest served); None while all are resting."""
    now = time.monotonic()
    ready = [endpoint for endpoint in endpoints if endpoint.ready_at <= now]
    return min(ready, key=lambda endpoint: (endpoint.outstanding, endpoint.served), default=None)
