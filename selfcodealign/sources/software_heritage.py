"""Fetch the texts of The Stack v2, whose rows hold only the ids of files that Software Heritage keeps."""

from __future__ import annotations

import re
import time
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import httpx

from selfcodealign.errors import SourceError, reason_of

_BLOB = re.compile(r"[0-9a-f]{40}")
_AT_ONCE = 16
_ATTEMPTS = 5
_SECONDS = 60.0
_PAUSE = 0.5  # before the second attempt; twice as long before each later one

Job = TypeVar("Job")


@dataclass(frozen=True, slots=True)
class Missing:
    """A text that is not there, with the reason of its drop."""

    reason: str
    detail: str


class Blobs:
    """Texts by their ids, from an address such as `https://…/content/{blob_id}`, compressed by gzip."""

    def __init__(self, address: str, most: int) -> None:
        if "{blob_id}" not in address or not address.startswith(("https://", "http://")):
            raise SourceError(f"seeds.blob_url {address} needs the form https://HOST/PATH/{{blob_id}}")
        self._address = address
        self._most = most
        self._client = httpx.Client(timeout=_SECONDS, follow_redirects=False)

    def fetch_all(
        self, jobs: Iterator[tuple[Job, str | None]]
    ) -> Generator[tuple[Job, bytes | Missing | None], None, None]:
        """Fetch the texts of jobs in their order, some at once; a job without an id keeps its place, with None."""
        waiting: deque[tuple[Job, Future[bytes | Missing] | None]] = deque()
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            for job, blob in jobs:
                waiting.append((job, pool.submit(self._fetch, blob) if blob is not None else None))
                if len(waiting) >= 2 * _AT_ONCE:
                    first, future = waiting.popleft()
                    yield first, future.result() if future else None
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result() if future else None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            self._client.close()

    def _fetch(self, blob: str) -> bytes | Missing:
        if not _BLOB.fullmatch(blob):
            return Missing("malformed_row", f"{blob[:60]!r} is no id of a text")
        address = self._address.replace("{blob_id}", blob)
        return _try_often(lambda: self._download(address), address)

    def _download(self, address: str) -> bytes | Missing:
        with self._client.stream("GET", address, headers={"Accept-Encoding": "identity"}) as answer:
            if answer.status_code in (403, 404):
                return Missing("not_fetched", f"Software Heritage answers {answer.status_code}")
            answer.raise_for_status()
            text = bytearray()
            unpack = zlib.decompressobj(31)
            try:
                for piece in answer.iter_raw():
                    text += unpack.decompress(piece, self._most + 1 - len(text))
                    if len(text) > self._most:
                        return Missing("too_large", f"more than {self._most:,} bytes")
            except zlib.error as error:
                return Missing("not_fetched", reason_of(error))
            return bytes(text) if unpack.eof else Missing("not_fetched", "the text breaks off")


def _try_often(work: Callable[[], bytes | Missing], address: str) -> bytes | Missing:
    for attempt in range(_ATTEMPTS):
        try:
            return work()
        except httpx.HTTPError as error:
            if attempt == _ATTEMPTS - 1:
                raise SourceError(
                    f"cannot fetch {address} after {_ATTEMPTS} attempts: {reason_of(error)}; check seeds.blob_url and "
                    "the network, and run again"
                ) from None
            time.sleep(_PAUSE * 2**attempt)
    raise AssertionError("unreachable")
