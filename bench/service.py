"""Measure the service: `python bench/service.py speed` or `crowd`.

speed   the same programs by one client process through the service and in-process, in turns; the ratio counts
crowd   200 clients at once, 5 % of them breaking off at a random moment: no verdict is lost or another's, and the queue
        and the memory of the service stay bounded
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx

from selfcodealign import Program, RemoteSandbox, Sandbox
from selfcodealign.sandbox import Verdict

ROUNDS = 5
RESPONSE = """from collections import Counter

def describe_{n}(values):
    counts = Counter(values)
    return counts.most_common(1)[0][0], {n}

print("program {n}")
"""
TESTS = "assert describe_{n}([4, 4, 9]) == (4, {n})\nassert describe_{n}([1])[1] == {n}\n"
SLEEPS = "import time\ntime.sleep(0.02)\n"


def make_program(number: int, *, before: str = "") -> Program:
    """A program whose output only it can have."""
    return Program(before + RESPONSE.format(n=number), TESTS.format(n=number))


def is_own(verdict: Verdict, number: int) -> bool:
    return verdict.passed and verdict.output == f"program {number}\n"


class Service:
    """The command, in its own process."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "selfcodealign", "serve-sandbox", "--port", "0", *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self.base, _, self.token = self.url.partition("/?token=")

    @property
    def peak_mib(self) -> float:
        """Peak resident memory of the service's own process."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", status)
        return int(found[1]) / 1024 if found else 0.0

    def close(self) -> int:
        self._process.terminate()
        return self._process.wait()


async def time_all(sandbox: Sandbox | RemoteSandbox, programs: list[Program]) -> float:
    """Return the programs per second with all at once."""
    started = time.perf_counter()
    verdicts = await asyncio.gather(*map(sandbox.run, programs))
    taken = time.perf_counter() - started
    assert all(is_own(verdict, number) for number, verdict in enumerate(verdicts)), Counter(v.status for v in verdicts)
    return len(programs) / taken


async def compare_speed(count: int) -> None:
    programs = [make_program(number) for number in range(count)]
    service = Service("--warm", "")
    ratios, rates = [], []
    try:
        async with Sandbox(warm=()) as here, RemoteSandbox(service.url) as there:
            for sandbox in (here, there):
                await time_all(sandbox, programs[:50])
            for turn in range(ROUNDS):
                order = (here, there) if turn % 2 else (there, here)
                found = {sandbox: await time_all(sandbox, programs) for sandbox in order}
                ratios.append(found[there] / found[here])
                rates.append(found[here])
                print(
                    f"in process {found[here]:6.1f}/s   service {found[there]:6.1f}/s   ratio {ratios[-1]:.3f}",
                    flush=True,
                )
    finally:
        service.close()
    print(f"{count} programs, {here.workers} workers, mode {here.mode}: median ratio {statistics.median(ratios):.3f}")


async def crowd(clients: int, requests: int, breaking: float) -> None:
    draw = random.Random(0)
    queue = clients * 2
    service = Service("--warm", "", "--queue", str(queue), "--workers", str(len(os.sched_getaffinity(0))))
    kinds: Counter[str] = Counter()
    most = Counter[str]()
    watching = asyncio.create_task(_watch(service, most))
    started = time.perf_counter()
    try:
        jobs = []
        for client in range(clients):
            breaks = client % round(1 / breaking) == 0
            jobs.append(_be_client(service, client, requests, draw.uniform(0, 15) if breaks else None, kinds))
        await asyncio.gather(*jobs)
        taken = time.perf_counter() - started
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {service.token}"}) as asker:
            await asyncio.sleep(1)
            left = _gauges((await asker.get(f"{service.base}/metrics")).text)
        peak = service.peak_mib
    finally:
        watching.cancel()
        code = service.close()
    print(
        f"{clients} clients, {int(clients * breaking)} breaking off, {requests} requests of 1-4 programs: {taken:.0f} s"
    )
    print(f"outcomes {dict(kinds)}; most waiting {most['queue_programs']:g} of {queue}; peak RSS {peak:.0f} MiB")
    waiting, running, breaks = (left[name] for name in ("queue_programs", "running_programs", "client_breaks_total"))
    print(f"left: {waiting:g} wait, {running:g} run; breaks noticed by the service {breaks:g}")
    print(f"exit code {code}")
    assert not kinds["another's"] + kinds["lost"], kinds
    assert most["queue_programs"] <= queue


async def _be_client(
    service: Service, client: int, requests: int, breaks_after: float | None, kinds: Counter[str]
) -> None:
    """Send requests one after the other with plain HTTP; or break off some seconds into a request that was taken."""
    draw = random.Random(client)
    headers = {"Authorization": f"Bearer {service.token}"}
    # Without certificates, which take 200 clients many seconds to load: all requests are on their way at once.
    async with httpx.AsyncClient(headers=headers, timeout=None, verify=False) as http:
        for request in range(requests):
            numbers = [client * 10_000 + request * 10 + place for place in range(draw.randint(1, 4))]
            body: dict[str, object] = {"programs": list(map(_as_row, numbers))}
            asked = asyncio.create_task(_ask_until_taken(http, service, body, draw, kinds))
            await asyncio.wait([asked], timeout=breaks_after)
            if breaks_after is not None and asked.cancel():
                kinds["broken off"] += 1
                await asyncio.wait([asked])
                return
            _check(numbers, asked.result(), kinds)


def _as_row(number: int) -> dict[str, object]:
    texts = {"response": SLEEPS + RESPONSE.format(n=number), "tests": TESTS.format(n=number)}
    return {"id": number, **texts, "mutation_testing": False, "split": False}


async def _ask_until_taken(
    http: httpx.AsyncClient, service: Service, body: dict[str, object], draw: random.Random, kinds: Counter[str]
) -> list[dict[str, object]]:
    while (answer := await http.post(f"{service.base}/judge", json=body)).status_code == 503:
        kinds["503"] += 1
        await asyncio.sleep(draw.uniform(0.2, 1.0))
    return answer.json()["verdicts"]


def _check(numbers: list[int], verdicts: list[dict[str, object]], kinds: Counter[str]) -> None:
    kinds["lost"] += len(numbers) - len(verdicts)
    for n, verdict in zip(numbers, verdicts, strict=False):
        own = verdict["id"] == n and verdict["output"] == f"program {n}\n" and verdict["status"] == "passed"
        kinds["own" if own else "another's"] += 1


async def _watch(service: Service, most: Counter[str]) -> None:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {service.token}"}, timeout=None) as asker:
        while True:
            for name, value in _gauges((await asker.get(f"{service.base}/metrics")).text).items():
                most[name] = max(most[name], value)  # type: ignore[assignment]
            await asyncio.sleep(0.05)


def _gauges(text: str) -> dict[str, float]:
    return {
        name: float(value) for name, value in re.findall(r"^selfcodealign_sandbox_(\w+) (\S+)$", text, re.MULTILINE)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "crowd"))
    parser.add_argument("--programs", type=int, default=300, help="speed: programs in each turn")
    parser.add_argument("--clients", type=int, default=200, help="crowd: clients at once")
    parser.add_argument("--requests", type=int, default=10, help="crowd: requests of each client")
    options = parser.parse_args()
    if options.what == "speed":
        asyncio.run(compare_speed(options.programs))
    else:
        asyncio.run(crowd(options.clients, options.requests, 0.05))


if __name__ == "__main__":
    main()
