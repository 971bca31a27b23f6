"""Measure the throughput of seed extraction, and count the outcomes of a source's functions.

    .venv/bin/python bench/seeds.py [SOURCE ...] [--processes 2]

Sources are those of `seeds.sources`; the default is the standard library.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice

from selfcodealign.curation.functions import extract_seeds
from selfcodealign.rows import Dropped, Seed, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources import iterate_source_files

FILES_AT_ONCE = 2_000  # map() reads its whole input ahead; batches keep memory flat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=["stdlib"])
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    settings = SeedSettings(sources=options.sources)
    outcomes: Counter[str] = Counter()
    seeds: set[str] = set()
    files = 0
    start = time.perf_counter()
    for row in take_seeds(settings, options.processes):
        if isinstance(row, SourceFile):
            files += 1
        elif isinstance(row, Dropped):
            outcomes[row.reason] += 1
        else:
            outcomes["kept"] += 1
            seeds.add(row.seed_id)
    seconds = time.perf_counter() - start
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    busy = sum(usage.ru_utime + usage.ru_stime for usage in used)
    functions = sum(outcomes.values()) - outcomes["no_functions"]
    print(f"{files:,} files, {functions:,} functions, {len(seeds):,} distinct seeds")
    print(f"{seconds:.1f} s with {options.processes} processes: {functions / seconds * 60:,.0f} functions/min")
    # CPU time: wall time says little on a shared machine
    print(f"{busy:.1f} s of work: {functions / busy * 60:,.0f} functions/min on each free core")
    for reason, number in outcomes.most_common():
        print(f"  {reason:<20} {number:>8,}")


def take_seeds(settings: SeedSettings, processes: int) -> Iterator[SourceFile | Seed | Dropped]:
    """Read all files; return them and their outcomes."""
    rows = iterate_source_files(settings)
    work = partial(extract_seeds, settings=settings)
    with ProcessPoolExecutor(processes) as pool:
        while batch := list(islice(rows, FILES_AT_ONCE)):
            read = [row for row in batch if isinstance(row, SourceFile)]
            yield from batch
            for outcome in pool.map(work, read, chunksize=16):
                yield from outcome


if __name__ == "__main__":
    main()
