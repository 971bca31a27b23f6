"""Compare schedules for the samples of an instruction: one after the other, waves, all at once.

    python -m bench.waves                              # 2,000 instructions, 64 requests at once
    python -m bench.waves --instructions 400 --samples 20
    python -m bench.waves --shares                     # waves that begin samples sooner and later

The code that draws waves runs in virtual time, with a model and a sandbox that only take time. Instructions pass with a
chance drawn from Beta(0.5, 1); an answer takes as long as its tokens, which have a long tail up to the limit; a program
takes a third of a second, or ten seconds in one of fifty cases. Each schedule has the same answers.

    tokens    written in all, those of answers that were broken off included, relative to one after the other
    for nothing   the share of them that belongs to samples that are not needed
    hours     from the first request to the last verdict
    busy      requests under way, mean share of what the model takes: of the whole time, and of the time until 95 % of
              the instructions are finished
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from selfcodealign.generation.waves import BUSY, ROOM, Waves
from tests.support.virtual_time import run_in_virtual_time

#: Seconds that a token takes, tokens of an answer: median, spread of the logarithm, most.
TOKEN_SECONDS, MEDIAN_TOKENS, SPREAD, MOST_TOKENS = 0.02, 300, 0.6, 1536
CORES = 16


@dataclass(frozen=True)
class Answer:
    """What a sample will be."""

    tokens: int
    program_seconds: float
    passes: bool


def imagine(instruction: int, samples: int) -> list[Answer]:
    """The answers to an instruction, the same for every schedule."""
    rng = random.Random(instruction)
    chance = rng.betavariate(0.5, 1.0)
    return [
        Answer(
            tokens=min(MOST_TOKENS, int(MEDIAN_TOKENS * rng.lognormvariate(0.0, SPREAD))),
            program_seconds=10.0 if rng.random() < 0.02 else rng.expovariate(3.0),
            passes=rng.random() < chance,
        )
        for _ in range(samples)
    ]


@dataclass
class World:
    """A model that takes `concurrency` requests and a sandbox with `CORES` workers; counts what they do."""

    concurrency: int
    asked: int = 0
    tokens: float = 0.0
    used: float = 0.0
    at_once: int = 0
    changed: float = 0.0
    seconds: float = 0.0
    #: When requests had taken so many seconds in all: (time, seconds).
    history: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._model, self._sandbox = asyncio.Semaphore(self.concurrency), asyncio.Semaphore(CORES)

    @property
    def spare(self) -> int:
        return self.concurrency - self.asked

    async def sample(self, answer: Answer) -> Answer:
        self.asked += 1
        try:
            async with self._model:
                begun = self._change(+1)
                try:
                    await asyncio.sleep(answer.tokens * TOKEN_SECONDS)
                finally:
                    self.tokens += (self._change(-1) - begun) / TOKEN_SECONDS
        finally:
            self.asked -= 1
        async with self._sandbox:
            await asyncio.sleep(answer.program_seconds)
        return answer

    def _change(self, step: int) -> float:
        now = asyncio.get_running_loop().time()
        self.used += (now - self.changed) * self.at_once
        self.at_once += step
        self.changed = now
        return now


@dataclass
class Result:
    tokens: float
    needed: int
    seconds: float
    used: float
    most_until: float
    used_until: float
    verified: int


def simulate(schedule: str, instructions: int, samples: int, concurrency: int, shares: tuple[float, float]) -> Result:
    """Run one schedule to the end."""
    answers = [imagine(number, samples) for number in range(instructions)]
    kept: list[list[Answer]] = []
    until: list[tuple[float, float]] = []

    async def run() -> World:
        world = World(concurrency)
        if schedule == "all at once":
            waves: Waves[Answer] = Waves(samples, samples + 1, shares=(1.0, 1.0))
        elif schedule == "one after the other":
            waves = Waves(samples, 1, shares=(0.0, 0.0))
        else:
            waves = Waves(samples, 1, room=lambda: world.spare, shares=shares)
        waiting: Iterator[list[Answer]] = iter(answers)

        async def work() -> None:
            for own in waiting:
                drawn = await waves.draw(
                    lambda number, own=own: world.sample(own[number]), lambda one: one.passes, lambda one: False
                )
                kept.append(drawn.kept)
                if len(kept) == int(0.95 * len(answers)):
                    now = world._change(0)
                    until.append((now, world.used))

        at_once = 2 * concurrency + 2 * CORES
        workers = -(-at_once // samples) if schedule == "all at once" else at_once
        await asyncio.gather(*(work() for _ in range(workers)))
        world.seconds = asyncio.get_running_loop().time()
        return world

    world, seconds = run_in_virtual_time(run())
    ((time, used),) = until
    needed = sum(one.tokens for own in kept for one in own)
    return Result(
        world.tokens,
        needed,
        seconds,
        world.used / concurrency,
        time,
        used / concurrency,
        sum(any(one.passes for one in own) for own in kept),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--shares", action="store_true", help="compare waves that begin samples sooner and later")
    options = parser.parse_args()
    size = options.instructions, options.samples, options.concurrency
    rows = [("one after the other", (0.0, 0.0)), ("waves", (BUSY, ROOM)), ("all at once", (0.0, 0.0))]
    if options.shares:
        rows[1:2] = [
            ("waves", (busy, room)) for busy in (0.0, 0.02, 0.05, 0.1, 0.2) for room in (0.3, 0.6, 0.8, 0.9, 1.0)
        ]
    base = 0.0
    print(f"{'':32} tokens  for nothing  hours   busy  until 95 %")
    for name, shares in rows:
        one = simulate(name, *size, shares)
        base = base or one.tokens
        label = f"{name} {shares}" if options.shares else name
        busy = f"{one.used / one.seconds:6.1%}  {one.used_until / one.most_until:9.1%}"
        waste = f"{1 - one.needed / one.tokens:11.1%}"
        print(f"{label:32} {one.tokens / base:6.3f}  {waste}  {one.seconds / 3600:5.3f} {busy}")


if __name__ == "__main__":
    main()
