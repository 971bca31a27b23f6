"""How a request is written and an answer read: the form of `/v1/completions`, and what all forms have in common.

The form of `/v1/chat/completions` is in `chat_form`. A form reads a choice of a whole answer or of a chunk of a stream;
everything around choices is the same for all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

#: Asks to continue the last message, that of the assistant, instead of beginning one.
CONTINUE = "continue_final_message"


@dataclass(frozen=True, slots=True)
class Choice:
    """What a choice holds, in its server's own values: nothing is checked. `thoughts` are the characters of reasoning
    beside the text, `refusal` the model's words where it declines to answer."""

    text: Any
    finish_reason: Any = None
    logprobs: Any = None
    thoughts: int = 0
    refusal: str = ""


class Form(Protocol):
    """One form: `path` behind the server's address, `holds` where a whole answer has its text."""

    path: ClassVar[str]
    holds: ClassVar[str]

    def fields(self, engine: str) -> dict[str, Any]:
        """What every request to an engine has besides."""
        ...

    def write(self, body: dict[str, Any], omitted: Collection[str], *, message: bool = False) -> dict[str, Any]:
        """Turn a request in the form of `/v1/completions` into this one; the server refuses the `omitted` fields. With
        `message`, the prompt is what a user says, and not a text to go on with."""
        ...

    def stops(self, stop: tuple[str, ...]) -> tuple[str, ...]:
        """The stop strings that are sent, and at which texts are cut here."""
        ...

    def read(self, choice: Any, *, streamed: bool = False) -> Choice:
        """Read a choice of an answer, or of a chunk. Raises `KeyError`, `TypeError` or `AttributeError` for what is
        none, and `RequestFault` for one that cannot be a text."""
        ...

    def lacks_template(self, message: str) -> bool:
        """Whether a server's message says that the model has no chat format."""
        ...

    def finish(self, text: str) -> str:
        """Take out of a whole text what does not belong to the answer."""
        ...


class CompletionsForm:
    """A prompt, and the text that follows it."""

    path: ClassVar[str] = "completions"
    holds: ClassVar[str] = "choices[0].text"

    def fields(self, engine: str) -> dict[str, Any]:
        return {}

    def write(self, body: dict[str, Any], omitted: Collection[str], *, message: bool = False) -> dict[str, Any]:
        return body

    def stops(self, stop: tuple[str, ...]) -> tuple[str, ...]:
        return stop

    def read(self, choice: Any, *, streamed: bool = False) -> Choice:
        text = (choice.get("text") or "") if streamed else choice["text"]
        return Choice(text, choice.get("finish_reason"), choice.get("logprobs"))

    def lacks_template(self, message: str) -> bool:
        return False

    def finish(self, text: str) -> str:
        return text


COMPLETIONS = CompletionsForm()
