"""What can become of a request to a server besides a completion. Messages do not name the server: the caller does."""

from __future__ import annotations

from selfcodealign.errors import ModelError
from selfcodealign.models import Unanswered


class PassingFault(Exception):
    """A transient fault: the server may answer later.

    `pause` is the server's Retry-After in seconds; `limited` is true if the server only limits the rate.
    """

    def __init__(self, message: str, pause: float | None = None, *, limited: bool = False) -> None:
        super().__init__(message)
        self.pause = pause
        self.limited = limited


class ConnectionFault(PassingFault):
    """There is no connection, or it broke: no word of the server says why."""


class RequestFault(ModelError):
    """A response that is no completion. It costs a row if the server answers other requests, else it ends the run.

    `reason` is the reason of the row's drop; `broken_off` tells that the server was about to answer.
    """

    reason = "bad_answer"

    def __init__(self, message: str, *, broken_off: bool = False) -> None:
        super().__init__(message)
        self.broken_off = broken_off


class Refused(RequestFault):
    """The server refuses the request itself; `status` is the HTTP status, `told` the message in its own words."""

    reason = "model_refused"

    def __init__(self, message: str, status: int, told: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.told = told


class Declined(Unanswered):
    """The model, or a filter behind it, does not want to answer this prompt: an answer that is no text, and no fault of
    the server."""

    reason = "model_refused"


class ContextExceeded(Exception):
    """Prompt and `max_tokens` together exceed the context; `room` is the largest `max_tokens` that fits."""

    def __init__(self, message: str, room: int) -> None:
        super().__init__(message)
        self.room = room
