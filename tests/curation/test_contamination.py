"""Copies of benchmark problems are found in rows; clean code and short phrases are not."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcodealign.benchmarks.texts import MIN_WORDS, count_words, load_benchmark_texts
from selfcodealign.curation.contamination import Decontaminator
from selfcodealign.curation.functions import extract_seeds
from selfcodealign.errors import BenchmarkError, SourceError, UserError
from selfcodealign.rows import Seed, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources import iterate_source_files
from tests.support.places import DATA

REAL = {
    "humaneval/HumanEval.jsonl.gz": 164,
    "humanevalplus/HumanEvalPlus-v0.1.10.jsonl.gz": 164,
    "mbpp/mbpp.jsonl": 974,
    "mbpp/sanitized-mbpp.json": 427,
    "mbppplus/MbppPlus-v0.2.0.jsonl.gz": 378,
    "evoeval/EvoEval_tool_use.jsonl.gz": 100,
    "evoeval/EvoEval_difficult.jsonl.gz": 100,
    "classeval/ClassEval_data.json.gz": 100,
    "canitedit/CanItEdit.jsonl": 105,
    "livecodebench/code_eval_live_code_bench_v1.jsonl": 3,
    "bigcodebench/BigCodeBench.jsonl.gz": 1140,
}
real = pytest.mark.skipif(not DATA.is_dir(), reason="the real benchmarks lie in ../shared/data")

PROMPT = '''def count_valleys(path: str) -> int:
    """Count the valleys that a hiker walks through on a path of ups and downs.
    >>> count_valleys("DU")
    1
    """
'''
SOLUTION = """    level, valleys = 0, 0
    for step in path:
        level += 1 if step == "U" else -1
        valleys += step == "U" and level == 0
    return valleys
"""
ROW = {"task_id": "Own/0", "prompt": PROMPT, "canonical_solution": SOLUTION}


def decontaminate(folder: Path, *rows: dict[str, Any]) -> Decontaminator:
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return Decontaminator.load([str(path)])


@pytest.mark.parametrize(
    "row",
    [
        "Count the valleys that a hiker walks through on a path of ups and downs.",
        "Please write this:\n\n# count THE valleys that a hiker\twalks through on a path\n of ups and downs. Thanks!",
        f"```python\ndef solve(path):\n{SOLUTION}```",
        SOLUTION.replace(" = ", "=").replace("    ", "\t"),
    ],
)
def test_a_copy_is_found_whatever_its_layout(tmp_path: Path, row: str):
    """Docstring without examples, or solution; white space and case aside."""
    assert decontaminate(tmp_path, ROW).find(row) == ("own", "Own/0")


@pytest.mark.parametrize(
    "row",
    [
        "",
        "Count the valleys",
        "Count the valleys that a hiker walks through on a road of ups and downs.",
        SOLUTION.replace("level == 0", "level == 1"),
        "def count_valleys(path: str) -> int:\n    return 1",
    ],
)
def test_what_differs_is_not_found(tmp_path: Path, row: str):
    """A changed word or operator, a part, or only the function's name is not a copy."""
    assert decontaminate(tmp_path, ROW).find(row) is None


def test_trivially_short_texts_do_not_count(tmp_path: Path):
    """The solution `return x + y` is no evidence; the docstring with its examples is."""
    prompt = 'def add(x: int, y: int):\n    """Add two numbers x and y\n    >>> add(2, 3)\n    5\n    """\n'
    known = decontaminate(tmp_path, {"task_id": "a", "prompt": prompt, "canonical_solution": "    return x + y\n"})
    assert known.find("def plus(x, y):\n    return x + y\n") is None
    assert known.find("Add two numbers x and y") is None
    assert known.find('"""Add two numbers x and y\n>>> add(2, 3)\n5\n"""') == ("own", "a")


def test_wording_around_the_tasks_does_not_count(tmp_path: Path):
    """A paragraph that several problems share is no evidence; a unique paragraph is."""
    frame = "You are a very good programmer. " * 5
    own = [" ".join(f"{word}{number}" for word in "abcdefghijklmnopqrstuvwxyz") for number in range(2)]
    rows = [{"id": number, "content": f"{frame}\n\n{text}\n\nGood luck."} for number, text in enumerate(own)]
    known = decontaminate(tmp_path, *rows)
    assert known.find(frame) is None
    assert known.find(f"Instruction: {own[1]}") == ("own", "1")


