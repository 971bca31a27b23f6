"""Open the model on first use, because a finished run needs none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, nullcontext
from typing import Any, Self

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, Model, Sampling, UnderWay
from selfcodealign.models.kept_answers import Keeper, key_of, restore, store


class OnDemandModel:
    """Opens `model` at the first call of `complete` or at `open`, closes it on exit, counts tokens.

    `known` is the identity that an earlier run of the same folder recorded; it identifies finished rows without opening
    the model. If the opened model is another one, `ModelError` is raised before a row is written. `keeper` gets every
    answer, and is asked for it first. `say` puts the words of an error so that they name this model's settings.
    """

    def __init__(
        self,
        model: Model,
        known: Mapping[str, str] | None = None,
        keeper: Keeper | None = None,
        say: Callable[[str], str] = str,
    ) -> None:
        self._model = model
        self._say = say
        self._known = dict(known) if known else None
        self._keeper = keeper
        self._opened = False
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self.concurrency = model.concurrency
        # Stages run concurrently and each uses the full concurrency: their sum is bounded, here or by the model.
        holds = getattr(model, "holds_calls", False)
        self._slots = nullcontext() if holds else asyncio.Semaphore(model.concurrency)
        #: Calls of `complete` that have not returned; those beyond the requests under way wait for their turn.
        self.calls = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the model and free its memory; a later call opens the model again."""
        self._opened = False
        await self._stack.aclose()

    async def open(self) -> None:
        """Open the model now. Raises `ModelError`."""
        async with self._opening:
            if self._opened:
                return
            with self._own_words():
                await self._stack.enter_async_context(self._model)
            self._opened = True
        found = self._model.identity()
        if self._known and any(found[key] != self._known[key] for key in ("name", "revision")):
            raise ModelError(
                f"the model is {found['name']} at {found['revision']}, but this run folder was begun with "
                f"{self._known['name']} at {self._known['revision']}: give another --out, or that model again"
            )
        self._known = found

    def identity(self) -> dict[str, str]:
        """Return the model's identity; before the model is opened, the recorded identity."""
        if self._opened:
            return self._model.identity()
        if self._known is None:
            raise RuntimeError("the identity of this model is unknown until it is opened")
        return self._known

    def known(self, fact: str) -> str:
        """Return a fact of the identity; "" if it is not known."""
        return self.identity().get(fact, "") if self._opened or self._known else ""

    def under_way(self) -> UnderWay:
        """What the model is working on; nothing before it is opened."""
        return self._model.under_way() if self._opened else UnderWay()

    @property
    def abandoned_tokens(self) -> int:
        """Tokens that were written for calls which were cancelled; 0 for models that do not count them."""
        return getattr(self._model, "abandoned_tokens", 0)

    @property
    def spare(self) -> int:
        """How many more requests the model could take now; calls that wait for their turn count as requests."""
        return max(0, self.concurrency - self.calls)

    def state(self) -> Sequence[Any]:
        """How each of the model's servers does, if the model tells: a model need not have `state`."""
        tell = getattr(self._model, "state", None)
        return tell() if self._opened and tell is not None else ()

    def count_tokens(self) -> tuple[int, int]:
        """Tokens of prompts and of completions so far, those that are being read or written included."""
        now = self.under_way()
        return self.prompt_tokens + now.prompt_tokens_read, self.completion_tokens + now.completion_tokens

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        self.calls += 1
        try:
            if not self._opened:
                await self.open()
            key = "" if self._keeper is None else key_of(self.identity(), prompt, sampling, seed)
            if self._keeper is not None and (kept := self._keeper.find(key)) is not None:
                return restore(kept)
            return await self._complete(key, prompt, sampling, seed)
        finally:
            self.calls -= 1

    @contextmanager
    def _own_words(self) -> Iterator[None]:
        try:
            yield
        except ModelError as error:
            words = self._say(str(error))
            if words == str(error):
                raise
            raise ModelError(words) from error

    async def _complete(self, key: str, prompt: str, sampling: Sampling, seed: int) -> Completion:
        async with self._slots:
            with self._own_words():
                completion = await self._model.complete(prompt, sampling, seed=seed)
        if self._keeper is not None:
            self._keeper.add(key, store(completion))
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens
        return completion
