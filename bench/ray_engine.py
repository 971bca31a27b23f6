"""What `--engine ray` costs, how it scales, and whether lost nodes change a row.

    python -m bench.ray_engine overhead --rows 20000 100000     # against the local engine, in turn
    python -m bench.ray_engine memory --rows 10000 100000       # of the driver
    python -m bench.ray_engine restart --rows 1000000           # after a kill of everything in the middle
    python -m bench.ray_engine scaling --nodes 1 2 4 8          # nodes that sleep stand in for GPU servers
    python -m bench.ray_engine kills --kills 50 --out FOLDER    # nodes are killed at random moments; resumes

Rows are cheap (`bench/ray_stages.py`), so that what is measured is the engine. Both engines take rows that lie on disk
through two stages, each in a process of its own; `cpu` is the processor time of the process and all below it, which
load on the machine disturbs less than time. Nodes of `scaling` and `kills` are those of `ray.cluster_utils.Cluster` on
this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bench.ray_kills import kill_nodes
from tests.support.processes import process_tree
from tests.support.ray_cluster import add_node, ray_cluster

#: Runs a journey of `bench/ray_stages.py`; prints one JSON line when it has ended. Arguments: see `start`.
CHILD = """
import asyncio, json, sys, time
from pathlib import Path
from selfcodealign.engine.ray.driver import RayEngine
from selfcodealign.pipeline import run_recipe
from selfcodealign.progress import Progress
from selfcodealign.recipe import default_recipe

out, engine, until, *settings = sys.argv[1:]
class Clock(Progress):
    first = joined = 0.0
    def say(self, text):
        self.joined = time.monotonic() if text.startswith("Ray: ") and "core" in text else self.joined
    def advance(self, task, count=1, *, kept=0, dropped=(), facts=""):
        self.first = self.first or time.monotonic()
ray = RayEngine(None if engine == "ray" else engine) if engine != "local" else None
clock, began = Clock(), time.monotonic()
asyncio.run(run_recipe(default_recipe(settings), out, until=until, progress=clock, engine=ray))
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps({"seconds": time.monotonic() - began, "first": clock.first - began,
                  "joined": max(clock.joined - began, 0.0), "peak": peak}))
"""
TICKS = os.sysconf("SC_CLK_TCK")


def start(out: Path, engine: str, until: str, *settings: str) -> subprocess.Popen[str]:
    """Begin a run: `engine` is local, ray (on this machine) or the address of a cluster; `until` the last stage."""
    stages = ["NUMBERED", "SLEEP"] if until == "sleep" else ["NUMBERED", "MEASURE", "SIFT"]
    journey = "journey=" + json.dumps([f"bench/ray_stages.py:{name}" for name in stages])
    words = [sys.executable, "-c", CHILD, str(out), engine, until, journey, "telemetry.seconds=0", *settings]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str]) -> dict[str, float]:
    """Wait for a run; what it printed, and `cpu`, the processor time of its tree."""
    seen: dict[int, float] = {}
    while process.poll() is None:
        for pid in [process.pid, *process_tree(process.pid)]:
            try:
                words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            seen[pid] = (int(words[11]) + int(words[12])) / TICKS
        time.sleep(0.2)
    assert process.stdout is not None
    told = process.stdout.read().strip()
    if process.returncode != 0 or not told:
        sys.exit(f"a run failed with exit code {process.returncode}")
    return json.loads(told.splitlines()[-1]) | {"cpu": sum(seen.values())}


def with_seeds(folder: Path, rows: int) -> Path:
    """A run whose seeds are there, and nothing else yet."""
    run = folder / f"seeds-{rows}"
    if not run.exists():
        finish(start(run, "local", "numbered", f"own.numbered.rows={rows}"))
    return run


def take(folder: Path, rows: int, engine: str) -> dict[str, float]:
    """Take the seeds through two stages by an engine, in a copy of the run with them."""
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(with_seeds(folder, rows), run)
    told = finish(start(run, engine, "sift", f"own.numbered.rows={rows}"))
    told["kept"] = sum(pq.read_metadata(path).num_rows for path in (run / "sift").glob("kept-*.parquet"))
    return told


def overhead(folder: Path, sizes: Sequence[int], repeat: int) -> None:
    """Both engines in turn; what a row costs is the slope between sizes, since a Ray cluster takes a while to start."""
    medians: dict[tuple[int, str, str], float] = {}
    for rows in sizes:
        found: dict[str, list[dict[str, float]]] = {"local": [], "ray": []}
        for _ in range(repeat):
            for engine, runs in found.items():
                runs.append(take(folder, rows, engine))
                print(f"  {rows:>9,} {engine:5} " + "  ".join(f"{k} {v:,.1f}" for k, v in runs[-1].items()), flush=True)
        assert len({one["kept"] for runs in found.values() for one in runs}) == 1
        for engine, runs in found.items():
            for what in ("seconds", "cpu"):
                medians[rows, engine, what] = statistics.median(one[what] for one in runs)
        for what in ("seconds", "cpu"):
            local, ray = medians[rows, "local", what], medians[rows, "ray", what]
            print(f"{rows:>9,} rows: {what:7} local {local:7.1f}, ray {ray:7.1f}, ratio {ray / local:.2f}", flush=True)
    for few, many in pairwise(sizes):
        for what in ("seconds", "cpu"):
            local, ray = (
                (medians[many, engine, what] - medians[few, engine, what]) / (many - few) * 1e6
                for engine in ("local", "ray")
            )
            print(f"from {few:,} to {many:,}: {what} per row, µs: local {local:.0f}, ray {ray:.0f}: {ray / local:.2f}")


def memory(folder: Path, sizes: Sequence[int]) -> None:
    """The driver's largest resident memory."""
    for rows in sizes:
        told = {engine: take(folder, rows, engine)["peak"] for engine in ("ray", "local")}
        print(f"{rows:>9,} rows: driver {told['ray']:.0f} MiB; the local engine {told['local']:.0f} MiB", flush=True)


