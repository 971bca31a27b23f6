"""Interpret a server's HTTP response: a completion, a row that does not fit, a transient fault, or an error.

The protocol is OpenAI's (https://platform.openai.com/docs/api-reference/completions); `forms` has what differs between
completions and chat. The known error messages are those of vLLM, llama.cpp, SGLang, TGI and OpenAI. Servers leave out,
rename or break any part of it, so nothing here trusts the type of a value.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from selfcodealign.models import Completion, PromptTooLong
from selfcodealign.models.chunks import Chunks
from selfcodealign.models.faults import ContextExceeded, Declined, PassingFault, Refused, RequestFault
from selfcodealign.models.first_token import read_first_token
from selfcodealign.models.forms import COMPLETIONS, Choice, Form
from selfcodealign.models.http_response import HttpResponse
from selfcodealign.models.stop_strings import cut_at_stop
from selfcodealign.models.token_counts import read_cached, read_count

#: Transient statuses: timeout, too early, too many requests. Every 5xx is transient too, but for those that say that
#: the server lacks the function.
PASSING_STATUSES = frozenset({408, 425, 429})
_LACKING_STATUSES = frozenset({501, 505})

#: Messages of engines for a prompt, or prompt + max_tokens, longer than the context.
_CONTEXT_WORDS = re.compile(
    r"context[ _](length|size|window)|max_model_len|maximum (input|sequence|model) length|longer than the maximum"
    r"|max_tokens must be at least 1|(prompt|input)[^.]{0,60}too long|exceed_context_size|inputs`? (tokens|must have)",
    re.IGNORECASE,
)
_CONTEXT_LENGTH = re.compile(r"context (?:length|size|window)[^0-9]{0,20}(\d+)", re.IGNORECASE)
_PROMPT_LENGTH = re.compile(
    r"(\d+) (?:input tokens|in (?:the|your) (?:prompt|messages|input)|tokens from the input)", re.IGNORECASE
)
_TOO_MANY_ASKED = re.compile(r"cannot be greater than max_model_len=(\d+)")
_LONGEST_MESSAGE, _LONGEST_REFUSAL = 300, 2_000


@dataclass(frozen=True, slots=True)
class Written:
    """What a server wrote: `finish_reason` in its own words, "" if it gave none; token counts 0 if it gave none.

    `first_token` has the log-probabilities of the likeliest first tokens, if it told them. `cached_tokens` are the
    prompt tokens that came from its prefix cache; None if it did not tell. `thoughts` are characters of reasoning that
    are not in the text.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    first_token: Mapping[str, float] = field(default_factory=dict)
    cached_tokens: int | None = None
    thoughts: int = 0


def read_answer(answer: HttpResponse, form: Form = COMPLETIONS) -> Written:
    """Read the response to a completion request; a stream of chunks, which some servers send unasked, is joined.

    Raises `PassingFault` for transient faults, `PromptTooLong` or `ContextExceeded` for requests that do not fit,
    `Declined` where the model does not want to answer, and `RequestFault` for everything else that is no completion.
    Messages do not name the server: the caller does.
    """
    if answer.status != 200:
        _raise_refusal(answer)
    if is_stream(answer) or answer.body.startswith(b"data:"):
        chunks = Chunks(form)
        chunks.feed(answer.body)
        return read_body(chunks.whole(), form, streamed=True)
    return read_body(read_json(answer), form)


