"""Calls that go to a server as one request: several texts of one prompt (`n`), or a list of prompts.

Calls that wait for their turn join the first of them that may go with it. Where each request carries its seed, these
are the next seeds of one prompt, because vLLM gives text i of a request the seed `seed + i`: no text depends on the
calls that happened to wait together. Without seeds, any calls with the same sampling settings and the same beginning.

Each call has its text when the text ends, and its share of the tokens: the prompt is counted once in a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from selfcodealign.models import Completion
from selfcodealign.models.chunks import Text
from selfcodealign.models.endpoints import Endpoint
from selfcodealign.models.request import Request

#: Characters that different prompts of one request have in common, so that a server reads them once; prompts of less
#: than twice as many may differ in all.
_COMMON = 1024


@dataclass(eq=False)
class Turn:
    """Calls that wait for one turn. The first waits for the server, the others for what becomes of it: a completion,
    or None, which means to ask for it in another way."""

    calls: list[Request]
    key: Hashable = None
    outcomes: dict[Request, asyncio.Future[Completion | None]] = field(default_factory=dict)
    endpoint: Endpoint | None = None
    estimate: float = 0.0
    sent_at: float = 0.0

    @property
    def server(self) -> Endpoint:
        """The server whose turn it is."""
        assert self.endpoint is not None, "the turn has not come"
        return self.endpoint

    def waits(self, call: Request) -> bool:
        """Whether a call still waits for its outcome."""
        return not self.outcomes[call].done()

    async def wait(self, call: Request) -> Completion | None:
        """Wait for the outcome of a call. Raises `PassingFault` for one call at most: it tells what to do about it."""
        return await self.outcomes[call]

    def expect(self, call: Request) -> None:
        """Make a place for the outcome of a call."""
        self.outcomes[call] = asyncio.get_running_loop().create_future()

    def send_away(self, calls: list[Request], *, alone: bool = False) -> None:
        """Those of these calls that still wait have to be asked in another way: `alone`, each in its own request."""
        for call in calls:
            if self.waits(call):
                call.alone = call.alone or alone
                self.outcomes[call].set_result(None)

    def fail(self, error: Exception) -> None:
        """The first call that still waits finds out what to do about an error; the others are sent away."""
        waiting = [call for call in self.calls if self.waits(call)]
        if waiting:
            self.outcomes[waiting[0]].set_exception(error)
        self.send_away(waiting[1:])


class Turns:
    """The turns that are waited for. `most` is the number of texts in a request."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: dict[Hashable, Turn] = {}

    def join(self, call: Request) -> Turn | None:
        """Join a turn that another call waits for; None if there is none."""
        key = _find_key(call)
        turn = self._open.get(key)
        if turn is None:
            return None
        turn.calls.append(call)
        turn.expect(call)
        del self._open[key]
        if len(turn.calls) < self.most:
            self._keep(turn)
        else:
            turn.key = None
        return turn

    @contextmanager
    def lead(self, call: Request, *, open_to_others: bool) -> Iterator[Turn]:
        """Wait for a turn that others may join until the block ends; they are sent away if it fails."""
        turn = Turn([call])
        if open_to_others:
            self._keep(turn)
        try:
            yield turn
        except BaseException:
            turn.send_away(turn.calls[1:])
            raise
        finally:
            if self._open.get(turn.key) is turn:
                del self._open[turn.key]

    def _keep(self, turn: Turn) -> None:
        turn.key = _find_key(turn.calls[-1], following=1)
        # Two equal calls: the second one waits for a turn by itself, and no other can join the first.
        self._open.setdefault(turn.key, turn)


def _find_key(call: Request, following: int = 0) -> Hashable:
    if call.seeded:
        return call.prompt, call.sampling, call.max_tokens, call.seed + following
    beginning = call.prompt[:_COMMON] if len(call.prompt) >= 2 * _COMMON else ""
    return beginning, call.sampling, call.max_tokens


def settle(turn: Turn, most: int) -> list[Request]:
    """Decide at its turn who goes: the first call, and of those behind it the ones that still wait and follow on it.

    The others are sent away.
    """
    first, *others = turn.calls
    going = [first]
    for call in others:
        follows = not call.seeded or call.seed == going[-1].seed + 1
        if follows and turn.waits(call) and len(going) < most:
            going.append(call)
    turn.send_away([call for call in others if call not in going])
    turn.calls = going
    if len(going) > 1:
        turn.expect(first)
    return going


def fields_of(calls: list[Request]) -> dict[str, Any]:
    """The fields of a request for all these calls."""
    prompts = [call.prompt for call in calls]
    if len(set(prompts)) > 1 or calls[0].sampling.temperature == 0:  # greedy texts of one prompt are refused as `n`
        return calls[0].fields() | {"prompt": prompts}
    return calls[0].fields() | {"n": len(calls)}


class Shares:
    """Splits the tokens of a request among its calls: their sum is what the server counts.

    The prompt of `n` texts is that of the first call whose text ends when its tokens are known.
    """

    def __init__(self, calls: list[Request]) -> None:
        self._calls = calls
        self._one_prompt = len({call.prompt for call in calls}) == 1 and calls[0].sampling.temperature != 0
        self._prompt_tokens = self._completion_tokens = 0
        self._prompt_told = False

    def count(self, text: Text, completion: Completion) -> Completion:
        """The completion of a text that ends before the request does; its usage is that of its chunk."""
        written = completion.completion_tokens or text.tokens
        prompt = 0 if self._one_prompt and self._prompt_told else completion.prompt_tokens
        self._prompt_told = self._prompt_told or prompt > 0
        self._prompt_tokens += prompt
        self._completion_tokens += written
        return replace(completion, prompt_tokens=prompt, completion_tokens=written, cached_tokens=None)

    def pass_over(self, text: Text) -> None:
        """Tokens that the server counts and no call gets."""
        self._completion_tokens += text.tokens

    def count_rest(self, completions: list[Completion], usage: Completion) -> list[Completion]:
        """The completions that end with the request, which share what is left of its `usage`.

        Which tokens came from a prefix cache is told of one prompt; of a list of prompts it is not known.
        """
        if not usage.completion_tokens and not usage.prompt_tokens:  # none is told
            return completions
        written = max(0, usage.completion_tokens - self._completion_tokens)
        read = max(0, usage.prompt_tokens - self._prompt_tokens)
        writing = divide(written, [len(one.text) for one in completions])
        rest = [0] * (len(completions) - 1)
        reading = [read, *rest] if self._one_prompt else divide(read, [1] * len(completions))
        shared = [
            replace(one, prompt_tokens=prompt, completion_tokens=tokens, cached_tokens=None)
            for one, prompt, tokens in zip(completions, reading, writing, strict=True)
        ]
        if self._one_prompt and usage.cached_tokens is not None:
            told = min(usage.cached_tokens, usage.prompt_tokens)
            shared[0] = replace(shared[0], cached_tokens=told, told_tokens=usage.prompt_tokens)
        return shared


def divide(total: int, weights: list[int]) -> list[int]:
    """Divide a number in proportion to weights, without a rest.

    >>> divide(10, [1, 1, 1]), divide(7, [0, 0])
    ([3, 3, 4], [3, 4])
    """
    weights = weights if sum(weights) else [1] * len(weights)
    ends = [total * sum(weights[: place + 1]) // sum(weights) for place in range(len(weights))]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
