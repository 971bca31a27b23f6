"""Copies of benchmark problems are found in rows; clean code and short phrases are not."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcodealign.benchmarks.texts import load_benchmark_texts
from selfcodealign.curation.contamination import Decontaminator, Hit
from selfcodealign.curation.contamination.planting import FORMS, measure_recall
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

PROMPT = '''def count_valleys(hiking_path: str) -> int:
    """Count the valleys that a hiker walks through on a path of ups and downs.
    >>> count_valleys("DU")
    1
    """
'''
SOLUTION = """    level, valleys = 0, 0
    for step in hiking_path:
        level += 1 if step == "U" else -1
        valleys += step == "U" and level == 0
    return valleys
"""
LONG_ROW = {
    "task_id": "Own/0",
    "text": "Count the valleys that a hiker walks through on a path of ups and downs. A valley begins below the level "
    "of the sea, wherever the hiker descends from it, and ends as soon as the hiker has climbed back.",
}
ROW = {"task_id": "Own/0", "prompt": PROMPT, "canonical_solution": SOLUTION}


def decontaminate(folder: Path, *rows: dict[str, Any]) -> Decontaminator:
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return Decontaminator.load([str(path)])


def rule(hit: Hit | None) -> str:
    """The rule of a hit without its share; "" for none."""
    return hit.rule.rstrip("0123456789% ") if hit else ""


FUNCTION = PROMPT + SOLUTION
RENAMED = """def f(a):
    # Another comment.
    b, c = (0, 0)
    for d in a:
        b += (1 if d == 'U'
              else -1)
        c += d == "U" and b == 0
    return c
"""


@pytest.mark.parametrize(
    ("row", "found_by"),
    [
        ("Count the valleys that a hiker walks through on a path of ups and downs.", "text"),
        ("Write this:\n\n# count THE valleys, that a hiker\twalks through on a path\n of ups and downs.", "text"),
        (f"```python\ndef solve(hiking_path):\n{SOLUTION}```", "syntax tree"),
        (RENAMED, "syntax tree"),
        (f"class Hike:\n{indent(RENAMED, '    ')}", "syntax tree"),
        (f"def outer(x):\n{indent(RENAMED, '    ')}\n    return f(x)\n", "syntax tree"),
        (f"Explain this to me:\n```\n{RENAMED}```\nThanks!", "syntax tree"),
        (FUNCTION.split('"""')[0] + "return len(hiking_path)\n", "signature"),
        (LONG_ROW["text"].replace("begins", "starts").replace("path of", "trail of"), "near text"),
    ],
)
def test_a_task_is_found_by_the_rule_for_its_form(tmp_path: Path, row: str, found_by: str):
    """A description in any layout, the solution under other names, nested or fenced, a stub, a few other words."""
    hit = decontaminate(tmp_path, LONG_ROW if found_by == "near text" else ROW).find(row)
    assert rule(hit) == found_by
    assert hit is not None
    assert (hit.benchmark, hit.task) == ("own", "Own/0")


@pytest.mark.parametrize(
    "row",
    [
        "",
        "Count the valleys",
        "Count the hikers that walk through a valley.",
        RENAMED.replace("b == 0", "b == 1"),
        RENAMED.replace("else -1", "else -2"),
        RENAMED.replace("b += (", "b -= ("),
        "def count(path: str) -> int:\n    return 1",
        "```python\ndef broken(:\n```",
    ],
)
def test_what_differs_is_not_found(tmp_path: Path, row: str):
    """Another constant or operator, a part, or code that does not parse is no copy."""
    assert decontaminate(tmp_path, ROW).find(row) is None


def test_a_hit_keeps_both_texts(tmp_path: Path):
    """The dropped row says which rule found which task, and shows the benchmark's text beside the row's."""
    hit = decontaminate(tmp_path, ROW).find(RENAMED)
    assert hit is not None
    assert hit.theirs.startswith("def count_valleys(hiking_path: str)")
    assert hit.ours.startswith("def f(a):")
    assert str(hit).startswith("syntax tree: own Own/0; benchmark: 'def count_valleys(")


def test_a_short_text_counts_where_its_words_are_rare(tmp_path: Path):
    """There is no lower bound on length: five rare words are evidence, six common ones are not."""
    known = decontaminate(
        tmp_path,
        {"task_id": "rare", "text": "Transpose heptagonal sudoku lattices."},
        {"task_id": "common", "text": "Return the value of x."},
    )
    assert rule(known.find("Now transpose heptagonal sudoku lattices!")) == "text"
    assert known.find("Return the value of x.") is None
    assert known.generic["own"]["text"] == ["common"]


def test_generic_code_does_not_count(tmp_path: Path):
    """The solution `return x + y` is no evidence, and is named; the docstring with its examples is evidence."""
    prompt = (
        'def add(x: int, y: int):\n    """Add x and y\n    >>> add(2, 3)\n    5\n    >>> add(20, 30)\n    50\n    """\n'
    )
    known = decontaminate(tmp_path, {"task_id": "a", "prompt": prompt, "canonical_solution": "    return x + y\n"})
    assert known.find("def plus(x, y):\n    return x + y\n") is None
    assert known.find("Add x and y") is None
    assert rule(known.find(f"```\n{prompt}```")) == "text"
    assert known.generic["own"] == {"text": [], "tree": ["a"]}


def test_wording_around_the_tasks_does_not_count(tmp_path: Path):
    """A paragraph that several problems share is no evidence; a unique paragraph is."""
    frame = "You are a very good programmer. " * 5
    own = [" ".join(f"{word}{number}" for word in "abcdefghijklmnopqrstuvwxyz") for number in range(2)]
    rows = [{"id": number, "content": f"{frame}\n\n{text}\n\nGood luck."} for number, text in enumerate(own)]
    known = decontaminate(tmp_path, *rows)
    assert known.find(frame) is None
    hit = known.find(f"Instruction: {own[1]}")
    assert hit is not None
    assert (hit.benchmark, hit.task) == ("own", "1")


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
    assert known.describe() == [
        {"name": "own", "version": f"sha256 {digest}", "tasks": 2, "text is generic": 0, "tree is generic": 0}
    ]


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
def test_tasks_of_real_benchmarks_are_found_in_every_form(all_real: Decontaminator, name: str):
    """Each format's fields are known; code in four forms, and the description in a chat, is found by its own."""
    benchmark = next(one for one in all_real.benchmarks if name.split("/")[1].startswith(one.name))
    assert len(benchmark.tasks) == REAL[name]
    assert [task.task for task in benchmark.tasks if not task.prose] == []
    recall = measure_recall(all_real, benchmark, most=100)
    for form in FORMS:
        assert recall.found[form] >= 0.95 * recall.planted[form], recall.missed


@real
def test_clean_code_is_left_alone(all_real: Decontaminator):
    """Hardly a function of the standard library is taken for a benchmark task: at most one in a hundred."""
    settings = SeedSettings(sources=["stdlib"])
    files = (file for file in iterate_source_files(settings) if isinstance(file, SourceFile))
    seeds = [row for file in files for row in extract_seeds(file, settings) if isinstance(row, Seed)]
    assert len(seeds) >= 200
    found = [(seed.function, str(hit)) for seed in seeds if (hit := all_real.find(seed.seed))]
    assert len(found) <= 0.01 * len(seeds), found
