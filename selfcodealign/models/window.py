"""How many requests a server gets at once: additive increase, multiplicative decrease.

A server begins with few requests and gets more while it takes them up. What lowers the number:

    a refusal for the rate (429)                 x 0.7, once for the requests that were under way
    a fifth of a round's requests failing        x 0.7, once for that round
    a queue at the server                        what it works on and a short queue, once the excess has drained
    silence, or two faults in a row              few again

A round is as many outcomes as requests were under way when it began. A short queue keeps an engine fed; a long one only
makes requests old.
"""

from __future__ import annotations

import time

#: Requests that a server gets at first, and after it has been silent; more while it takes them up.
FEW = 8
#: How far the number of requests at once falls, and how fast it grows again. At one random refusal in a hundred, about
#: a fifth of 256 requests remain at once; half and one more would leave a twentieth.
SLOWER, FASTER = 0.7, 32
#: Share of failed requests in a round above which the server has too much to do. Below, it is the requests or the net.
FAILED_SHARE = 0.2
#: The fewest outcomes that tell a share.
ROUND = 16
#: A short queue: this many requests, or this share of those that the server works on.
QUEUE, QUEUE_SHARE = 2, 1 / 8
#: How far the number grows between two looks at a queue.
STEP = 1.25


class Window:
    """The number of requests that one server may have at once: `limit`, never above `most`.

    While `growing` (at first, and after silence) it is twice as many as the server answers at once, and one more with
    every answer; later a `FASTER`th of `most` more for each round of answers.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(min(most, FEW))
        self.growing = True
        self._ceiling = float("inf")
        self._slowed_at = float("-inf")
        self._ended = self._failed = 0

    def begin_again(self) -> None:
        """Few requests: the server has been silent or is starting, and would get all that wait at once."""
        self.limit, self.growing = min(self.limit, float(FEW)), True
        self._ceiling = float("inf")
        self._ended = self._failed = 0

    def note_begun(self, writing: int) -> None:
        """The server writes so many answers: as many may wait."""
        if self.growing and self.limit < 2.0 * writing:
            self._grow(2.0 * writing - self.limit)

    def note_answer(self, *, queued: bool) -> None:
        """A request was answered; `queued` tells that others are known to wait at the server."""
        self._end_one(failed=False)
        if not self.growing:
            self._grow(max(1.0, self.most / FASTER) / self.limit)
        elif not queued:
            self._grow(1.0)

    def note_fault(self) -> None:
        """A request failed in passing: a 5xx, a dropped connection, a time-out."""
        self._end_one(failed=True)

    def note_refusal(self, sent_at: float, under_way: int) -> None:
        """The server refused a request for its rate."""
        self.growing = False
        # Requests that were under way when the limit was lowered say nothing about the lower one.
        if sent_at >= self._slowed_at:
            self.limit = max(1.0, min(self.limit, under_way) * SLOWER)
            self._slowed_at = time.monotonic()

    def note_queue(self, running: float, waiting: float, under_way: int) -> None:
        """The server says how many requests it works on and how many wait, those of other clients included."""
        short = max(QUEUE, running * QUEUE_SHARE)
        if waiting <= short:
            # In the upper half of what is short, the number stays.
            room = waiting <= short / 2
            self._ceiling = self.limit if not room else float("inf") if self.growing else self._step()
            return
        self._ceiling = self.limit
        if under_way > self.limit:
            return  # what was too much has not drained
        self.growing = False
        # A queue that is ours alone is taken back at once; one of several clients, by all of them in steps.
        least = 1.0 if running + waiting <= under_way * 1.1 + QUEUE else self.limit * SLOWER
        self.limit = self._ceiling = max(1.0, least, min(self.limit, under_way - (waiting - short)))

    def forget_queue(self) -> None:
        """The server does not say any more how long its queue is."""
        self._ceiling = float("inf")

    def _step(self) -> float:
        return max(self.limit + QUEUE, self.limit * STEP)

    def _grow(self, by: float) -> None:
        self.limit = max(self.limit, min(self.limit + by, float(self.most), self._ceiling))

    def _end_one(self, *, failed: bool) -> None:
        self._ended += 1
        self._failed += failed
        if self._ended < max(ROUND, self.limit):
            return
        if self._failed > FAILED_SHARE * self._ended:
            self.limit, self.growing = max(1.0, self.limit * SLOWER), False
        self._ended = self._failed = 0
