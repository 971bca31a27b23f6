"""What a request costs the client: our model beside plain loops of HTTP libraries, at a fast server.

    .venv/bin/python -m bench.client [--requests 2000] [--tokens 300] [--at-once 64 256 1024] [--memory 100000]

The server is another process that answers at once, so that the client is the bottleneck. Prompts have 3 kB, answers
1.2 kB. Rates are requests per second of the client's processor time, because other programs may share the machine.
"waiting": 64 connections and 1,024 requests at a time, most of which wait for a connection. Streams have 16 tokens in a
chunk. httpx2 takes part where it is installed.

`--memory N` sends N requests through the model instead and prints its memory on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import resource
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.streams import fast_server
from selfcodealign.models import Sampling, receiving
from selfcodealign.models.server import ServerModel
from selfcodealign.settings import ModelSettings

#: Sends one request.
Ask = Callable[[], Awaitable[object]]
#: Asks as often as it is told to, so many requests at a time, over so many connections.
Loop = Callable[[str, int, int, int, bool], Coroutine[Any, Any, float]]

PROMPT = "def add(a, b):\n    return a + b\n" * 94
WAITING = (64, 1024)


async def repeat(ask: Ask, requests: int, at_once: int) -> float:
    """Processor time of the requests, after a few to open connections."""

    async def work(turns: Iterator[int]) -> None:
        for _ in turns:
            await ask()

    async def run(count: int) -> None:
        turns = iter(range(count))
        await asyncio.gather(*(work(turns) for _ in range(at_once)))

    await run(min(at_once, requests))
    begun = time.process_time()
    await run(requests)
    return time.process_time() - begun


def make_body(seed: int, streamed: bool) -> dict[str, Any]:
    body = {"model": "demo", "prompt": PROMPT, "max_tokens": 300, "temperature": 0.7, "top_p": 1.0, "seed": seed}
    return body | ({"stream": True} if streamed else {})


async def ask_with_model(url: str, requests: int, at_once: int, connections: int, streamed: bool) -> float:
    """Our client, with all that it does besides."""
    receiving.MOST_CHUNKS = float("inf") if streamed else -1.0
    seeds = itertools.count(0, 2)  # no two consecutive ones: each call is a request
    async with ServerModel(ModelSettings(name="demo", urls=[url], concurrency=connections)) as model:
        return await repeat(
            lambda: model.complete(PROMPT, Sampling(max_tokens=300), seed=next(seeds)), requests, at_once
        )


def ask_with_httpx(name: str) -> Loop:
    """A plain loop of httpx or its successor."""

    async def loop(url: str, requests: int, at_once: int, connections: int, streamed: bool) -> float:
        httpx = import_module(name)
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        async with httpx.AsyncClient(limits=limits, timeout=None) as client:

            async def ask() -> None:
                body = make_body(1, streamed)
                if not streamed:
                    (await client.post(f"{url}/v1/completions", json=body)).json()["choices"][0]["text"]
                    return
                async with client.stream("POST", f"{url}/v1/completions", json=body) as response:
                    async for line in response.aiter_lines():
                        read_line(line)

            return await repeat(ask, requests, at_once)

    return loop


async def ask_with_aiohttp(url: str, requests: int, at_once: int, connections: int, streamed: bool) -> float:
    """A plain loop of aiohttp."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:

        async def ask() -> None:
            async with session.post(f"{url}/v1/completions", json=make_body(1, streamed)) as response:
                if not streamed:
                    (await response.json())["choices"][0]["text"]
                    return
                async for line in response.content:
                    read_line(line.decode())

        return await repeat(ask, requests, at_once)


def read_line(line: str) -> None:
    if line.startswith("data: {"):
        json.loads(line[6:])["choices"]


def measure(port: int, requests: int, at_once: list[int]) -> None:
    """Print requests per second of processor time."""
    url = f"http://127.0.0.1:{port}"
    loops: dict[str, Loop] = {"selfcodealign": ask_with_model, "aiohttp": ask_with_aiohttp}
    loops |= {name: ask_with_httpx(name) for name in ("httpx", "httpx2") if find_spec(name)}
    cases = [(str(one), one, one) for one in at_once] + [("waiting", WAITING[1], WAITING[0])]
    print(f"{'requests/cpu-s':24}" + "".join(f"{name:>15}" for name in loops))
    for streamed, (name, tasks, connections) in itertools.product((False, True), cases):
        print(f"{'streamed' if streamed else 'whole':10}{name:14}", end="", flush=True)
        for loop in loops.values():
            rate = requests / asyncio.run(loop(url, requests, tasks, connections, streamed))
            print(f"{rate:15.0f}", end="", flush=True)
        print()


async def watch_memory(port: int, requests: int) -> None:
    """Print the memory of this process while requests go through the model."""
    receiving.MOST_CHUNKS = -1.0
    settings = ModelSettings(name="demo", urls=[f"http://127.0.0.1:{port}"], concurrency=256)
    seeds = itertools.count(0, 2)
    async with ServerModel(settings) as model:
        for part in range(10):
            ask = lambda: model.complete(f"{next(seeds)}{PROMPT}", Sampling(max_tokens=300), seed=next(seeds))  # noqa: E731
            await repeat(ask, requests // 10, 256)
            now = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
            print(f"{(part + 1) * requests // 10:10} requests {now / 2**20:8.1f} MiB", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--at-once", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--memory", type=int, help="requests to send while memory is watched")
    options = parser.parse_args()
    with fast_server(options.tokens, 16) as port:
        if options.memory:
            asyncio.run(watch_memory(port, options.memory))
        else:
            measure(port, options.requests, options.at_once)


if __name__ == "__main__":
    main()
