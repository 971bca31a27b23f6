"""Measure the sandbox's overhead and stability: `python bench/sandbox.py speed`, `walls`, `mutants` or `soak`.

speed   the same programs through the sandbox and its alternatives in turns, in one run; ratios count, not milliseconds
walls   the same program with one wall after the other left out
mutants what mutation testing adds to a program's time, together and in separate processes, and where they disagree
soak    N programs (100,000), 5 % of them hostile: throughput per tenth, and leaks
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import importlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from selfcodealign.fences import extract_python
from selfcodealign.sandbox import Limits, Program, Sandbox, Status
from selfcodealign.sandbox.python.program import Job, prepare_job

ROUNDS = 5
STDLIB = """import math
from collections import Counter, defaultdict

def describe_{n}(values):
    counts = Counter(values)
    groups = defaultdict(list)
    for value in values:
        groups[value % 3].append(math.sqrt(value))
    return counts.most_common(1)[0][0], sorted(groups)
"""
STDLIB_TESTS = "assert describe_{n}([4, 4, 9]) == (4, [0, 1])\nassert describe_{n}([{n} + 1])[0] == {n} + 1\n"
SCIENCE = """import numpy as np
import pandas as pd

def centre_{n}(values):
    frame = pd.DataFrame({{"x": np.asarray(values, dtype=float)}})
    return (frame["x"] - frame["x"].mean()).tolist()
"""
SCIENCE_TESTS = "assert centre_{n}([1, 2, 3]) == [-1.0, 0.0, 1.0]\nassert centre_{n}([{n}]) == [0.0]\n"
_FLOOR = """
import gc, importlib, json, os, sys, time
sys.path.insert(0, sys.argv[1])
from selfcodealign.sandbox.python.harness import Runner
runner = Runner()
for name in json.loads(sys.argv[2]):
    importlib.import_module(name)
gc.collect()
gc.freeze()
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
for line in sys.stdin:
    texts = json.loads(line)
    started = time.perf_counter()
    for text in texts:
        pid = os.fork()
        if pid == 0:
            try:
                exec(text, {"__name__": "__main__"})
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
    print((time.perf_counter() - started) / len(texts), file=answers, flush=True)
"""
_EVALPLUS = """
import json, os, sys, time
from evalplus.eval import untrusted_check
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
for line in sys.stdin:
    texts = json.loads(line)
    started = time.perf_counter()
    for text in texts:
        code = text + "\\ndef probe(x):\\n    return x\\n"
        untrusted_check("humaneval", code, [[1]], "probe", [1], 0, [0.1], True, 5, 1)
    print((time.perf_counter() - started) / len(texts), file=answers, flush=True)
"""
_SANDLOCK = """
import json, os, sys, time
from sandlock import Sandbox
readable = ["/usr", "/lib", "/lib64", "/etc", "/dev", sys.prefix, sys.base_prefix]
readable = [path for path in readable if os.path.exists(path)]
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
for line in sys.stdin:
    texts = json.loads(line)
    started = time.perf_counter()
    # Returns when all clones have ended.
    Sandbox(
        fs_readable=readable,
        init_fn=lambda: None,
        work_fn=lambda number: exec(texts[number], {"__name__": "__main__"}),
    ).fork(len(texts))
    print((time.perf_counter() - started) / len(texts), file=answers, flush=True)
"""


class Asked:
    """A process that times batches of programs, one line of JSON each."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, texts: list[str]) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(texts) + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def time_fresh(prefix: list[str]) -> Callable[[list[str]], float]:
    """Return the seconds per program with a new interpreter for each."""

    def run(texts: list[str]) -> float:
        started = time.perf_counter()
        for text in texts:
            subprocess.run([*prefix, sys.executable, "-c", text], capture_output=True, check=False)
        return (time.perf_counter() - started) / len(texts)

    return run


def bubblewrap() -> list[str] | None:
    """Return the bubblewrap command around a new interpreter, or None if bwrap is not installed or not allowed."""
    if shutil.which("bwrap") is None:
        return None
    prefix = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--tmpfs", "/tmp", "--die-with-parent"]
    works = subprocess.run([*prefix, sys.executable, "-c", ""], capture_output=True, check=False).returncode == 0
    return prefix if works else None


