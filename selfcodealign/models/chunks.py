"""Join the chunks of streamed completions (server-sent events) while they arrive."""

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


class Text:
    """One text of a stream. `looped` tells that it repeats itself, if that is looked for."""

    def __init__(self, *, stop_loops: bool = False) -> None:
        self.looped = False
        self.reason: Any = None
        self.usage: Any = None
        self._stop_loops = stop_loops
        self._look_at = EVERY_TOKENS
        self._parts: list[str] = []
        self._likely: list[Any] = []
        self._written = self._characters = self._thoughts = 0
        self._refusal = ""

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
    def over(self) -> bool:
        """Whether nothing more of it is of use."""
        return self.looped or self.reason is not None

    def add(self, choice: Choice) -> bool:
        """Take what a chunk says of this text; returns whether more was written. Raises `RequestFault`."""
        if not isinstance(choice.text, str):
            raise RequestFault("a text in its stream is not a text")
        self.reason = choice.finish_reason or self.reason
        self._refusal += choice.refusal
        self._thoughts += choice.thoughts
        if choice.logprobs and len(self._likely) < _FIRST_CHUNKS:
            self._likely.append(choice.logprobs)
        if choice.text:
            self._parts.append(choice.text)
        if not choice.text and not choice.thoughts:
            return False
        self._written += 1
        self._characters += len(choice.text) + choice.thoughts
        return True

    def look_for_loops(self) -> None:
        """Look every `EVERY_TOKENS` tokens."""
        if self._stop_loops and self.reason is None and self.tokens >= self._look_at:
            self._look_at = self.tokens + EVERY_TOKENS
            self.looped = repeats(self.text)

    def choice(self) -> Choice:
        """The choice of a response that is not streamed; `logprobs` are those of the first chunks, one by one."""
        reason = "loop" if self.looped else self.reason
        return Choice(self.text, reason, self._likely, self._thoughts, self._refusal)


class Chunks:
    """The chunks of one stream, joined: `feed` takes bytes as they come, `whole` gives the body that they make.

    `texts` are those that were asked for; others that a server writes beside them have other indices.
    """

    def __init__(self, form: Form = COMPLETIONS, *, stop_loops: bool = False, count: int = 1) -> None:
        self._form = form
        self.texts = [Text(stop_loops=stop_loops) for _ in range(count)]
        self.touched: set[Text] = set()
        self.usage: Any = None
        self._timings: Any = None
        self._rest = b""
        self._ended = False
        self._error: dict[str, Any] | None = None

    @property
    def tokens(self) -> int:
        """Tokens written so far."""
        return sum(text.tokens for text in self.texts)

    @property
    def looped(self) -> bool:
        """Whether the only text repeats itself."""
        return self.texts[0].looped

    @property
    def ended(self) -> bool:
        """Whether the last event has come."""
        return self._ended

    def feed(self, part: bytes) -> int:
        """Take the next bytes; return how many chunks with text they ended. `touched` are the texts of these chunks.

        Raises `RequestFault` for what is no chunk.
        """
        self.touched.clear()
        *lines, self._rest = (self._rest + part).split(b"\n")
        count = sum([self._take(line) for line in lines])
        if not self._ended:
            for text in self.touched:
                text.look_for_loops()
        return count

    def end(self) -> None:
        """No more bytes come."""
        self._take(self._rest)
        self._rest = b""

    def whole(self) -> dict[str, Any]:
        """Return the body of a response with one text that is not streamed; an error among the chunks is the body.

        A text that repeats itself has the finish_reason "loop". Raises `RequestFault` if the stream was broken off.
        """
        text = self.texts[0]
        if text.looped:  # the usage comes with the last event, unless a server tells it in every chunk
            told = self.usage if isinstance(self.usage, dict) else {}
            usage = told | {"completion_tokens": told.get("completion_tokens") or text.tokens}
            return {"usage": usage, "choices": [text.choice()]}
        self.end()
        if self._error is not None:
            return self._error
        if not self._ended and text.reason is None:
            raise RequestFault("its stream was broken off", broken_off=True)
        return {"usage": self.usage, "timings": self._timings, "choices": [text.choice()]}

    @property
    def error(self) -> dict[str, Any] | None:
        """The body of an error among the chunks."""
        return self._error

    def _take(self, line: bytes) -> bool:
        """Take a line of the stream; returns whether it made a text longer."""
        field, _, value = line.partition(b":")
        value = value.strip()
        if field.strip() != b"data" or not value:
            return False
        if value == b"[DONE]":
            self._ended = True
            return False
        longer = False
        try:
            chunk = json.loads(value)
            if chunk.get("error"):
                self._error = self._error or chunk
                return False
            usage, choices = chunk.get("usage"), chunk.get("choices") or []
            self._timings = chunk.get("timings") or self._timings
            for choice in choices:
                place = choice.get("index") or 0
                if 0 <= place < len(self.texts):
                    text = self.texts[place]
                    longer = text.add(self._form.read(choice, streamed=True)) or longer
                    text.usage = usage or text.usage
                    self.touched.add(text)
            if not choices or len(self.texts) == 1:
                self.usage = usage or self.usage
        except (ValueError, RecursionError, TypeError, AttributeError):
            shown = value[:60].decode("utf-8", "replace")
            raise RequestFault(f"its stream holds what is no chunk of a completion: {shown!r}") from None
        return longer
