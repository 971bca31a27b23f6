"""Measure near-deduplication: cost per row as rows grow, recall and precision against exact Jaccard, other libraries.

    .venv/bin/python -m bench.near_dedup                     # all of it at 10,000 and 100,000 rows
    .venv/bin/python -m bench.near_dedup scale 10000 100000 1000000
    .venv/bin/python -m bench.near_dedup quality --functions 20000
    .venv/bin/python -m bench.near_dedup libraries --functions 5000

`scale` makes generated functions, stores them as seeds, and takes them through the whole stage in a process of its
own: reading them in order, comparing, writing all outcomes. They are functions of the installed packages with a share
of their words renamed (0.3 to 1: mostly unlike), and near copies of such functions (up to a fifth of the words).

`quality` compares every pair of a sample of real functions (scipy), and pairs made to be close to the threshold.
`libraries` gives datasketch and rensa's own deduplicator the same functions.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from itertools import chain, islice
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np

from selfcodealign.curation.near_duplicates import choose_bands, near_duplicates
from selfcodealign.curation.ngrams import iterate_ngrams
from selfcodealign.engine.compare import compare
from selfcodealign.errors import SourceError
from selfcodealign.progress import Progress
from selfcodealign.rows import Seed, SourceFile, digest
from selfcodealign.run_folder.folder import Description, RunFolder
from selfcodealign.run_folder.shards import Shards
from selfcodealign.settings import NearDedupSettings, SeedSettings
from selfcodealign.sources import iterate_source_files
from selfcodealign.stages.near_dedup import drop_near_copies

rensa: Any = import_module("rensa")  # it ships no types

JACCARD, PERMUTATIONS, NGRAM = 0.5, 250, 5
ORIGINALS = 40_000  # functions of installed packages from which others are generated
COPIES = 0.3  # share of generated functions that are near copies
SHARD = 20_000
DESCRIBED = Description("Seed", "seed_id", "seed_id", "seeds", Seed.field_names())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part")
    scale = parts.add_parser("scale")
    scale.add_argument("rows", type=int, nargs="+")
    scale.add_argument("--folder", type=Path, default=None, help="where to keep the generated rows")
    for name, most in (("quality", 20_000), ("libraries", 5_000)):
        parts.add_parser(name).add_argument("--functions", type=int, default=most)
    stage = parts.add_parser("stage")
    stage.add_argument("folder", type=Path)
    stage.add_argument("--plain", action="store_true", help="without near-dedup")
    options = parser.parse_args()
    if options.part == "stage":
        print(json.dumps(run_stage(options.folder, NearDedupSettings(enabled=not options.plain))))
        return
    if options.part in (None, "scale"):
        measure_scale(options.rows if options.part else [10_000, 100_000], options.folder if options.part else None)
    if options.part in (None, "quality"):
        measure_quality(options.functions if options.part else 20_000)
    if options.part in (None, "libraries"):
        measure_libraries(options.functions if options.part else 5_000)


# ------------------------------------------------------------------------------------------------- cost per row


def measure_scale(sizes: list[int], folder: Path | None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        originals = gather_functions(ORIGINALS)
        print(
            "      rows     wall      CPU   CPU per row   peak memory   kept      of them: reading in order and writing"
        )
        for size in sizes:
            where = (folder or Path(scratch)) / f"rows-{size}"
            if not (where / "seeds").exists():
                store_generated(where, originals, size)
            told, plain = (time_stage(where, *options) for options in ((), ("--plain",)))
            print(
                f"{size:>10,} {told['wall']:>7.0f}s {told['cpu']:>7.0f}s {told['cpu'] / size * 1e6:>10.0f} us "
                f"{told['peak']:>10,.0f} MiB {told['kept']:>9,}   {plain['cpu']:.0f}s",
                flush=True,
            )
            print(f"           {told['dropped']}", flush=True)


def time_stage(folder: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.near_dedup", "stage", str(folder), *options]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def run_stage(folder: Path, settings: NearDedupSettings) -> dict[str, Any]:
    """Take stored seeds through the stage."""
    with RunFolder(folder) as run, run.connect() as connection:
        stage = run.stage("near_dedup", DESCRIBED, Seed)
        seeds: Shards[Seed] = Shards(folder / "seeds", Seed, "source_id")
        entered = seeds.counts()[0]

        def rows() -> Iterator[Seed]:
            return seeds.sorted_rows(connection.cursor(), "seed_id", "source_id")

        start, used = time.perf_counter(), time.process_time()
        work = compare(
            stage,
            lambda: drop_near_copies(rows, settings, None, folder=folder),
            entered,
            decided_by={},
            progress=Progress(),
        )
        asyncio.run(work)
        books = stage.books()
        return {
            "wall": time.perf_counter() - start,
            "cpu": time.process_time() - used,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "kept": books.kept,
            "dropped": books.dropped,
        }


def store_generated(folder: Path, originals: list[str], size: int) -> None:
    seeds: Shards[Seed] = Shards(folder / "seeds", Seed, "source_id")
    (folder / "seeds").mkdir(parents=True)
    with Pool(2, _hold, (originals,)) as pool:
        for start in range(0, size, SHARD):
            numbers = range(start, min(start + SHARD, size))
            texts = pool.imap(_generate, numbers, chunksize=500)
            seeds.write([make_seed(number, text) for number, text in zip(numbers, texts, strict=True)], [])


def make_seed(number: int, text: str) -> Seed:
    return Seed(
        seed_id=digest(text),
        source_id=f"{number:016x}",
        seed=text,
        function="f",
        origin="generated",
        source_path="a.py",
        source_line=1,
        commit="",
        licence="MIT",
    )


_held: list[str] = []


def _hold(originals: list[str]) -> None:
    _held[:] = originals


def _generate(number: int) -> str:
    return generate(_held, number)


def generate(originals: list[str], number: int) -> str:
    """Function `number`, the same in every run: a near copy of one with a lower number, or one that is like few."""
    random_ = random.Random(number)
    if not is_copy(number):
        return make_unlike(originals, number)
    parent = random_.randrange(number)
    while is_copy(parent):
        parent = random_.randrange(parent)
    return change_words(make_unlike(originals, parent), random_, random_.random() * 0.2)


def is_copy(number: int) -> bool:
    return number > 0 and random.Random(f"copy {number}").random() < COPIES


def make_unlike(originals: list[str], number: int) -> str:
    """An original function, a share of whose words have other names throughout."""
    random_ = random.Random(f"unlike {number}")
    share = random_.uniform(0.3, 1.0)
    names: dict[str, str] = {}

    def rename(found: re.Match[str]) -> str:
        word = found.group()
        if word not in names:
            names[word] = f"{word}_{number}" if random_.random() < share else word
        return names[word]

    return re.sub(r"\w+", rename, originals[random_.randrange(len(originals))])


def change_words(text: str, random_: random.Random, share: float) -> str:
    return re.sub(r"\w+", lambda found: found.group() + "_" * (random_.random() < share), text)


# ------------------------------------------------------------------------------------------- recall, precision


def measure_quality(count: int) -> None:
    texts = list(dict.fromkeys(gather_functions(count)))
    start = time.perf_counter()
    found = dedup(texts)
    ours = time.perf_counter() - start
    pairs = find_pairs(texts)
    neighbours: dict[int, list[tuple[int, float]]] = {}
    for one, other, similarity in pairs:
        neighbours.setdefault(max(one, other), []).append((min(one, other), similarity))
    kept = set(range(len(texts))) - set(found)
    should = {number for number, others in neighbours.items() if any(other in kept for other, _ in others)}
    exact = {(max(pair[:2]), min(pair[:2])): pair[2] for pair in pairs}
    right = sum(exact.get((number, near), 0.0) >= JACCARD for number, near in found.items())
    print(f"{len(texts):,} functions of installed packages, every pair compared; {ours:.1f} s")
    print(f"  pairs with J >= {JACCARD}             {len(pairs):>8,}")
    print(
        f"  functions with a kept near copy  {len(should):>8,}, of them dropped {len(should & set(found)):,}: "
        f"recall {len(should & set(found)) / max(1, len(should)):.4f}"
    )
    print(
        f"  dropped                          {len(found):>8,}, with J >= {JACCARD} to the row that is named "
        f"{right:,}: precision {right / max(1, len(found)):.4f}"
    )
    made = list(make_close_pairs(texts, 10_000))
    found = dedup([text for pair in made for text in pair[:2]])
    print("pairs made of them, by exact Jaccard: share dropped")
    for low in range(40, 66, 2):
        here = [number for number, pair in enumerate(made) if low / 100 <= pair[2] < (low + 2) / 100]
        dropped = sum(found.get(2 * number + 1) == 2 * number for number in here)
        print(f"  {low / 100:.2f} to {(low + 2) / 100:.2f}  {dropped / max(1, len(here)):>7.4f} of {len(here):,}")


def dedup(texts: list[str]) -> dict[int, int]:
    """Number of each dropped text → number of the kept one."""
    named = ((str(number), text) for number, text in enumerate(texts))
    found = near_duplicates(named, jaccard=JACCARD, permutations=PERMUTATIONS, ngram=NGRAM)
    return {int(one.row_id): int(one.kept_id) for one in found}


def find_pairs(texts: list[str]) -> list[tuple[int, int, float]]:
    """All pairs whose exact Jaccard similarity reaches the threshold, from the products of all n-gram sets."""
    from scipy.sparse import csr_matrix

    columns: dict[str, int] = {}
    rows = [sorted({columns.setdefault(gram, len(columns)) for gram in iterate_ngrams(text, NGRAM)}) for text in texts]
    sizes = np.array([len(row) for row in rows])
    ends = np.concatenate([[0], np.cumsum(sizes)])
    values = np.ones(ends[-1], np.int32)
    matrix = csr_matrix((values, list(chain.from_iterable(rows)), ends), shape=(len(rows), len(columns)))
    across = matrix.T.tocsr()
    found = []
    for start in range(0, len(texts), 2000):
        common = (matrix[start : start + 2000] @ across).tocoo()
        ones, others = common.row + start, common.col
        similarity = common.data / (sizes[ones] + sizes[others] - common.data)
        for place in np.flatnonzero((similarity >= JACCARD) & (ones < others)):
            found.append((int(ones[place]), int(others[place]), float(similarity[place])))
    return found


def make_close_pairs(texts: list[str], count: int) -> Iterator[tuple[str, str, float]]:
    """Functions and changed copies of them, with names of their own, whose similarity is 0.3 to 0.75."""
    random_ = random.Random(5)
    while count:
        number = random_.randrange(10**9)
        text = re.sub(r"\w+", lambda found: f"{found.group()}_{number}", random_.choice(texts))  # noqa: B023
        other = change_words(text, random_, random_.uniform(0.02, 0.2))
        left, right = set(iterate_ngrams(text, NGRAM)), set(iterate_ngrams(other, NGRAM))
        similarity = len(left & right) / max(1, len(left | right))
        if 0.3 < similarity < 0.75:
            count -= 1
            yield text, other, similarity


# ---------------------------------------------------------------------------------------------- other libraries


def measure_libraries(count: int) -> None:
    texts = list(dict.fromkeys(gather_functions(count)))
    exact = {(one, other) for one, other, _ in find_pairs(texts)}
    print(f"{len(texts):,} functions          functions/s   dropped   of them without a similar function")
    for name, work in (("selfcodealign", lambda texts: set(dedup(texts))), *LIBRARIES.items()):
        start = time.perf_counter()
        dropped = work(texts)
        rate = len(texts) / (time.perf_counter() - start)
        similar = {number for pair in exact for number in pair}
        print(f"  {name:24} {rate:>11,.0f} {len(dropped):>9,} {len(dropped - similar):>9,}", flush=True)


def dedup_with_datasketch(texts: list[str]) -> set[int]:
    """The same rule with datasketch's signatures and index and the same bands; candidates by their estimates."""
    from datasketch import MinHash, MinHashLSH

    bands, rows = choose_bands(JACCARD, PERMUTATIONS)
    index = MinHashLSH(num_perm=bands * rows, params=(bands, rows))
    signatures: dict[int, MinHash] = {}
    dropped: set[int] = set()
    for number, text in enumerate(texts):
        signature = MinHash(num_perm=bands * rows)
        signature.update_batch([gram.encode() for gram in iterate_ngrams(text, NGRAM)])
        if any(signature.jaccard(signatures[int(str(key))]) >= JACCARD for key in index.query(signature)):
            dropped.add(number)
        else:
            index.insert(str(number), signature)
            signatures[number] = signature
    return dropped


