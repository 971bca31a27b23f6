"""Load balancing over servers that hold one model: choose the next server, back off from failing ones."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from selfcodealign.addresses import hide_address, is_incomplete
from selfcodealign.errors import ModelError

#: Back-off in seconds after an endpoint's first fault; doubled with every further fault.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0

#: Seconds without a fault after which the next fault is reported again.
SILENCE = 60.0


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
    if not usable:
        raise ModelError(f'"{hide_address(url)}" is no server address; write it like http://localhost:8000/v1')
    path = parts.path.rstrip("/")
    for ending in ("/chat/completions", "/completions", "/models"):
        path = path.removesuffix(ending)
    if not any(re.fullmatch(r"v\d+\w*", segment) for segment in path.split("/")):
        path += "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


@dataclass
class Endpoint:
    """One server. Times are on the monotonic clock; `fault` is the last fault, "" after a success.

    The server gets no request before `ready_at`, the later of `asked_until` (its Retry-After) and `backing_off_until`
    (the back-off after faults).
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
        self.shown = hide_address(self.url)

    @property
    def ready_at(self) -> float:
        return max(self.asked_until, self.backing_off_until)

    def note_fault(self, fault: str, pause: float | None) -> None:
        """Back off for `pause` seconds, or exponentially if `pause` is None."""
        now = time.monotonic()
        self.fault = fault
        if pause is not None:
            self.asked_until = max(self.asked_until, now + pause)
        # Hundreds of requests fail together when a server dies; they count as one fault.
        elif now >= self.backing_off_until:
            self.faults += 1
            self.backing_off_until = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.faults - 1, 16))

    def note_answer(self) -> None:
        """Reset the back-off after a successful request."""
        self.served += 1
        self.faults, self.backing_off_until, self.fault = 0, 0.0, ""

    def worth_saying(self) -> bool:
        """Return whether to report this fault: the first, and the first after `SILENCE`."""
        now = time.monotonic()
        quiet, self.said_at = now - self.said_at > SILENCE, now
        return quiet

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count a request as in flight."""
        self.outstanding += 1
        try:
            yield
        finally:
            self.outstanding -= 1


def choose_endpoint(endpoints: Sequence[Endpoint]) -> Endpoint | None:
    """Return the endpoint with the fewest requests in flight (then fewest served); None while all back off."""
    now = time.monotonic()
    ready = [endpoint for endpoint in endpoints if endpoint.ready_at <= now]
    return min(ready, key=lambda endpoint: (endpoint.outstanding, endpoint.served), default=None)