def test_every_file_format_is_read(tmp_path: Path):
    """The same task from JSON Lines, JSON, compressed and Parquet files, and through `datasets`."""
    text = json.dumps(ROW)
    (tmp_path / "a.jsonl").write_text(text + "\n\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "c.json").write_text(f"[{text}]")
    (tmp_path / "d.json").write_text(f'{{"first": {text}}}')
    (tmp_path / "hub").mkdir()
    for path in (tmp_path / "e.parquet", tmp_path / "hub" / "test.parquet"):
        pq.write_table(pa.Table.from_pylist([ROW]), path)
    sources = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl.gz", "c.json", "d.json", "e.parquet")]
    found = [load_benchmark_texts(source) for source in [*sources, f"hub:{tmp_path / 'hub'}"]]
    assert [benchmark.name for benchmark in found] == ["a", "b", "c", "d", "e", "hub"]
    assert all(benchmark.tasks == found[0].tasks for benchmark in found)


def test_describes_what_rows_were_compared_with(tmp_path: Path):
    """Name, exact version and size of each benchmark, for the data-set card."""
    known = decontaminate(tmp_path, ROW, {**ROW, "task_id": "Own/1"})
    digest = hashlib.sha256((tmp_path / "own.jsonl").read_bytes()).hexdigest()
    assert known.describe() == [{"name": "own", "version": f"sha256 {digest}", "tasks": 2, "texts": 4}]


def _write(name: str, content: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    return make


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda folder: str(folder / "HumanEvol.jsonl"), 'does not exist; did you mean "HumanEval.jsonl"'),
        (lambda folder: str(folder), "does not exist"),
        (_write("a.jsonl", b'{"prompt": "x"}\n{"prom'), "a.jsonl"),
        (_write("a.jsonl", b""), "a.jsonl"),
        (_write("a.jsonl.gz", b"not gzip"), "a.jsonl.gz"),
        (_write("a.parquet", b"PAR1"), "a.parquet"),
        (_write("a.json", b'[{"col": 1, "other": "x"}]'), "a has no field with a task's text.*it has col, other"),
        (lambda folder: f"hub:{folder}", "cannot open data set"),
    ],
)
def test_a_benchmark_that_cannot_be_read_is_refused(tmp_path: Path, source: Callable[[Path], str], message: str):
    """One line names the file and what is wrong; nothing is silently compared with less."""
    (tmp_path / "HumanEval.jsonl").touch()
    with pytest.raises((BenchmarkError, SourceError), match=message) as caught:
        Decontaminator.load([source(tmp_path)])
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def all_real() -> Decontaminator:
    return Decontaminator.load(str(DATA / name) for name in REAL)


@real
@pytest.mark.parametrize("name", REAL)
def test_real_benchmarks_have_texts_for_every_task(name: str):
    """Each format's fields are known, so every problem has texts."""
    benchmark = load_benchmark_texts(str(DATA / name))
    assert len(benchmark.tasks) == REAL[name]
    assert [task for task, texts in benchmark.tasks if not texts] == []
    assert all(count_words(text) >= MIN_WORDS for _, texts in benchmark.tasks for text in texts)


@real
def test_planted_real_tasks_are_found(all_real: Decontaminator):
    """Every HumanEval prompt and every MBPP question is found inside a row, with another layout."""
    lines = gzip.decompress((DATA / "humaneval/HumanEval.jsonl.gz").read_bytes()).splitlines()
    texts = [json.loads(line)["prompt"] for line in lines]
    texts += [json.loads(line)["text"] for line in (DATA / "mbpp/mbpp.jsonl").read_text("utf-8").splitlines()]
    missed = [text for text in texts if all_real.find(f"### Task\n{text.upper().replace(' ', '  ')}\nEnd") is None]
    assert missed == []


@real
def test_clean_code_is_left_alone(all_real: Decontaminator):
    """No function of the standard library is taken for a benchmark task."""
    settings = SeedSettings(sources=["stdlib"])
    files = (file for file in iterate_source_files(settings) if isinstance(file, SourceFile))
    seeds = [row for file in files for row in extract_seeds(file, settings) if isinstance(row, Seed)]
    assert len(seeds) >= 200
    assert [(seed.function, found) for seed in seeds if (found := all_real.find(seed.seed))] == []
