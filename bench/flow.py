"""Measure how busy the model is: the share of time with fewer requests in flight than the model allows.

    python -m bench.flow                       # 240 seeds, 16 requests at once
    python -m bench.flow --seeds 400 --concurrency 32

A scripted model has long-tailed latencies like a real one (most are short, one in fifty is ten times the mean); the
whole journey runs with real programs in the real sandbox. Measured from the first request to the last: the share of the
time with fewer requests in flight than `concurrency`, the mean share of `concurrency` in use, and the lower bound on
the time: the sum of all latencies / concurrency.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

from selfcodealign import Completion, Sampling, ScriptedModel, run_recipe
from tests.support.journey import answer, small_recipe, write_sources

#: Mean latency in seconds, by the section that the prompt asks for.
MEAN_SECONDS = {"<concepts>\n": 0.04, "<instruction>\n": 0.06, "<response>\n": 0.16}


class LongTailed(ScriptedModel):
    """Draws latencies from the requests' seeds, and integrates the number of requests in flight."""

    def __init__(self, concurrency: int) -> None:
        super().__init__(answer, concurrency=concurrency)
        self.at_once = 0
        self.first = self.changed = 0.0
        self.below = self.used = self.needed = self.last = 0.0

    async def complete(self, prompt: str, sampling: Sampling, *, seed: int) -> Completion:
        mean = next(seconds for tag, seconds in MEAN_SECONDS.items() if prompt.endswith(tag))
        rng = random.Random(seed)
        seconds = mean * 10 if rng.random() < 0.02 else mean * 0.82 * rng.lognormvariate(-0.125, 0.5)
        self._count(+1)
        try:
            self.needed += seconds
            await asyncio.sleep(seconds)
            return await super().complete(prompt, sampling, seed=seed)
        finally:
            self._count(-1)

    def _count(self, step: int) -> None:
        now = time.monotonic()
        if not self.first:
            self.first = self.changed = now
        span, self.changed = now - self.changed, now
        self.below += span if self.at_once < self.concurrency else 0.0
        self.used += span * min(1.0, self.at_once / self.concurrency)
        self.at_once += step
        self.last = now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=240)
    parser.add_argument("--concurrency", type=int, default=16)
    options = parser.parse_args()
    model = LongTailed(options.concurrency)
    with tempfile.TemporaryDirectory() as name:
        sources = write_sources(Path(name) / "source", options.seeds)
        recipe = small_recipe(sources, "execution.workers=2")
        asyncio.run(run_recipe(recipe, Path(name) / "run", model=model))
    span = model.last - model.first
    print(f"requests                           {model.calls}, {options.concurrency} at once")
    print(f"first request to last              {span:.1f} s ({model.needed / options.concurrency:.1f} s is the least)")
    print(f"fewer in flight than allowed       {model.below / span:.1%} of that time")
    print(f"requests in use, mean              {model.used / span:.1%}")


if __name__ == "__main__":
    main()
