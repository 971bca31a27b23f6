"""Compare the throughput of near-deduplication with datasketch, in functions per second, in one run.

    .venv/bin/python bench/near_dedup.py [--functions 50000] [--datasketch 2000]

The texts are functions of the installed packages, of three lines or more; if there are too few, copies with changed
words are added. Datasketch gets a part of them; rates are per function.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import resource
import time
import warnings
from collections.abc import Iterator
from importlib import metadata
from itertools import chain, islice

from selfcodealign.curation.near_duplicates import choose_bands, iterate_ngrams, near_duplicates
from selfcodealign.errors import SourceError
from selfcodealign.rows import SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources import iterate_source_files

JACCARD, PERMUTATIONS, NGRAM = 0.5, 250, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=50_000)
    parser.add_argument("--datasketch", type=int, default=2_000, help="functions given to datasketch")
    options = parser.parse_args()
    texts = gather_functions(options.functions)
    start = time.perf_counter()
    dropped = near_duplicates(
        ((str(number), text) for number, text in enumerate(texts)),
        jaccard=JACCARD,
        permutations=PERMUTATIONS,
        ngram=NGRAM,
    )
    ours = len(texts) / (time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    part = texts[: options.datasketch]
    theirs_dropped = dedup_with_datasketch(part)
    theirs = len(part) / (time.perf_counter() - start)
    again = near_duplicates(
        ((str(number), text) for number, text in enumerate(part)),
        jaccard=JACCARD,
        permutations=PERMUTATIONS,
        ngram=NGRAM,
    )
    words = sum(len(re.findall(r"\w+", text)) for text in texts) / len(texts)
    print(
        f"functions                {len(texts):>10,} of {words:.0f} words on average; {len(dropped):,} near-duplicates"
    )
    print(f"selfcodealign            {ours:>10,.0f} functions/s, peak memory {peak:,.0f} MiB (texts included)")
    print(f"datasketch               {theirs:>10,.0f} functions/s (on {len(part):,})")
    print(f"ratio                    {ours / theirs:>10.1f}")
    agree = len({int(one) for one in again} & theirs_dropped) / max(1, len(set(map(int, again)) | theirs_dropped))
    print(f"same drops on that part  {agree:>10.1%}")


def dedup_with_datasketch(texts: list[str]) -> set[int]:
    """Apply the same greedy rule with datasketch's signatures and index and the same bands; verify candidates."""
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


def gather_functions(wanted: int) -> list[str]:
    """Gather functions and methods of the standard library and all installed packages, then changed copies."""
    names = sorted({found.metadata["Name"] for found in metadata.distributions() if found.metadata["Name"]})
    found = list(
        islice(chain.from_iterable(map(iterate_functions, ["stdlib", *(f"package:{n}" for n in names)])), wanted)
    )
    random_ = random.Random(0)
    originals = len(found)
    while len(found) < wanted:
        parts = re.split(r"(\w+)", found[random_.randrange(originals)])
        share = random_.random()
        found.append("".join(f"{part}_" if part and random_.random() < share * 0.2 else part for part in parts))
    return found


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