def restart(folder: Path, rows: int, share: float) -> None:
    """Everything is killed once a share of the rows is through; then the seconds to the first new row."""
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(with_seeds(folder, rows), run)
    setting = f"own.numbered.rows={rows}"

    def through() -> int:
        return sum(pq.read_metadata(path).num_rows for path in (run / "sift").glob("kept-*.parquet"))

    for engine in ("ray", "local"):
        one = folder / f"killed-{engine}"
        shutil.rmtree(one, ignore_errors=True)
        if engine == "ray":
            process = start(run, engine, "sift", setting)
            while through() < share * rows:
                assert process.poll() is None, "the run has ended before it could be killed"
                time.sleep(0.2)
            below = process_tree(process.pid)
            for pid in [process.pid, *below]:
                os.kill(pid, signal.SIGKILL)
            process.wait()
            print(f"killed with {through():,} of {rows:,} rows through", flush=True)
        shutil.copytree(run, one)
        told = finish(start(one, engine, "sift", setting))
        print(f"{engine:5}: first new row after {told['first']:.1f} s, all after {told['seconds']:.1f} s", flush=True)


def scaling(folder: Path, counts: Sequence[int], seconds: float, at_once: int, minutes: float) -> None:
    """Throughput of nodes that sleep, beside what so many would have without an engine."""
    settings = [f"own.sleep.seconds={seconds}", f"own.sleep.at_once={at_once}"]
    for nodes in counts:
        rows = int(nodes * at_once * minutes * 60 / seconds)
        run = folder / f"sleep-{nodes}"
        finish(start(run, "local", "numbered", f"own.numbered.rows={rows}"))
        shutil.rmtree(run / "superseded", ignore_errors=True)
        with ray_cluster(0) as cluster:
            for _ in range(nodes):
                add_node(cluster)
            finish(start(run, cluster.address, "sleep", f"own.numbered.rows={rows}", *settings))
        tell_scaling(run, nodes, at_once / seconds)
        shutil.rmtree(run)


def tell_scaling(run: Path, nodes: int, rate: float) -> None:
    """Print rows per second while all workers were at work, and over all; `rate` is that of a worker without engine."""
    spans: dict[int, list[Any]] = {}
    for path in (run / "sleep").glob("kept-*.parquet"):
        table = pq.read_table(path, columns=["process", "began", "ended"])
        for process, began, ended in zip(*(column.to_pylist() for column in table.columns), strict=True):
            spans.setdefault(process, []).append((began, ended))
    first, last = (
        max(min(began for began, _ in one) for one in spans.values()),
        min(max(ended for _, ended in one) for one in spans.values()),
    )
    ends = [ended for one in spans.values() for _, ended in one]
    steady = sum(first < ended <= last for ended in ends) / (last - first)
    begun = min(began for one in spans.values() for began, _ in one)
    whole = len(ends) / (max(ends) - begun)
    print(
        f"{nodes:>3} nodes, {len(spans)} workers: {steady:7.1f} rows/s while all work ({last - first:.0f} s): "
        f"{steady / (nodes * rate):.3f} of linear; first row to last {whole / (nodes * rate):.3f}",
        flush=True,
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["overhead", "memory", "restart", "scaling", "kills"])
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--repeat", type=int, default=3, help="pairs of runs for each size (overhead)")
    parser.add_argument("--share", type=float, default=0.5, help="rows through when the run is killed (restart)")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=0.5, help="sleep of a row (scaling)")
    parser.add_argument("--at-once", type=int, default=8, help="rows under way in a worker (scaling)")
    parser.add_argument("--minutes", type=float, default=1.0, help="least length of a run (scaling)")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--out", type=Path, help="folder that is kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        match options.what:
            case "overhead":
                overhead(folder, options.rows, options.repeat)
            case "memory":
                memory(folder, options.rows)
            case "restart":
                restart(folder, options.rows[-1], options.share)
            case "scaling":
                scaling(folder, options.nodes, options.seconds, options.at_once, options.minutes)
            case "kills":
                kill_nodes(folder, options.kills)


if __name__ == "__main__":
    main()
