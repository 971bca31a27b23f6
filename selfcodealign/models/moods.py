"""Is a response that is no completion the server's mood, or the fault of its request? The other requests tell.

A server in a bad mood fails requests at random: each try fails with the share of other requests whose first response
was bad lately, and a few bad tries in a row happen by chance in a run of many requests. A request is given up when
so many in a row happen by chance to less than one request in `1 / RARE`: after `TRIES` where no other request has
failed, after 15 where a quarter of them has.
"""

from __future__ import annotations

import math
from collections import deque

#: How often a request is asked, at least, whose responses are no completions.
TRIES = 4
#: The chance of a row to be dropped although its request is as good as any.
RARE = 1e-9
_FEWEST, _MOST = 20, 200


class Moods:
    """The first responses to the last requests of a model, of which `concurrency` are under way at once.

    Only first ones count: a request that fails again and again says nothing about the server.
    """

    def __init__(self, concurrency: int) -> None:
        # Few, where few are under way: a mood that has just begun has to show.
        self._bad: deque[bool] = deque(maxlen=min(_MOST, max(_FEWEST, 4 * concurrency)))

    def note(self, *, bad: bool) -> None:
        """The first response to a request has come."""
        self._bad.append(bad)

    @property
    def share(self) -> float:
        """The share of other requests that met a bad response first; the request that asks has met one itself."""
        return max(0, sum(self._bad) - 1) / max(1, len(self._bad) - 1)

    def tries(self, *, refused: bool = False) -> float:
        """Bad responses to one request that are its own fault.

        While few requests are known, there may be more bad ones than were seen; a refusal is plain enough by itself.
        """
        share = self.share if refused else min(1.0, max(1, sum(self._bad)) / max(1, len(self._bad)))
        if share >= 1.0:
            return TRIES if len(self._bad) <= 1 else math.inf
        return max(TRIES, math.ceil(math.log(RARE) / math.log(share))) if share else TRIES
