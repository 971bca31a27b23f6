"""A bad night: a server that fails half of its requests in every way, kill -9, a full disk. Are the rows the same?

    python -m bench.faults                     # 200,000 requests, about 25 interruptions
    python -m bench.faults --requests 5000 --interruptions 4

A journey from seeds to selection asks a server in another process that injects eleven faults, each into 5 % of the
requests, with real programs in the real sandbox for one answer in thirty. Meanwhile the run is interrupted at random
moments and started again by the same command: kill -9 of all its processes, a disk that takes no more, kill -9 of
processes of the sandbox. In the end all rows of all stages are compared with those of a run without a fault, and the
server says what it was asked twice. Exit code 1 if a row differs, or if something was asked again that was answered
more than 5 s before an interruption.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.support.faulted_run import ENDINGS, run_through, start
from tests.support.journey import write_sources
from tests.support.moody_server import FAULTS, MoodyServer
from tests.support.runs import books, everything
from tests.support.taken_answers import DEFECTS

#: Requests that a seed costs in the end, faults included; measured.
REQUESTS_PER_SEED = 28.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--interruptions", type=int, default=25)
    parser.add_argument("--every", type=float, default=45.0, help="mean seconds between interruptions")
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--chance", type=float, default=0.05, help="share of the requests that meet each fault")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = write_sources(folder / "source", max(10, round(options.requests / REQUESTS_PER_SEED)))
        calm = start(sources, folder / "calm", (), options.samples)
        began = time.monotonic()
        with MoodyServer(options.chance, options.seed) as server:

            def wait(process: subprocess.Popen[str], draw: random.Random) -> None:
                kinds, distinct, again = server.look()
                told = f"{sum(kinds.values())} requests, {distinct} answered, {len(again)} again"
                print(f"  {time.monotonic() - began:.0f} s: {told}", flush=True)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(draw.uniform(0.1, 2 * options.every))

            draw = random.Random(options.seed)
            course = run_through(
                sources,
                folder / "run",
                server,
                options.samples,
                wait,
                draw.choices(ENDINGS, k=options.interruptions),
                draw,
            )
            kinds, distinct, again = server.look()
        seconds = time.monotonic() - began
        total, reasons = sum(kinds.values()), course.sort(again)
        lost = sum(reasons[one] for one in DEFECTS)
        print(f"{total} requests in {seconds:.0f} s, {distinct} different ones answered")
        print("faults: " + ", ".join(f"{kind} {kinds.get(kind, 0) / total:.1%}" for kind in FAULTS))
        print(f"interruptions: {dict(course.endings)}; sessions: {len(course.ended)}; said: {set(course.said)}")
        print(f"asked again after the answer: {len(again)}; why: {reasons}")
        for one in course.defects(again)[:10]:
            print(f"  {one}")
        if calm.wait():
            sys.exit(f"the run without faults failed: {calm.communicate()[1]}")
        expected = everything(folder / "calm")
        print("without faults:", books(folder / "calm"), flush=True)
        same = everything(folder / "run") == expected
        print("exactly the rows of the run without faults" if same else "THE ROWS DIFFER")
        if not same:
            print(books(folder / "run"))
        sys.exit(0 if same and not lost else 1)


if __name__ == "__main__":
    main()
