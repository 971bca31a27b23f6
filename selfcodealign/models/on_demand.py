"""A model and a sandbox that are opened when the first row needs them: a finished run needs neither."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Self

from selfcodealign.errors import ModelError, SandboxError
from selfcodealign.models import Completion, Model, Sampling
from selfcodealign.sandbox import Program, Sandbox, Status, Verdict

#: A program can bring down its worker twice and go unjudged; as many in a row are a broken sandbox.
MOST_UNJUDGED = 20


class LateModel:
    """Opens `model` at the first call of `complete` or at `open`, closes it on the way out, counts tokens.

    `known` is the identity that an earlier run of the same folder recorded: with it nothing has to be opened to tell
    which rows are done. When the model turns out to be another one, `ModelError` says so before a row is written.
    """

    def __init__(self, model: Model, known: Mapping[str, str] | None = None) -> None:
        self._model = model
        self._known = dict(known) if known else None
        self._opened = False
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self.concurrency = model.concurrency
        # Stages ask at the same time, each as if it were alone: together they keep no more under way than is useful.
        self._slots = asyncio.Semaphore(model.concurrency)
        self.prompt_tokens = 0
        self.completion_tokens = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give back the device and the memory; a later call opens the model again."""
        self._opened = False
        await self._stack.aclose()

    async def open(self) -> None:
        """Open the model now. Raises `ModelError`."""
        async with self._opening:
            if self._opened:
                return
            await self._stack.enter_async_context(self._model)
            self._opened = True
        found = self._model.identity()
        if self._known and any(found[key] != self._known[key] for key in ("name", "revision")):
            raise ModelError(
                f"the model is {found['name']} at {found['revision']}, this run folder was begun with "
                f"{self._known['name']} at {self._known['revision']}: give another --out, or that model again"
            )
        self._known = found

    def identity(self) -> dict[str, str]:
        """The model's identity, as recorded before it is opened."""
        if self._known is None:
            raise RuntimeError("identity of a model that was never opened")
        return self._known

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        if not self._opened:
            await self.open()
        async with self._slots:
            completion = await self._model.complete(prompt, sampling, seed=seed)
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens
        return completion


class LateSandbox:
    """Starts `sandbox` at the first call of `run` or at `open`, and closes it on the way out.

    Raises `SandboxError` when one program after the other goes unjudged: a broken machine stops the run, it does not
    fill it with rows that say nothing.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._unjudged = 0
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
        verdict = await self._sandbox.run(program)
        self._unjudged = self._unjudged + 1 if verdict.status is Status.NOT_JUDGED else 0
        if self._unjudged >= MOST_UNJUDGED:
            raise SandboxError(
                f"the sandbox could not judge the last {self._unjudged} programs ({verdict.message}); see what "
                "`selfcodealign doctor` says, then run the same command to resume"
            )
        return verdict