def dedup_with_rensa(texts: list[str], bands: int = 16) -> set[int]:
    """Rensa's deduplicator row by row with the settings of its documentation, on our n-grams and threshold."""
    keeper = rensa.RMinHashDeduplicator(threshold=JACCARD, num_perm=128, use_lsh=True, num_bands=bands)
    dropped = set()
    for number, text in enumerate(texts):
        signature = rensa.RMinHash(num_perm=128, seed=42)
        signature.update(list(iterate_ngrams(text, NGRAM)))
        if not keeper.add(str(number), signature):
            dropped.add(number)
    return dropped


def dedup_with_rensa_words(texts: list[str]) -> set[int]:
    """Rensa's first example: words split at white space, and texts with one and the same signature."""
    known = set()
    dropped = set()
    for number, text in enumerate(texts):
        signature = rensa.RMinHash(num_perm=128, seed=42)
        signature.update(text.split())
        told = tuple(signature.digest())
        if told in known:
            dropped.add(number)
        known.add(told)
    return dropped


def dedup_with_rensa_in_one_shot(texts: list[str]) -> set[int]:
    """Rensa's batch form: flags of all texts that share a band with any other, nothing verified."""
    bands, rows = choose_bands(JACCARD, PERMUTATIONS)
    sets = [list(iterate_ngrams(text, NGRAM)) for text in texts]
    matrix = rensa.RMinHash.digest_matrix_from_token_sets(sets, bands * rows, 42)
    flags = rensa.RMinHashLSH(JACCARD, bands * rows, bands).query_duplicate_flags_matrix_one_shot(matrix)
    return {number for number, flag in enumerate(flags) if flag}


