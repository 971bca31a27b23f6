"""The answer to a request for several calls, while it comes: each call gets its completion when its text ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from selfcodealign.models import Completion
from selfcodealign.models.chunks import Chunks, Text
from selfcodealign.models.completions_api import Written, read_answer, read_body, read_json
from selfcodealign.models.faults import RequestFault
from selfcodealign.models.forms import Choice
from selfcodealign.models.http_response import HttpResponse
from selfcodealign.models.request import Request
from selfcodealign.models.together import Shares, Turn

#: Makes a call's completion of what was written; and is told what a call is given.
Finish = Callable[[Request, Written], Completion]
Note = Callable[[Request, Completion], None]


class SharedAnswer:
    """What has come for the calls of a turn; `texts` are in the order of the calls.

    `abandoned` are the tokens that were written for calls that did not wait for them.
    """

    def __init__(self, turn: Turn, finish: Finish, note: Note) -> None:
        self._turn = turn
        self._finish = finish
        self._note = note
        self._shares = Shares(turn.calls)
        self._looped: dict[Text, int] = {}
        self.chunks = Chunks(stop_loops=turn.calls[0].sampling.stop_loops, count=len(turn.calls))
        self.texts = dict(zip(self.chunks.texts, turn.calls, strict=True))
        self.given = 0

    @property
    def needed(self) -> bool:
        """Whether a call still waits."""
        return any(map(self._turn.waits, self._turn.calls))

    @property
    def abandoned(self) -> int:
        """Tokens that no call got: of calls that were cancelled, and behind the end of texts that repeat themselves."""
        cancelled = sum(text.tokens for text, call in self.texts.items() if self._turn.outcomes[call].cancelled())
        return cancelled + sum(text.tokens - before for text, before in self._looped.items())

    def take(self, text: Text) -> None:
        """A text has ended. The last one waits for the end of the stream, which tells the tokens of them all."""
        call = self.texts[text]
        others_write = any(other.reason is None for other in self.texts if other is not text)
        last = text.reason is not None and not others_write
        if not self._turn.waits(call) or last:
            return
        if text.looped:
            self._looped[text] = text.tokens
        completion = self._complete(call, text.choice(), text.usage)
        if completion is not None:
            self._give(call, self._shares.count(text, completion))

    def take_end(self) -> None:
        """The stream has ended. Raises what `read_body` raises for an error in it, `RequestFault` if it broke off."""
        self.chunks.end()
        if self.chunks.error is not None:
            read_body(self.chunks.error, streamed=True)
        for text, call in self.texts.items():
            if self._turn.outcomes[call].cancelled():
                self._shares.pass_over(text)
        done = {
            call: text.choice() for text, call in self.texts.items() if text.over or (self.chunks.ended and text.tokens)
        }
        self._give_rest(done, self.chunks.usage)
        if self.needed:
            raise RequestFault("it gave fewer texts than it was asked for", broken_off=not self.chunks.ended)

    def take_whole(self, answer: HttpResponse) -> None:
        """An answer that is not streamed. Raises what `read_answer` raises."""
        if answer.status != 200:
            read_answer(answer)
        body = read_json(answer)
        if not isinstance(body, dict) or not isinstance(choices := body.get("choices"), list):
            read_body(body)
            return
        done = {}
        for place, choice in enumerate(choices):
            index = choice.get("index", place) if isinstance(choice, dict) else -1
            if isinstance(index, int) and 0 <= index < len(self._turn.calls):
                done[self._turn.calls[index]] = choice
        self._give_rest(done, body.get("usage"))
        if self.needed:
            raise RequestFault("it gave fewer texts than it was asked for")

    def _give_rest(self, done: Mapping[Request, Choice | dict[str, Any]], usage: Any) -> None:
        """Give the calls that still wait what was written, and the rest of the tokens."""
        finished: dict[Request, Completion] = {}
        for call, choice in done.items():
            if self._turn.waits(call) and (completion := self._complete(call, choice, None)) is not None:
                finished[call] = completion
        if not finished:
            return
        nothing = {"text": "", "finish_reason": "stop"}
        counts = self._finish(self._turn.calls[0], read_body({"choices": [nothing], "usage": usage}))
        for call, completion in zip(finished, self._shares.count_rest(list(finished.values()), counts), strict=True):
            self._give(call, completion)

    def _complete(self, call: Request, choice: Choice | dict[str, Any], usage: Any) -> Completion | None:
        """Make a completion; a call whose text was broken off is asked again, alone."""
        try:
            return self._finish(call, read_body({"choices": [choice], "usage": usage}))
        except RequestFault:
            self._turn.send_away([call], alone=True)
            return None

    def _give(self, call: Request, completion: Completion) -> None:
        self.given += 1
        self._turn.outcomes[call].set_result(completion)
        self._note(call, completion)
