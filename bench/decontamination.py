"""Measure decontamination: recall on planted tasks, false positives among functions of libraries, rows a second.

    .venv/bin/python bench/decontamination.py FILE... [--functions 100000] [--packages DIR] [--names]

FILEs are benchmark files. Every task is planted among the library functions in five forms (see
`selfcodealign.curation.contamination.planting`): its code as it is, laid out otherwise, with other comments, with other
names, each without its description, and its description alone in a chat. The library functions, of the standard library
and of DIR (default: this interpreter's site-packages), hold no benchmark: what is found there is a false positive, and
is printed to be looked at. The rate is that of one process.
"""

from __future__ import annotations

import argparse
import ast
import random
import sys
import sysconfig
import textwrap
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from selfcodealign.curation.contamination import Decontaminator
from selfcodealign.curation.contamination.planting import FORMS, measure_recall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--functions", type=int, default=100_000)
    parser.add_argument("--packages", action="append", help="folder of packages; may be given several times")
    parser.add_argument("--names", action="store_true", help="name every task that is too generic")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    start = time.process_time()
    known = Decontaminator.load(options.files)
    print(
        f"{len(known.benchmarks)} benchmarks read and indexed in {time.process_time() - start:.1f} s of processor time"
    )
    _print_recall(known, names=options.names)
    roots = [Path(ast.__file__).parent, *map(Path, options.packages or [sysconfig.get_path("purelib")])]
    _print_false_positives(known, roots, options.functions)


def _print_recall(known: Decontaminator, *, names: bool) -> None:
    print(f"\n{'found of planted':26}" + "".join(f"{form:>17}" for form in FORMS) + "   too generic: text, tree")
    found, planted = Counter[str](), Counter[str]()
    for benchmark in known.benchmarks:
        recall = measure_recall(known, benchmark)
        found, planted = found + recall.found, planted + recall.planted
        generic = known.generic[benchmark.name]
        shown = "".join(f"{recall.found[form]:>9} of {recall.planted[form]:4}" for form in FORMS)
        print(f"{benchmark.name:26}{shown}   {len(generic['text'])}, {len(generic['tree'])}")
        for form, missed in recall.missed.items():
            print(f"    missed, {form}: {' '.join(missed)}")
        if names:
            print(f"    generic trees: {' '.join(generic['tree'])}\n    generic texts: {' '.join(generic['text'])}")
    print(f"{'all':26}" + "".join(f"{found[form] / max(1, planted[form]):>17.2%}" for form in FORMS))


def _print_false_positives(known: Decontaminator, roots: list[Path], most: int) -> None:
    functions = list(_gather(roots, most))
    start = time.process_time()
    hits = [(where, hit) for where, text in functions if (hit := known.find(text))]
    rate = len(functions) / (time.process_time() - start)
    start = time.process_time()
    for _, text in functions:
        _parse(text)
    parsing = len(functions) / (time.process_time() - start)
    size = sum(len(text) for _, text in functions) / len(functions)
    print(
        f"\n{len(functions):,} library functions of {size:.0f} characters: {rate:,.0f} rows/s, parsing {parsing:,.0f}"
    )
    print(f"false positives: {len(hits)} ({len(hits) / len(functions):.3%})")
    for where, hit in hits:
        print(f"  {where}\n    {hit}")


def _gather(roots: list[Path], most: int) -> Iterator[tuple[str, str]]:
    """Functions of at least three lines of files in random order, all of the first root's; copies once."""
    seen: set[str] = set()
    for number, root in enumerate(roots):
        files = sorted(path for path in root.rglob("*.py") if number or "site-packages" not in path.parts)
        random.Random(0).shuffle(files)
        last = len(seen) + (most - len(seen)) // (len(roots) - number)
        for path in files:
            for line, text in _functions(path):
                if len(seen) >= last:
                    break
                if text not in seen:
                    seen.add(text)
                    yield f"{path.relative_to(root)}:{line}", text


def _functions(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return
    tree = _parse(text)
    lines = text.splitlines(keepends=True)
    todo: list[ast.stmt] = list(tree.body) if tree else []
    for node in todo:
        if isinstance(node, ast.ClassDef):
            todo += node.body
        elif isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= 2:
            yield node.lineno, textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))


def _parse(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


if __name__ == "__main__":
    sys.exit(main())
