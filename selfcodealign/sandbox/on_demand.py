"""Starts the sandbox on first use: a finished run needs none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Self

from selfcodealign.errors import SandboxError
from selfcodealign.sandbox import Program, Sandbox, Status, Verdict

#: One program can lose all its workers and go unjudged; this many in a row mean a broken sandbox.
MOST_UNJUDGED = 20


class OnDemandSandbox:
    """Starts `sandbox` at the first call of `run` or at `open`, and closes it on exit.

    Raises `SandboxError` when `MOST_UNJUDGED` programs in a row go unjudged: a broken machine stops the run instead of
    filling it with unjudged rows.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._unjudged = 0
        #: Programs that were judged, the wall time that they ran, and calls under way.
        self.programs, self.seconds, self.under_way = 0, 0.0, 0
        self._opened = False
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._opened = False
        await self._stack.aclose()

    async def open(self) -> None:
        """Start the sandbox now. Raises `SandboxError`."""
        async with self._opening:
            if not self._opened:
                await self._stack.enter_async_context(self._sandbox)
                self._opened = True

    async def run(self, program: Program) -> Verdict:
        if not self._opened:
            await self.open()
        with self._counted():
            return self._count(await self._sandbox.run(program))

    async def run_against(self, response: str, tests: Sequence[str]) -> list[Verdict]:
        if not self._opened:
            await self.open()
        with self._counted(len(tests)):
            return [self._count(verdict) for verdict in await self._sandbox.run_against(response, tests)]

    @contextmanager
    def _counted(self, programs: int = 1) -> Iterator[None]:
        self.under_way += programs
        try:
            yield
        finally:
            self.under_way -= programs

    def _count(self, verdict: Verdict) -> Verdict:
        self.programs += 1
        self.seconds += verdict.seconds
        self._unjudged = self._unjudged + 1 if verdict.status is Status.NOT_JUDGED else 0
        if self._unjudged >= MOST_UNJUDGED:
            raise SandboxError(
                f"the sandbox could not judge the last {self._unjudged} programs ({verdict.message}); see what "
                "`selfcodealign doctor` says, then run the same command to resume"
            )
        return verdict