async def time_ours(sandbox: Sandbox, programs: list[Program], **steps: bool) -> tuple[float, float]:
    """Return the seconds per program, one at a time: in total, and from the start of its work to its death."""
    started = time.perf_counter()
    verdicts = [await sandbox.run(with_steps(program, **steps)) for program in programs]
    wrong = Counter(verdict.status for verdict in verdicts if not verdict.passed)
    assert not wrong, f"programs that should pass: {wrong}"
    return (time.perf_counter() - started) / len(programs), statistics.mean(verdict.seconds for verdict in verdicts)


async def time_ours_together(sandbox: Sandbox, programs: list[Program]) -> float:
    """Return the seconds per program with all workers busy."""
    started = time.perf_counter()
    verdicts = await asyncio.gather(*(sandbox.run(with_steps(program)) for program in programs))
    assert all(verdict.passed for verdict in verdicts)
    return (time.perf_counter() - started) / len(programs)


def time_together(floors: list[Asked], texts: list[str]) -> float:
    """Return the seconds per program with several processes at work."""
    with ThreadPoolExecutor(len(floors)) as pool:
        return statistics.mean(pool.map(lambda floor: floor(texts), floors)) / len(floors)


def with_steps(program: Program, mutation_testing: bool = False, split: bool = False) -> Program:
    """The program with the steps after its plain run that are named."""
    return replace(program, mutation_testing=mutation_testing, split=split)


def kodcode_programs(trials: Path | None) -> list[Program]:
    """Read the trials that are recorded as passing; none without the file."""
    if trials is None:
        print("(no recorded trials: name their file with --kodcode; generated programs only)")
        return []
    with gzip.open(trials, "rt") as file:
        rows = [json.loads(line) for line in file]
    return [Program(row["solution"], row["test_code"]) for row in rows if row["verdict"] == "Pass"]


def as_script(program: Program) -> str:
    """Join response and tests to a script for plain executors; test functions are called, as in the sandbox."""
    job = prepare_job(program, Limits())
    assert isinstance(job, Job)
    tests = "\n".join(line for line in job.tests.splitlines() if not line.startswith("from solution"))
    call = "\nfor name, test in list(globals().items()):\n    if name.startswith('test_'): test()\n"
    return f"{extract_python(job.response)}\n{tests}\n{call}"


async def compare_speed(python_of_evalplus: str, python_of_sandlock: str, recorded: Path | None) -> None:
    program_sets = {
        "stdlib": [Program(STDLIB.format(n=n), STDLIB_TESTS.format(n=n)) for n in range(20)],
        "numpy + pandas": [Program(SCIENCE.format(n=n), SCIENCE_TESTS.format(n=n)) for n in range(6)],
    }
    root = str(Path(__file__).resolve().parents[1])
    limits = Limits(seconds=10)
    async with Sandbox(workers=1, limits=limits) as sandbox, Sandbox(limits=limits) as full:
        real = [p for p in kodcode_programs(recorded) if "import" not in p.tests.replace("from solution import", "")]
        trials = [Program(p.response, p.tests, mutation_testing=False, limits=Limits(seconds=1)) for p in real[:60]]
        verdicts = await asyncio.gather(*map(sandbox.run, trials))
        quick = [p for p, v in zip(real, verdicts, strict=False) if v.passed and v.seconds < 0.05]
        if quick:
            program_sets["KodCode (stdlib, quick)"] = [p for p in quick if "numpy" not in p.response][:20]
        print(f"mode {sandbox.mode}, {ROUNDS} rounds in turns, medians, one program at a time")
        for name, programs in program_sets.items():
            await compare_set(sandbox, full, name, programs, root, python_of_evalplus, python_of_sandlock)


