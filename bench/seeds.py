"""Count what becomes of a source's functions: alone, with the definitions that they carry, and with methods.

    .venv/bin/python bench/seeds.py [SOURCE ...] [--processes 2] [--check] [--sample 50]

Sources are those of `seeds.sources`; the default is the standard library. `--check` has ruff look for undefined names
and names defined twice in every seed, and pyrefly compare the errors in each function's own lines with those that it
finds there in the function's own file. `--sample` prints seeds that only carrying made possible, drawn at random.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

from selfcodealign.curation.functions import extract_seeds
from selfcodealign.rows import Dropped, Seed, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources import iterate_source_files

FILES_AT_ONCE = 2_000  # map() reads its whole input ahead; batches keep memory flat
MODES = {
    "alone": {"closure": False},
    "closure": {},
    "with methods": {"methods": True},
}
RULES = "F821,F822,F823,F811,E9"
Errors = dict[str, list[tuple[int, str]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=["stdlib"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--sample", type=int, default=0)
    options = parser.parse_args()
    for source in options.sources:
        print(f"\n{source}")
        found = {mode: extract(source, mode, options.processes) for mode in MODES}
        print_outcomes({mode: Counter(map(outcome_of, rows)) for mode, rows in found.items()})
        seeds = {mode: [row for row in rows if isinstance(row, Seed)] for mode, rows in found.items()}
        if options.check:
            for mode in MODES:
                check(source, mode, seeds[mode])
        alone = {(seed.source_path, seed.source_line) for seed in seeds["alone"]}
        gained = [seed for seed in seeds["closure"] if (seed.source_path, seed.source_line) not in alone]
        for seed in random.Random(0).sample(gained, min(options.sample, len(gained))):
            print(f"\n# {'-' * 100}\n# {seed.source_path}:{seed.source_line} carries {seed.carried}\n{seed.seed}")


def extract(source: str, mode: str, processes: int) -> list[Seed | Dropped]:
    """All outcomes of a source, and a line about the time that they took."""
    settings = SeedSettings.model_validate({"sources": [source], "licences": ["any"], **MODES[mode]})
    start, used = time.perf_counter(), busy()
    rows = list(take_seeds(settings, processes))
    seconds, work = time.perf_counter() - start, busy() - used
    # CPU time: wall time says little on a shared machine
    print(f"  {mode}: {seconds:.1f} s, {work:.1f} s of work: {len(rows) / work * 60:,.0f} functions/min on a free core")
    return rows


def busy() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def take_seeds(settings: SeedSettings, processes: int) -> Iterator[Seed | Dropped]:
    rows = iterate_source_files(settings)
    work = partial(extract_seeds, settings=settings)
    with ProcessPoolExecutor(processes) as pool:
        while batch := list(islice(rows, FILES_AT_ONCE)):
            for outcome in pool.map(work, [row for row in batch if isinstance(row, SourceFile)], chunksize=16):
                yield from outcome


def outcome_of(row: Seed | Dropped) -> str:
    return row.reason if isinstance(row, Dropped) else "kept"


def print_outcomes(counts: dict[str, Counter[str]]) -> None:
    reasons = sorted(
        {reason for found in counts.values() for reason in found}, key=lambda each: -counts["closure"][each]
    )
    print(f"  {'':<20}" + "".join(f"{mode:>14}" for mode in counts))
    for reason in reasons:
        print(f"  {reason:<20}" + "".join(f"{found[reason]:>14,}" for found in counts.values()))


def check(source: str, mode: str, seeds: list[Seed]) -> None:
    """Print what ruff and pyrefly find in the seeds, and pyrefly in the files they are from."""
    files = {
        file.path: file.text if isinstance(file.text, bytes) else file.text.encode()
        for file in iterate_source_files(SeedSettings(sources=[source], licences=["any"]))
        if isinstance(file, SourceFile)
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "pyrefly.toml").touch()
        for path, text in files.items():
            write(folder / "files" / path, text)
        for number, seed in enumerate(seeds):
            write(folder / "seeds" / f"seed_{number}.py", (seed.seed + "\n").encode())
        command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--output-format", "concise"]
        ruff = subprocess.run(
            [*command, "--select", RULES, str(folder / "seeds")], capture_output=True, text=True, check=False
        )
        own, alone = find_type_errors(folder, "files"), find_type_errors(folder, "seeds")
    print(f"  {mode}: ruff says: {ruff.stdout.strip().splitlines()[-1]}")
    differing = []
    for number, seed in enumerate(seeds):
        there = ast.parse(files[seed.source_path])
        before = errors_in(own[seed.source_path], find_lines(there, seed.function, seed.source_line))
        after = errors_in(alone[f"seed_{number}.py"], find_lines(ast.parse(seed.seed), seed.function, None))
        if before != after:
            differing.append((seed, sorted((after - before).elements()), sorted((before - after).elements())))
    print(f"  {mode}: pyrefly differs in the lines of {len(differing)} of {len(seeds)} seeds")
    for seed, more, fewer in differing:
        print(f"    {seed.source_path}:{seed.source_line} {seed.function}: more {more[:3]}, fewer {fewer[:3]}")


def write(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)


def find_type_errors(folder: Path, part: str) -> Errors:
    """The errors by file, as (line, kind)."""
    command = [sys.executable, "-m", "pyrefly", "check", "--output-format", "json"]
    options = ["--config", str(folder / "pyrefly.toml"), "--disable-search-path-heuristics", "true"]
    done = subprocess.run([*command, *options, part], capture_output=True, text=True, check=False, cwd=folder)
    found: Errors = defaultdict(list)
    for error in json.loads(done.stdout)["errors"]:
        path = (folder / error["path"]).relative_to(folder / part)
        found[path.as_posix()].append((error["line"], error["name"]))
    return found


def find_lines(tree: ast.Module, function: str, line: int | None) -> range:
    """The lines of a function: the one that begins at `line`, else the last of its name."""
    class_, _, name = function.rpartition(".")
    found = range(0)
    for owner in ast.walk(tree):
        if isinstance(owner, ast.Module if not class_ else ast.ClassDef) and getattr(owner, "name", "") == class_:
            for node in owner.body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
                    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                    if line in (None, first):
                        found = range(first, (node.end_lineno or first) + 1)
    return found


def errors_in(errors: list[tuple[int, str]], lines: range) -> Counter[tuple[int, str]]:
    return Counter((line - lines.start, name) for line, name in errors if line in lines)


if __name__ == "__main__":
    main()