def read_body(body: Any, form: Form = COMPLETIONS, *, streamed: bool = False) -> Written:
    """Read the body of a response, or what the chunks of a stream make together. Raises what `read_answer` raises."""
    if isinstance(body, dict) and body.get("error"):
        _raise_error(body, streamed)
    try:
        first = body["choices"][0]
        choice = first if isinstance(first, Choice) else form.read(first)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise RequestFault(f"it answers JSON without {form.holds}; is this a /v1/{form.path} server?") from None
    _check_choice(choice, form)
    usage = body.get("usage")
    # Half a surrogate pair is JSON, but no file takes it.
    text = form.finish(choice.text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    likely = choice.logprobs
    return Written(
        text=text,
        finish_reason=choice.finish_reason if isinstance(choice.finish_reason, str) else "",
        prompt_tokens=read_count(usage, "prompt_tokens"),
        completion_tokens=read_count(usage, "completion_tokens"),
        # Of a text that was cut off in front, the first token is not the answer's.
        first_token=read_first_token(likely if isinstance(likely, list) else [likely]) if text == choice.text else {},
        cached_tokens=read_cached(body),
        thoughts=choice.thoughts,
    )


def _check_choice(choice: Choice, form: Form) -> None:
    """Raise `Declined` or `RequestFault` for a choice that is no answer."""
    reason = choice.finish_reason
    if choice.refusal:
        raise Declined(f"the model declines: {_shorten(choice.refusal)}")
    if not isinstance(choice.text, str):
        raise RequestFault(f"{form.holds} in its answer is not a text; is this a /v1/{form.path} server?")
    if reason == "content_filter":
        raise Declined("the server's content filter has ended the answer")
    if reason in ("tool_calls", "function_call"):
        raise RequestFault("it answers with the call of a tool, not with a text")
    if reason in ("abort", "error") or (not choice.text and not choice.thoughts and reason is None):
        raise RequestFault(f"the answer was broken off (finish_reason {reason})", broken_off=True)


def to_completion(written: Written, stop: tuple[str, ...], max_tokens: int) -> Completion:
    """Make the `Completion`: cut at a stop string, since some servers leave it in the text or ignore `stop`.

    A server that gives no reason it knows has cut the text if it wrote `max_tokens` tokens.
    """
    text = cut_at_stop(written.text, stop)
    cut = written.finish_reason == "length" or (
        written.finish_reason != "stop" and written.completion_tokens >= max_tokens
    )
    reason = "loop" if written.finish_reason == "loop" else "length" if cut else "stop"
    return Completion(
        text=text,
        finish_reason=reason if len(text) == len(written.text) else "stop",
        prompt_tokens=written.prompt_tokens,
        completion_tokens=written.completion_tokens,
        first_token=written.first_token,
        cached_tokens=written.cached_tokens,
    )


def read_json(answer: HttpResponse) -> Any:
    """Parse the JSON body of a response. Raises `RequestFault` for a web page or other text."""
    try:
        return answer.json()
    except (ValueError, RecursionError):
        pass
    if _is_web_page(answer):
        raise RequestFault("it answers with a web page, not with the OpenAI API; check host, port and path")
    raise RequestFault(f"its answer is not JSON but {answer.text[:60]!r}; is this an OpenAI-compatible server?")


def is_passing(status: int) -> bool:
    """Return whether a status is transient."""
    return status in PASSING_STATUSES or (status >= 500 and status not in _LACKING_STATUSES)


def read_message(answer: HttpResponse) -> str:
    """Extract the server's error message, as one line of bounded length."""
    try:
        text = _find_message(answer.json())
    except (ValueError, RecursionError):
        text = "a web page" if _is_web_page(answer) else answer.text
    return _shorten(text) or answer.reason


def read_pause(answer: HttpResponse) -> float | None:
    """Read the Retry-After header in seconds (RFC 9110, 10.2.3: a number of seconds or a date); None without one."""
    value = answer.headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        pause = float(value)
    except ValueError:
        try:
            pause = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, pause) if pause == pause else None  # "nan" is a number to Python


def _raise_refusal(answer: HttpResponse) -> None:
    status, message = answer.status, read_message(answer)
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
        place = answer.headers.get("location", "somewhere else")
        raise Refused(f"it redirects to {place}; name that address instead", status)
    raise Refused(f"it refuses the request ({status}): {message}", status, _told(answer))


def _told(answer: HttpResponse) -> str:
    """The whole refusal as text, without the request that some servers repeat in it."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(one) for key, one in value.items() if key not in ("input", "body", "request")}
        return [strip(one) for one in value] if isinstance(value, list) else value

    try:
        return json.dumps(strip(answer.json()))[:_LONGEST_REFUSAL]
    except (ValueError, RecursionError):
        return answer.text[:_LONGEST_REFUSAL]


def _raise_error(body: dict[str, Any], streamed: bool) -> None:
    """An error inside a response that says 200. A stream has sent its status before its engine fails."""
    message, error = _shorten(_find_message(body)), body["error"]
    code = str(error.get("code")) if isinstance(error, dict) else ""
    if code == "429" or (streamed and code.isdecimal() and is_passing(int(code))):
        raise PassingFault(f"{code}: {message}", limited=code == "429")
    raise Refused(f"it answers with an error: {message}", 200)


def is_stream(answer: HttpResponse) -> bool:
    """Return whether a response is a stream of server-sent events; its body need not have come."""
    return answer.status == 200 and "text/event-stream" in answer.headers.get("content-type", "")


def _find_message(body: Any) -> str:
    """`error.message` (OpenAI, vLLM), `message` (older vLLM), `error` (TGI) or `detail` (FastAPI)."""
    if not isinstance(body, dict):
        return str(body)
    error = body.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or error)
    return str(error or body.get("message") or body.get("detail") or body)


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " ..."


def _is_web_page(answer: HttpResponse) -> bool:
    return "text/html" in answer.headers.get("content-type", "") or answer.text.lstrip()[:1] == "<"