async def compare_set(
    sandbox: Sandbox,
    full: Sandbox,
    name: str,
    programs: list[Program],
    root: str,
    python_of_evalplus: str,
    python_of_sandlock: str,
) -> None:
    texts = [as_script(program) for program in programs]
    libraries = ["numpy", "pandas"] if "numpy" in name else []
    floors = [
        Asked([sys.executable, "-s", "-P", "-c", _FLOOR, root, json.dumps(libraries)]) for _ in range(full.workers)
    ]
    floor, together = floors[0], f"all {full.workers} cores: "
    others: dict[str, Callable[[list[str]], float]] = {
        "floor: fork + exec() + exit": floor,
        "fresh interpreter": time_fresh([]),
    }
    if (prefix := bubblewrap()) is not None:
        others["bubblewrap + fresh interpreter"] = time_fresh(prefix)
    else:
        print("(bubblewrap is not installed or not allowed here)")
    evalplus = None
    if libraries:
        pass  # its guard has no warm libraries: a fork of an interpreter without them would import them each time
    elif Path(python_of_evalplus).exists():
        evalplus = others["evalplus' check (no isolation)"] = Asked([python_of_evalplus, "-c", _EVALPLUS])
    else:
        print("(no evalplus: name an interpreter that has it with --evalplus)")
    sandlock = None
    if libraries:
        pass  # its interpreter has none of them
    elif python_of_sandlock and Path(python_of_sandlock).exists():
        sandlock = others["sandlock's fork of a warm interpreter"] = Asked([python_of_sandlock, "-c", _SANDLOCK])
    else:
        print("(no sandlock: name an interpreter that has it with --sandlock)")
    times: dict[str, list[float]] = {}
    await time_ours(sandbox, programs, split=True)
    await time_ours_together(full, programs)
    for _ in range(ROUNDS):
        whole, inside = await time_ours(sandbox, programs)
        times.setdefault("sandbox, the whole way", []).append(whole)
        times.setdefault("sandbox, from work to death", []).append(inside)
        times.setdefault("sandbox, with a split run", []).append((await time_ours(sandbox, programs, split=True))[0])
        tested, _ = await time_ours(sandbox, programs[:4], mutation_testing=True)
        times.setdefault("sandbox, with mutation testing", []).append(tested)
        for other, run in others.items():
            times.setdefault(other, []).append(await asyncio.to_thread(run, texts))
        times.setdefault(f"{together}sandbox", []).append(await time_ours_together(full, programs * 3))
        times.setdefault(f"{together}floor", []).append(await asyncio.to_thread(time_together, floors, texts * 3))
    for one in (*floors, evalplus, sandlock):
        if one is not None:
            one.close()
    ours, bottom = (statistics.median(times[key]) for key in ("sandbox, the whole way", "floor: fork + exec() + exit"))
    print(f"\n{name}: {len(programs)} programs")
    for key, values in times.items():
        median = statistics.median(values)
        print(f"  {key:37} {median * 1000:8.2f} ms   {median / ours:6.2f} x ours   {median / bottom:6.2f} x floor")
    ratio = statistics.median(times[f"{together}sandbox"]) / statistics.median(times[f"{together}floor"])
    print(f"  with all cores at work the sandbox takes {ratio:.2f} x the time of as many floors")


async def compare_walls() -> None:
    """Compare the same program with one wall left out at a time, alternating; all cores are at work, because the walls
    of the next program are built while one runs."""
    program = with_steps(Program("def add(a, b):\n    return a + b\n", "assert add(1, 2) == 3\n"))
    walls = ("pid namespace", "capabilities", "landlock", "seccomp")
    boxes: dict[str, Sandbox] = {}
    for name, left_out in {
        "all walls": (),
        **{f"without {wall}": (wall,) for wall in walls},
        "without all four": walls,
    }.items():
        box = boxes[name] = Sandbox(split=False)
        box._left_out = left_out
        await box.__aenter__()
    times: dict[str, list[float]] = {name: [] for name in boxes}
    for _ in range(40):
        for name, box in boxes.items():
            times[name].append(await time_ours_together(box, [program] * 20))
    for box in boxes.values():
        await box.__aexit__(None, None, None)
    everything = statistics.median(times["all walls"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:26} {median * 1000:6.2f} ms   {(everything - median) * 1000:+6.2f} ms")


HOSTILE = (
    "while True: pass",
    "import time\ntime.sleep(60)",
    "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "while True: print('flood' * 1000)",
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)",
    "import threading\nfor _ in range(4): threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()",
    "for n in range(9):\n    open(f'f{n}', 'wb').write(bytes(1 << 19))\nimport os\nos._exit(0)",
)
HOSTILE_LIMITS = Limits(seconds=0.06, memory_mib=64, processes=12, scratch_mib=256, output_kib=64)