LIBRARIES: dict[str, Callable[[list[str]], set[int]]] = {
    "datasketch": dedup_with_datasketch,
    "rensa, deduplicator": dedup_with_rensa,
    "rensa, equal signatures": dedup_with_rensa_words,
    "rensa, one-shot flags": dedup_with_rensa_in_one_shot,
}


# ------------------------------------------------------------------------------------------- functions to compare


def gather_functions(wanted: int) -> list[str]:
    """Functions and methods of the standard library and all installed packages, of three lines or more."""
    names = sorted({found.metadata["Name"] for found in metadata.distributions() if found.metadata["Name"]})
    sources = ["stdlib", *(f"package:{name}" for name in names)]
    random.Random(0).shuffle(sources)
    found = list(islice(chain.from_iterable(map(iterate_functions, sources)), 2 * wanted))
    return random.Random(0).sample(found, min(wanted, len(found)))


def iterate_functions(source: str) -> Iterator[str]:
    """Yield the functions of a source; a source without Python files has none."""
    try:
        files = iterate_source_files(SeedSettings(sources=[source]))
    except SourceError:
        return
    for file in files:
        if not isinstance(file, SourceFile):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                tree = ast.parse(file.text)
            except (SyntaxError, ValueError):
                continue
        text = file.text.decode("utf-8", "replace") if isinstance(file.text, bytes) else file.text
        lines = text.splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 2:
                yield "\n".join(lines[node.lineno - 1 : node.end_lineno])


if __name__ == "__main__":
    main()
