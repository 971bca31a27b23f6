"""Draw the numbered samples of an instruction in waves, and keep what drawing one after the other would keep.

Sampling stops with the sample that brings the wanted number of passes, in the order of the numbers. A sample may begin
before the verdicts of lower numbers are in; if those stop the sampling, it is broken off and forgotten. So waves decide
how long an instruction takes and how many samples are drawn for nothing, and never what is kept.

    numbers      0        1        2        3        4             one pass is wanted
    verdicts     failed   …        passed   …        not begun     3 is broken off, 4 never begins, 1 is waited for
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

from selfcodealign.generation.odds import Odds

#: The chance that a sample is not needed, up to which it begins: while other work waits for the model, and while the
#: model has room. Chosen by simulation (`python -m bench.waves`).
BUSY, ROOM = 0.03, 0.6

T = TypeVar("T")


class Draws:
    """The samples of one instruction: which has begun, which verdicts are in, which are needed.

    At most `samples` are drawn, until `wanted` have passed, or until the chance that any other passes is below
    `give_up`.
    """

    def __init__(self, odds: Odds, samples: int, wanted: int, give_up: float = 0.0) -> None:
        self._odds, self._wanted, self._give_up = odds, wanted, give_up
        self._passes: list[int] = []
        self._failures = 0
        #: The last number that may be needed, by what is known.
        self.last = samples - 1
        #: Numbers that have begun, without a verdict.
        self.undecided: set[int] = set()
        #: The number of the next sample.
        self.next = 0

    @property
    def hopeless(self) -> bool:
        """Whether none of the samples that have not begun is worth drawing."""
        left = self.last + 1 - self.next
        return 1 - self._fewer(1, left) < self._give_up if left > 0 and self._give_up else False

    @property
    def finished(self) -> bool:
        """Whether all verdicts are in that are needed."""
        return min(self.undecided, default=self.next) > self.last or (not self.undecided and self.hopeless)

    @property
    def given_up(self) -> bool:
        return self.finished and self.next <= self.last

    @property
    def kept(self) -> range:
        """The numbers that are kept; all of them once `finished`."""
        return range(min(self.last + 1, self.next))

    def may_begin(self, waste: float) -> bool:
        """Whether the next sample may begin: the chance that it is not needed is at most `waste`."""
        if self.next > self.last or self.hopeless:
            return False
        return 1 - self._fewer(self._wanted - len(self._passes), len(self.undecided)) <= waste

    def begin(self) -> int:
        """Begin the next sample."""
        number, self.next = self.next, self.next + 1
        self.undecided.add(number)
        return number

    def decide(self, number: int, passed: bool, *, final: bool = False) -> None:
        """A verdict is in; `final`: no later number is wanted, whatever the verdict."""
        self.undecided.discard(number)
        self._odds.note(len(self._passes), self._failures, passed)
        if passed:
            self._passes = sorted((*self._passes, number))
        else:
            self._failures += 1
        if final:
            self.last = min(self.last, number)
        if len(self._passes) >= self._wanted:
            self.last = min(self.last, self._passes[self._wanted - 1])

    def unneeded(self) -> list[int]:
        """Numbers that have begun, without a verdict, and are not needed any more."""
        return [number for number in self.undecided if number > self.last]

    def _fewer(self, wanted: int, draws: int) -> float:
        return self._odds.chance_of_fewer(wanted, draws, len(self._passes), self._failures)


@dataclass(frozen=True)
class Drawn(Generic[T]):
    """What was made of the samples that are kept, in the order of their numbers; how many others were begun; whether
    the instruction was given up."""

    kept: list[T]
    unneeded: int
    given_up: bool


class Waves(Generic[T]):
    """Draws the samples of many instructions, which share what they teach about the chance to pass.

    `room` tells how many more requests the model could take now. `waves` has the samples that began in each wave of
    an instruction (1: the first), and how many of them passed.
    """

    def __init__(
        self,
        samples: int,
        wanted: int,
        *,
        give_up: float = 0.0,
        room: Callable[[], int] = lambda: 0,
        waves: dict[int, tuple[int, int]] | None = None,
        shares: tuple[float, float] = (BUSY, ROOM),
    ) -> None:
        self.waves: dict[int, tuple[int, int]] = {} if waves is None else waves
        self._limits = samples, wanted, give_up
        self._room = room
        self._busy_share, self._room_share = shares
        self._odds = Odds()
        #: Instructions that would begin another sample if the model had room, the oldest first.
        self._hungry: dict[_Drawing[T], None] = {}
        #: Samples that the model has not been asked for yet.
        self._starting: set[asyncio.Task[T]] = set()

    async def draw(
        self, sample: Callable[[int], Awaitable[T]], passed: Callable[[T], bool], final: Callable[[T], bool]
    ) -> Drawn[T]:
        """Draw the samples of an instruction. `sample` makes one of a number and may be cancelled; `final` tells that
        none after this one is wanted. What `sample` raises is raised."""
        draws = Draws(self._odds, *self._limits)
        drawing = _Drawing(draws, sample)
        found: dict[int, T] = {}
        try:
            while not draws.finished:
                self._begin(drawing, self._busy_share)
                number, one = await drawing.receive()
                found[number] = one
                draws.decide(number, passed(one), final=final(one))
                self._count(drawing.waves[number], 0, int(passed(one)))
                drawing.break_off_unneeded()
                self._fill_room()
            kept = [found[number] for number in draws.kept]
            return Drawn(kept, draws.next - len(kept), draws.given_up)
        finally:
            self._hungry.pop(drawing, None)
            await drawing.close()

    def _begin(self, drawing: _Drawing[T], share: float, most: int | None = None) -> int:
        """Begin the next wave of an instruction, of at most `most` samples; returns how many began."""
        draws, begun = drawing.draws, 0
        while (most is None or begun < most) and draws.may_begin(share):
            task = drawing.begin(self._starting)
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
            begun += 1
        if begun:
            drawing.wave += 1
            self._count(drawing.wave, begun, 0)
        self._hungry.pop(drawing, None)
        if draws.may_begin(self._room_share):
            self._hungry[drawing] = None
        return begun

    def _fill_room(self) -> None:
        """Begin samples that are less likely to be needed, if the model has nothing better to do."""
        room = self._room() - len(self._starting) if self._hungry else 0
        for drawing in list(self._hungry) if room > 0 else ():
            room -= self._begin(drawing, self._room_share, room)
            if room <= 0:
                break

    def _count(self, wave: int, begun: int, passed: int) -> None:
        before = self.waves.get(wave, (0, 0))
        self.waves[wave] = before[0] + begun, before[1] + passed


class _Drawing(Generic[T]):
    """The tasks of one instruction."""

    def __init__(self, draws: Draws, sample: Callable[[int], Awaitable[T]]) -> None:
        self.draws, self._sample = draws, sample
        #: The wave that begins next, and that of each number.
        self.wave = 0
        self.waves: dict[int, int] = {}
        self._tasks: dict[int, asyncio.Task[T]] = {}
        self._ended: asyncio.Queue[int] = asyncio.Queue()
        #: That of the instruction: a sample may be begun by the task of another one, and belongs to this one.
        self._context = copy_context()

    def begin(self, starting: set[asyncio.Task[T]]) -> asyncio.Task[T]:
        """Begin the next sample; its task leaves `starting` once it runs."""
        number = self.draws.begin()
        self.waves[number] = self.wave + 1

        async def run() -> T:
            starting.discard(task)
            return await self._sample(number)

        self._tasks[number] = task = asyncio.create_task(run(), context=self._context.copy())
        task.add_done_callback(lambda _: self._ended.put_nowait(number))
        return task

    async def receive(self) -> tuple[int, T]:
        """The next sample that is there."""
        while True:
            number = await self._ended.get()
            if number in self.draws.undecided:
                return number, self._tasks[number].result()

    def break_off_unneeded(self) -> None:
        """Cancel what is not needed any more."""
        for number in self.draws.unneeded():
            self.draws.undecided.discard(number)
            self._tasks[number].cancel()

    async def close(self) -> None:
        """Cancel what is under way, and wait until it has ended."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