def look_for_leaks(sandbox: Sandbox) -> dict[str, int]:
    """Measure what could leak: processes, descriptors, mounts, scratch files, memory (MiB)."""
    servers = [child for worker in sandbox._all for child in _children(worker.pid)]
    forkers = [child for server in servers for child in _children(server)]
    everybody = [os.getpid(), *(worker.pid for worker in sandbox._all), *servers, *forkers]
    pages = sum(int(_read(f"/proc/{pid}/statm").split()[1]) for pid in everybody)
    return {
        "programs": sandbox.count_programs(),
        "servers and forkers": len(servers + forkers),
        "descriptors": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in everybody),
        "mounts": sum(_read(f"/proc/{pid}/mountinfo").count("\n") for pid in everybody),
        "scratch entries": sum(len(os.listdir(f"/proc/{pid}/cwd")) for pid in forkers),
        "memory": pages * os.sysconf("SC_PAGE_SIZE") >> 20,
    }


def _children(pid: int) -> list[int]:
    return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _read(path: str) -> str:
    return Path(path).read_text()


async def soak(count: int, workers: int | None) -> None:
    """Run many programs, in tenths."""
    draw = random.Random(0)
    statuses: Counter[tuple[bool, str]] = Counter()
    rates: list[float] = []
    async with Sandbox(workers, mutation_testing=False) as sandbox:
        print(
            f"mode {sandbox.mode}, {sandbox.workers} workers, {count} programs; start: {look_for_leaks(sandbox)}",
            flush=True,
        )
        for tenth in range(10):
            started = time.perf_counter()
            waiting = iter(range(tenth * count // 10, (tenth + 1) * count // 10))
            await asyncio.gather(*(_feed(sandbox, waiting, draw, statuses) for _ in range(4 * sandbox.workers)))
            rates.append(count / 10 / (time.perf_counter() - started))
            print(f"tenth {tenth + 1}: {rates[-1]:6.0f} programs/s  {look_for_leaks(sandbox)}", flush=True)
    for (hostile, status), number in sorted(statuses.items()):
        print(f"{'hostile' if hostile else 'ordinary':9} {status:12} {number}")
    print(f"last tenth / first tenth: {rates[-1] / rates[0]:.3f}")


async def _feed(sandbox: Sandbox, waiting: object, draw: random.Random, statuses: Counter[tuple[bool, str]]) -> None:
    for number in waiting:  # type: ignore[attr-defined]
        hostile = draw.random() < 0.05
        if hostile:
            program = Program(draw.choice(HOSTILE), kind="script", limits=HOSTILE_LIMITS)
        else:
            program = Program(STDLIB.format(n=number), STDLIB_TESTS.format(n=number))
        verdict = await sandbox.run(program)
        statuses[hostile, verdict.status] += 1
        assert verdict.status is not Status.NOT_JUDGED, verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "walls", "mutants", "soak"))
    parser.add_argument("--programs", type=int, default=100_000, help="soak: number of programs")
    parser.add_argument("--workers", type=int, help="soak: programs run in parallel (default: one per core)")
    parser.add_argument("--kodcode", type=Path, help="speed, mutants: recorded trials of KodCode (.jsonl.gz)")
    parser.add_argument("--evalplus", default=sys.executable, help="speed: an interpreter that has evalplus installed")
    parser.add_argument("--sandlock", default="", help="speed: an interpreter that has sandlock")
    options = parser.parse_args()
    work = {
        "speed": lambda: compare_speed(options.evalplus, options.sandlock, options.kodcode),
        "walls": compare_walls,
        "mutants": lambda: importlib.import_module("mutants").compare(kodcode_programs(options.kodcode)),
        "soak": lambda: soak(options.programs, options.workers),
    }
    asyncio.run(work[options.what]())


if __name__ == "__main__":
    main()
