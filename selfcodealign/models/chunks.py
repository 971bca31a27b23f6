"""Join the chunks of a streamed completion (server-sent events) while they arrive."""

from __future__ import annotations

import json
from typing import Any

from selfcodealign.models.faults import RequestFault
from selfcodealign.models.forms import COMPLETIONS, Choice, Form
from selfcodealign.models.loops import EVERY_TOKENS, repeats
from selfcodealign.models.room import TOKEN_CHARACTERS

#: Characters per chunk above which chunks are taken to hold several tokens.
_LONG_CHUNK = 8
#: Chunks whose `logprobs` are kept: the first token that is no white space is among them.
_FIRST_CHUNKS = 32


class Chunks:
    """The chunks of one stream, joined: `feed` takes bytes as they come, `whole` gives the body that they make.

    With `stop_loops`, `looped` tells that the text repeats itself, looked at every `EVERY_TOKENS` tokens.
    """

    def __init__(self, form: Form = COMPLETIONS, *, stop_loops: bool = False) -> None:
        self.looped = False
        self._form = form
        self._stop_loops = stop_loops
        self._look_at = EVERY_TOKENS
        self._parts: list[str] = []
        self._likely: list[Any] = []
        self._written = self._characters = self._thoughts = 0
        self._refusal = ""
        self._rest = b""
        self._usage: Any = None
        self._timings: Any = None
        self._reason: Any = None
        self._ended = False
        self._error: dict[str, Any] | None = None

    @property
    def tokens(self) -> int:
        """Tokens written so far, of text and reasoning: one per chunk, or by their length where chunks hold several."""
        several = self._characters > _LONG_CHUNK * self._written
        return int(self._characters / TOKEN_CHARACTERS) if several else self._written

    @property
    def text(self) -> str:
        """The text so far."""
        self._parts = ["".join(self._parts)]
        return self._parts[0]

    @property
    def ended(self) -> bool:
        """Whether the last event has come."""
        return self._ended

    def feed(self, part: bytes) -> int:
        """Take the next bytes; return how many chunks they ended. Raises `RequestFault` for what is no chunk."""
        before = self._written
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            self._take(line)
        if self._stop_loops and self._reason is None and not self._ended and self.tokens >= self._look_at:
            self._look_at = self.tokens + EVERY_TOKENS
            self.looped = repeats(self.text)
        return self._written - before

    def whole(self) -> dict[str, Any]:
        """Return the body of a response that is not streamed; an error among the chunks is the body.

        A text that repeats itself has the finish_reason "loop". Raises `RequestFault` if the stream was broken off.
        """
        if self.looped:  # the usage comes with the last event, unless a server tells it in every chunk
            told = self._usage if isinstance(self._usage, dict) else {}
            usage = told | {"completion_tokens": told.get("completion_tokens") or self.tokens}
            return {"usage": usage, "choices": [self._choice("loop")]}
        self._take(self._rest)
        self._rest = b""
        if self._error is not None:
            return self._error
        if not self._ended and self._reason is None:
            raise RequestFault("its stream was broken off", broken_off=True)
        return {"usage": self._usage, "timings": self._timings, "choices": [self._choice(self._reason)]}

    def _choice(self, reason: Any) -> Choice:
        """The choice of the whole body; its `logprobs` are those of the first chunks, one by one."""
        return Choice(self.text, reason, self._likely, self._thoughts, self._refusal)

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.strip()
        if field.strip() != b"data" or not value:
            return
        if value == b"[DONE]":
            self._ended = True
            return
        try:
            chunk = json.loads(value)
            if chunk.get("error"):
                self._error = self._error or chunk
                return
            # One text was asked for; others that a server writes beside it have other indices.
            one = next((one for one in chunk.get("choices") or [] if not one.get("index")), {})
            choice = self._form.read(one, streamed=True)
            self._usage = chunk.get("usage") or self._usage
            self._timings = chunk.get("timings") or self._timings
        except (ValueError, RecursionError, TypeError, AttributeError):
            shown = value[:60].decode("utf-8", "replace")
            raise RequestFault(f"its stream holds what is no chunk of a completion: {shown!r}") from None
        if not isinstance(choice.text, str):
            raise RequestFault("a text in its stream is not a text")
        self._add(choice)

    def _add(self, choice: Choice) -> None:
        self._reason = choice.finish_reason or self._reason
        self._refusal += choice.refusal
        self._thoughts += choice.thoughts
        if choice.logprobs and len(self._likely) < _FIRST_CHUNKS:
            self._likely.append(choice.logprobs)
        if choice.text:
            self._parts.append(choice.text)
        if choice.text or choice.thoughts:
            self._written += 1
            self._characters += len(choice.text) + choice.thoughts
