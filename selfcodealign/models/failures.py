"""How many of the last requests failed, and when that is too many to go on."""

from __future__ import annotations

from collections import deque

from selfcodealign.errors import ModelError

#: Finished requests that are looked back on.
WINDOW = 200
_SHOWN = 3


class Failures:
    """The last `WINDOW` finished requests of a run.

    More than `share` of `WINDOW` failed ones are too many, at the beginning of a run, too.
    """

    def __init__(self, share: float) -> None:
        self._most = share * WINDOW
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._messages: deque[str] = deque(maxlen=WINDOW)

    def note_answer(self) -> None:
        """A request was answered."""
        self._last.append(False)

    def note_failure(self, message: str) -> None:
        """A request failed for good. Raises `ModelError` if too many did."""
        self._last.append(True)
        self._messages.append(message)
        failed = sum(self._last)
        # With a share of 1 nothing is too much.
        if failed <= self._most or self._most >= WINDOW:
            return
        distinct = list(dict.fromkeys(reversed(self._messages)))[:_SHOWN]
        raise ModelError(
            f"{failed} of the last {len(self._last)} requests failed, each after several tries (the server's last "
            f"words: {'; '.join(distinct)}); finished rows are kept: look at the server's log, mend it and repeat "
            "the command, or let more requests fail with model.failed_share"
        )
