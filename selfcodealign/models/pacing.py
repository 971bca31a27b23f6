"""Keep to a number of requests and of tokens a minute: one request after the other at even distances."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from selfcodealign.models.room import TOKEN_CHARACTERS

_log = logging.getLogger(__name__)

#: Seconds between two lines about requests that wait, and the longest sleep before the wait is worked out again.
_SAY_SECONDS, _LONGEST_SLEEP = 30.0, 1.0


class Pacer:
    """Lets requests begin in the order of their coming, at even distances; None means no cap.

    The tokens of a request are estimated when it begins (its answer: the mean of the answers so far, at first
    `max_tokens`) and corrected when they are known.
    """

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._per_request = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._caps = " and ".join(
            f"model.{name} = {cap:g}"
            for name, cap in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute))
            if cap
        )
        self._gate = asyncio.Lock()
        self._request_due = self._token_due = 0.0
        self._mean: float | None = None
        self._waiting = self._sent = 0
        self._begun_at = self._said_at = 0.0

    @asynccontextmanager
    async def turn(self, prompt: str, max_tokens: int) -> AsyncIterator[float]:
        """Wait until a request may begin; yields the tokens it is taken to have. Others wait until the block ends."""
        estimate = len(prompt) / TOKEN_CHARACTERS + min(max_tokens, self._mean or max_tokens)
        if not self._caps:
            yield estimate
            return
        self._waiting += 1
        try:
            async with self._gate:
                await self._wait()
                yield estimate
                self._charge(estimate)
        finally:
            self._waiting -= 1

    def correct(self, estimate: float, prompt: str, text: str, prompt_tokens: int, completion_tokens: int) -> None:
        """Put the tokens that a request really had in the place of the estimate."""
        written = completion_tokens or len(text) / TOKEN_CHARACTERS
        self._mean = written if self._mean is None else 0.95 * self._mean + 0.05 * written
        had = (prompt_tokens or len(prompt) / TOKEN_CHARACTERS) + written
        self._token_due += (had - estimate) * self._per_token

    async def _wait(self) -> None:
        while (pause := max(self._request_due, self._token_due) - time.monotonic()) > 0:
            self._say(pause)
            await asyncio.sleep(min(pause, _LONGEST_SLEEP))

    def _charge(self, tokens: float) -> None:
        now = time.monotonic()
        self._begun_at = self._begun_at or now
        self._sent += 1
        # A timer that was late by less than one distance is made up for; a longer rest is not.
        self._request_due = max(self._request_due or now, now - self._per_request) + self._per_request
        self._token_due = max(self._token_due, now) + tokens * self._per_token

    def _say(self, pause: float) -> None:
        """Tell now and then that requests wait on purpose: a slow run must not look like a dead one."""
        now = time.monotonic()
        if pause < _LONGEST_SLEEP or now - self._said_at < _SAY_SECONDS:
            return
        self._said_at = now
        minutes = max(now - self._begun_at, 1.0) / 60
        _log.warning(
            "%s holds requests back: %d sent in %.1f min, %d wait, the next one begins in %.0f s",
            self._caps, self._sent, minutes, self._waiting, pause,
        )  # fmt: skip
