"""Kill a run (kill -9) at a hundred random moments: do resumed runs end with the rows of an uninterrupted run?

    python -m bench.kills                # 100 kills
    python -m bench.kills --kills 10

A scripted model answers slowly, real programs run in the real sandbox, and the whole process group is killed after a
random time. After every kill the run is resumed; after the last kill it is completed and compared, row by row and field
by field (except measured seconds and memory), with an uninterrupted run. Exit code 1 if they differ.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selfcodealign import run_recipe
from tests.support.journey import scripted_model, small_recipe, write_sources
from tests.support.runs import KILLED, everything


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    kills = completions = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = write_sources(folder / "source", 100)
        asyncio.run(run_recipe(small_recipe(sources), folder / "whole", model=scripted_model()))
        expected = everything(folder / "whole")
        while True:
            target = folder / f"killed-{completions}"
            command = [sys.executable, "-c", KILLED, str(sources), str(target)]
            process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
            try:
                ended = process.wait(timeout=draw.uniform(0.3, 3.0) if kills < options.kills else None)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
                continue
            # The run is complete: compare it, and begin another run unless there were enough kills.
            if ended != 0 or everything(target) != expected:
                sys.exit(f"after {kills} kills: exit code {ended}, {'the rows differ' if ended == 0 else 'no end'}")
            completions += 1
            if kills >= options.kills:
                break
    print(f"{kills} kills, {completions} completed runs, each with exactly the rows of an undisturbed one")


if __name__ == "__main__":
    began = time.monotonic()
    main()
    print(f"{time.monotonic() - began:.0f} s")
