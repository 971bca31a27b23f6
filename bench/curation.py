"""From Python files to curated seeds: `selfcodealign seeds` beside the published chain, on the same files, in one run.

    python bench/curation.py SOURCE [SOURCE ...] --tools VENV [--files 400]

SOURCE is what `selfcodealign seeds` takes. VENV is an environment with the tools of the published chain:

    python3 -m venv VENV && VENV/bin/pip install autoimport 'pyright[nodejs]'

The published chain (SelfCodeAlign's seed_gathering) is done here as it describes itself: documented top-level
functions, a `return` with a value, imports guessed by autoimport in one process per core, Pyright on batches of 250,
then its words, imports, lengths and arguments as substrings. Its near-dedup, decontamination and judge are left out;
ours runs all its stages that need no model, near-dedup included. Times are wall time; both results are checked by ruff
for undefined names.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import duckdb

from selfcodealign.errors import SourceError
from selfcodealign.recipe import default_recipe
from selfcodealign.rows import SourceFile
from selfcodealign.sources import iterate_source_files

BATCH = 250
BAD_WORDS = ("todo", "fixme", "bug")
BAD_MODULES = ("argparse", "os", "subprocess", "sys", "setuptools", "distutils", "matplotlib", "seaborn")
#: Runs in the tools' environment: one function per line in, one per line out.
AUTOIMPORT = """
import json, signal, sys
import autoimport
def give_up(number, frame):
    raise TimeoutError
signal.signal(signal.SIGALRM, give_up)
for line in sys.stdin:
    code = json.loads(line)
    signal.alarm(10)
    try:
        code = autoimport.fix_code(code)
    except Exception:
        pass
    signal.alarm(0)
    print(json.dumps(code))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--tools", type=Path, required=True, help="the environment with autoimport and pyright")
    parser.add_argument("--files", type=int, default=400, help="files of all sources together, drawn by their hash")
    parser.add_argument("--set", action="append", default=[], help="a setting of ours; may be repeated")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        files = Path(scratch, "files")
        count = copy_files(options.sources, files, options.files)
        print(f"{count:,} files", flush=True)
        begun = time.perf_counter()
        theirs = list(published_chain(files, options.tools))
        their_seconds = time.perf_counter() - begun
        print(f"published chain   {their_seconds:8.1f} s  {len(theirs):6,} seeds", flush=True)
        begun = time.perf_counter()
        ours = our_seeds(files, Path(scratch, "run"), options.set)
        our_seconds = time.perf_counter() - begun
        print(f"selfcodealign     {our_seconds:8.1f} s  {len(ours):6,} seeds")
        print(f"ratio             {their_seconds / our_seconds:8.1f}    {len(ours) / max(1, len(theirs)):6.2f}")
        print(f"undefined names (ruff): published {count_undefined(theirs)}, selfcodealign {count_undefined(ours)}")


def copy_files(sources: Sequence[str], folder: Path, most: int) -> int:
    """Write the files of all sources below `folder`, at most `most`, chosen by their ids."""
    settings = default_recipe([f"seeds.sources={json.dumps(list(sources))}"]).seeds
    try:
        found = sorted(
            (file for file in iterate_source_files(settings) if isinstance(file, SourceFile)), key=lambda file: file.id
        )[:most]
    except SourceError as error:
        raise SystemExit(str(error)) from None
    folder.mkdir()
    for file in found:
        content = file.text.encode("utf-8", "surrogatepass") if isinstance(file.text, str) else file.text
        (folder / f"{file.id}.py").write_bytes(content)
    return len(found)


def our_seeds(folder: Path, run: Path, settings: Sequence[str]) -> list[str]:
    """Curate with `selfcodealign seeds`; return the texts of the seeds."""
    given = [word for one in settings for word in ("--set", one)]
    command = [sys.executable, "-m", "selfcodealign", "seeds", str(folder), "-o", str(run), "-q"]
    subprocess.run([*command, "--set", 'seeds.licences=["any"]', *given], check=True, stdout=sys.stderr)
    last = json.loads((run / "run.json").read_text())["journey"][-1]
    query = f"SELECT seed FROM read_parquet('{run / last}/kept-*.parquet')"
    return [row[0] for row in duckdb.connect().execute(query).fetchall()]


def published_chain(folder: Path, tools: Path) -> Iterator[str]:
    """The published steps, in their order."""
    functions = sorted({one for path in sorted(folder.glob("*.py")) for one in documented_functions(path)})
    functions = [one for one in functions if returns_a_value(one)]
    imported = infer_imports(functions, tools)
    for start in range(0, len(imported), BATCH):
        for code in check_types(imported[start : start + BATCH], tools):
            if passes_filters(code):
                yield code


def documented_functions(path: Path) -> Iterator[str]:
    try:
        text = path.read_bytes().decode("utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = text.split("\n")
    for node in body:
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
            quoted = ast.get_source_segment(text, node.body[0]) or ""
            if quoted.startswith('"""'):
                yield "\n".join(lines[node.lineno - 1 : node.end_lineno])


def returns_a_value(code: str) -> bool:
    return any(isinstance(node, ast.Return) and node.value is not None for node in ast.walk(ast.parse(code)))


def infer_imports(functions: Sequence[str], tools: Path) -> list[str]:
    """autoimport, one process per core."""
    cores = os.cpu_count() or 1
    python = str(tools / "bin" / "python")
    with tempfile.TemporaryDirectory() as folder:
        workers = []
        for number in range(cores):
            given = Path(folder, f"{number}.jsonl")
            given.write_text("".join(f"{json.dumps(one)}\n" for one in functions[number::cores]))
            with given.open() as lines:
                workers.append(subprocess.Popen([python, "-c", AUTOIMPORT], stdin=lines, stdout=subprocess.PIPE))
        outputs = [worker.communicate()[0] for worker in workers]
    return [json.loads(line) for output in outputs for line in output.splitlines()]


def check_types(batch: Sequence[str], tools: Path) -> Iterable[str]:
    """Pyright on one folder of files; those without an error. Unresolved imports are warnings in its default mode."""
    files = {hashlib.sha1(code.encode()).hexdigest(): code for code in batch}
    with tempfile.TemporaryDirectory() as folder:
        for name, code in files.items():
            Path(folder, f"{name}.py").write_text(code)
        command = [str(tools / "bin" / "pyright"), *(f"{name}.py" for name in files)]
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600).stdout
    wrong = {Path(line.strip().split(":", 1)[0]).stem for line in said.splitlines() if " - error:" in line}
    return [code for name, code in files.items() if name not in wrong]


def passes_filters(code: str) -> bool:
    lower = code.lower()
    words = [*BAD_WORDS, *(f"{verb} {module}" for verb in ("import", "from") for module in BAD_MODULES)]
    without_arguments = any(line.startswith("def ") and "():" in line for line in code.split("\n"))
    return not any(word in lower for word in words) and len(code.split("\n")) <= 150 and not without_arguments


def count_undefined(seeds: Sequence[str]) -> int:
    """How many of these seeds use a name that is not defined, by ruff."""
    ruff = shutil.which("ruff") or str(Path(sys.executable).with_name("ruff"))
    with tempfile.TemporaryDirectory() as folder:
        for number, code in enumerate(seeds):
            Path(folder, f"{number}.py").write_text(code)
        command = [ruff, "check", "--isolated", "--select", "F821,F822,F823", "--output-format", "json", folder]
        found = json.loads(subprocess.run(command, capture_output=True, text=True).stdout or "[]")
    return len({one["filename"] for one in found})


if __name__ == "__main__":
    main()
