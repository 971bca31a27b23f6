"""How many programs a service takes: so many run, so many wait, and no request is taken in part."""

from __future__ import annotations


class NoPlace(Exception):
    """There is no room for a request now; all of it can be sent again."""


class NeverFits(Exception):
    """A request has more programs than there are places."""


class Draining(NoPlace):
    """Nothing new is taken any more."""


class Places:
    """Places for programs."""

    def __init__(self, workers: int, queue: int) -> None:
        self.workers = workers
        self.queue = queue
        self.taken = 0
        self.draining = False

    @property
    def running(self) -> int:
        """Programs that run; the sandbox takes them in order as soon as a worker is free."""
        return min(self.taken, self.workers)

    @property
    def waiting(self) -> int:
        """Programs that wait for a worker: never more than `queue`."""
        return self.taken - self.running

    def check(self, programs: int) -> None:
        """Raise `NeverFits` for more programs than there are places."""
        if programs > self.workers + self.queue:
            raise NeverFits(f"{programs} programs in a request; {self.workers + self.queue} is the most that fits here")

    def take(self, programs: int) -> None:
        """Take a place for each program, or raise `NoPlace` or `NeverFits` and take none."""
        if self.draining:
            raise Draining("the service is stopping")
        self.check(programs)
        if self.taken + programs > self.workers + self.queue:
            raise NoPlace(f"{self.waiting} programs wait, and {programs} more do not fit; send the request again")
        self.taken += programs

    def free(self) -> None:
        """Give one place back."""
        self.taken -= 1
