"""Interpret a server's HTTP response: a completion, a row that does not fit, a transient fault, or an error.

The wire format is OpenAI's `/v1/completions` (https://platform.openai.com/docs/api-reference/completions); the known
error messages are those of vLLM, llama.cpp, SGLang, TGI and OpenAI.
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from selfcodealign.errors import ModelError
from selfcodealign.models import Completion, PromptTooLong

if TYPE_CHECKING:
    import httpx

#: Transient statuses: timeout, too early, too many requests. Every 5xx is transient too.
PASSING_STATUSES = frozenset({408, 425, 429})

#: Messages of engines for a prompt, or prompt + max_tokens, longer than the context.
_CONTEXT_WORDS = re.compile(
    r"context[ _](length|size|window)|max_model_len|maximum (input|sequence|model) length|longer than the maximum"
    r"|max_tokens must be at least 1|(prompt|input)[^.]{0,60}too long|exceed_context_size|inputs`? (tokens|must have)",
    re.IGNORECASE,
)
_CONTEXT_LENGTH = re.compile(r"context (?:length|size|window)[^0-9]{0,20}(\d+)", re.IGNORECASE)
_PROMPT_LENGTH = re.compile(r"(\d+) (?:input tokens|in (?:the|your) (?:prompt|messages|input))", re.IGNORECASE)
_TOO_MANY_ASKED = re.compile(r"cannot be greater than max_model_len=(\d+)")
_LONGEST_MESSAGE = 300


class PassingFault(Exception):
    """A transient fault: the server may answer later.

    `pause` is the server's Retry-After in seconds; `limited` is true if the server only limits the rate.
    """

    def __init__(self, message: str, pause: float | None = None, *, limited: bool = False) -> None:
        super().__init__(message)
        self.pause = pause
        self.limited = limited


class Refused(ModelError):
    """The server refuses the request itself; `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(f"it refuses the request ({status}): {message}")
        self.status = status


class ContextExceeded(Exception):
    """Prompt and `max_tokens` together exceed the context; `room` is the largest `max_tokens` that fits."""

    def __init__(self, message: str, room: int) -> None:
        super().__init__(message)
        self.room = room


def read_completion(answer: httpx.Response, stop: tuple[str, ...]) -> Completion:
    """Turn the response to a completion request into a `Completion`.

    Raises `PassingFault` for transient faults, `PromptTooLong` or `ContextExceeded` for requests that do not fit, and
    `ModelError` for faults that a retry cannot fix. Messages do not name the server: the caller does.
    """
    if answer.status_code != 200:
        _raise_refusal(answer)
    body = read_json(answer)
    try:
        choice = body["choices"][0]
        text, reason = choice["text"], choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ModelError("it answers JSON without choices[0].text; is this a /v1/completions server?") from None
    if not isinstance(text, str):
        raise ModelError("choices[0].text in its answer is not a text; is this a /v1/completions server?")
    if reason in (None, "abort", "error"):
        raise PassingFault(f"the answer was broken off (finish_reason {reason})")
    # Some servers leave the stop string in the text or ignore `stop`.
    stops = [place for mark in stop if (place := text.find(mark)) >= 0]
    usage = body.get("usage") or {}
    return Completion(
        text=text[: min(stops)] if stops else text,
        finish_reason="length" if reason == "length" and not stops else "stop",
        prompt_tokens=usage.get("prompt_tokens") or 0,
        completion_tokens=usage.get("completion_tokens") or 0,
    )


def read_json(answer: httpx.Response) -> Any:
    """Parse the JSON body of a response. Raises `ModelError` for a web page or other text."""
    try:
        return answer.json()
    except ValueError:
        pass
    if _is_web_page(answer):
        raise ModelError("it answers with a web page, not with the OpenAI API; check host, port and path")
    raise ModelError(f"its answer is not JSON but {answer.text[:60]!r}; is this an OpenAI-compatible server?")


def is_passing(status: int) -> bool:
    """Return whether a status is transient."""
    return status in PASSING_STATUSES or status >= 500


def read_message(answer: httpx.Response) -> str:
    """Extract the server's error message, as one line of bounded length."""
    try:
        body = answer.json()
    except ValueError:
        text = "a web page" if _is_web_page(answer) else answer.text
    else:
        text = _find_message(body)
    text = " ".join(text.split()) or answer.reason_phrase
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " ..."


def read_pause(answer: httpx.Response) -> float | None:
    """Read the Retry-After header in seconds (RFC 9110, 10.2.3: a number of seconds or a date); None without one."""
    value = answer.headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _raise_refusal(answer: httpx.Response) -> None:
    status, message = answer.status_code, read_message(answer)
    if is_passing(status):
        raise PassingFault(f"{status}: {message}", read_pause(answer), limited=status == 429)
    if status in (400, 413, 422) and _CONTEXT_WORDS.search(message):
        if limit := _TOO_MANY_ASKED.search(message):
            raise ContextExceeded(message, int(limit[1]) - 1)
        context, prompt = _CONTEXT_LENGTH.search(message), _PROMPT_LENGTH.search(message)
        if context and prompt:
            room = int(context[1]) - int(prompt[1])
            if room > 0:
                raise ContextExceeded(message, room)
        raise PromptTooLong(message)
    if 300 <= status < 400:
        raise ModelError(
            f"it redirects to {answer.headers.get('location', 'somewhere else')}; name that address instead"
        )
    raise Refused(message, status)


def _find_message(body: Any) -> str:
    """`error.message` (OpenAI, vLLM), `message` (older vLLM), `error` (TGI) or `detail` (FastAPI)."""
    if not isinstance(body, dict):
        return str(body)
    error = body.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or error)
    return str(error or body.get("message") or body.get("detail") or body)


def _is_web_page(answer: httpx.Response) -> bool:
    return "text/html" in answer.headers.get("content-type", "") or answer.text.lstrip()[:1] == "<"
