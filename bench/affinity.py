"""How many prompt blocks come from prefix caches, by the way in which requests are spread over servers.

    python -m bench.affinity                              # 4 servers, 64 draws, 2,000 rows, a cache of 20 draws each
    python -m bench.affinity --servers 8 --cached-draws 40

Each row has one of `--draws` worked examples' texts before its own text, as in a run. Each server remembers the blocks
of some draws, forgets those used longest ago, and needs time for each block that it does not have. Requests come from
`--concurrency` tasks; in the lines "full" each server takes a quarter fewer than its share of them, so that requests
always wait for room. Shown: cached share of all blocks, most and fewest requests of a server beside the mean, seconds
beside those of round robin. Round robin and least loaded replace the choice of a server by `model.urls`' code only.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections import OrderedDict

from selfcodealign.models.affinity import BLOCK, split
from selfcodealign.models.balancing import Endpoints
from selfcodealign.models.endpoints import Endpoint


class Cache:
    """A server: blocks of prompts, and the time that a request takes there."""

    def __init__(self, blocks: int) -> None:
        self._blocks: OrderedDict[int, None] = OrderedDict()
        self._most = blocks
        self.read = self.cached = self.served = 0

    def seconds(self, prompt: str, rng: random.Random) -> float:
        blocks = split(prompt)
        known = next((place for place, one in enumerate(blocks) if one not in self._blocks), len(blocks))
        self.cached, self.read, self.served = self.cached + known, self.read + len(blocks), self.served + 1
        for one in reversed(blocks):
            self._blocks[one] = None
            self._blocks.move_to_end(one)
        while len(self._blocks) > self._most:
            self._blocks.popitem(last=False)
        return 0.04 * rng.lognormvariate(-0.125, 0.5) + 0.002 * (len(blocks) - known)


class RoundRobin(Endpoints):
    """The next server that has room."""

    _next = 0

    def choose(self, avoid: Endpoint | None = None, blocks: object = ()) -> Endpoint | None:
        for _ in self:
            self._next = (self._next + 1) % len(self)
            if self[self._next].room:
                return self[self._next]
        return None

    def _home(self, blocks: object) -> None:
        return None


class LeastLoaded(Endpoints):
    """The server with the fewest requests, whatever the prompt."""

    def _home(self, blocks: object) -> None:
        return None


async def run(kind: type[Endpoints], options: argparse.Namespace, *, full: bool) -> tuple[float, list[Cache]]:
    """All rows through one way of spreading them; returns seconds and the servers."""
    rng = random.Random(7)
    letters = "abcdefgh ijklm\n"
    draws = ["".join(rng.choices(letters, k=options.length)) for _ in range(options.draws)]
    rows = iter([rng.choice(draws) + "".join(rng.choices(letters, k=900)) for _ in range(options.rows)])
    servers = kind([f"http://h{number}/v1" for number in range(options.servers)], options.concurrency)
    share = options.concurrency / options.servers
    for one in servers:
        one.window.limit = share * 0.75 if full else options.concurrency
    blocks = options.length // BLOCK
    caches = {one: Cache(options.cached_draws * blocks) for one in servers}

    async def work() -> None:
        for prompt in rows:
            server = await servers.take(prompt, None, lambda until: None)
            await asyncio.sleep(caches[server].seconds(prompt, rng))
            servers.release(server)

    begun = time.monotonic()
    await asyncio.gather(*(work() for _ in range(options.concurrency)))
    return time.monotonic() - begun, list(caches.values())


def measure_cpu(options: argparse.Namespace) -> float:
    """Microseconds of processor time for one request of 12,000 characters, on two servers with room."""
    servers = Endpoints(["http://a/v1", "http://b/v1"], 64)
    rng = random.Random(1)
    draws = ["".join(rng.choices("abcdefgh\n", k=11_000)) for _ in range(options.draws)]
    prompts = [rng.choice(draws) + "".join(rng.choices("abcdefgh\n", k=1000)) for _ in range(2000)]

    async def go() -> float:
        begun = time.process_time()
        for prompt in prompts:
            servers.release(await servers.take(prompt, None, lambda until: None))
        return (time.process_time() - begun) / len(prompts)

    return asyncio.run(go()) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--cached-draws", type=int, default=20, help="draws that fit into a server's cache")
    parser.add_argument("--length", type=int, default=8000, help="characters of a draw")
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args()
    ways = {"round robin": RoundRobin, "least loaded": LeastLoaded, "prefix affinity": Endpoints}
    base = 1.0
    for full, (name, kind) in itertools.product((False, True), ways.items()):
        seconds, caches = asyncio.run(run(kind, options, full=full))
        base = seconds if name == "round robin" else base
        cached = sum(one.cached for one in caches) / sum(one.read for one in caches)
        mean = sum(one.served for one in caches) / len(caches)
        most, least = max(one.served for one in caches) / mean, min(one.served for one in caches) / mean
        label = f"{name}{', full' * full}"
        print(f"{label:24} cached {cached:6.1%}   requests {least:.2f} to {most:.2f}   time {seconds / base:.2f}")
    print(f"choice of a server: {measure_cpu(options):.0f} us of processor time for a prompt of 12,000 characters")


if __name__ == "__main__":
    main()
