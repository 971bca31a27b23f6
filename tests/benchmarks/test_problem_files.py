"""Problem files: every format, named versions, and errors that say what to do."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from selfcodealign.benchmarks.catalogue import BENCHMARKS, find_benchmark
from selfcodealign.benchmarks.problem_files import Source, load_rows
from selfcodealign.errors import BenchmarkError
from tests.support.places import DATA as SHARED
from tests.support.places import find_shared

ROWS = [{"task_id": "a/0", "x": [1, float("inf")]}, {"task_id": "a/1", "x": []}]
TEXT = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A release page that holds one file; the cache is empty."""

    class Page(BaseHTTPRequestHandler):
        requests = 0

        def do_GET(self) -> None:
            Page.requests += 1
            found = self.path == "/v1/rows.jsonl.gz"
            self.send_response(200 if found else 404)
            self.end_headers()
            if found:
                self.wfile.write(gzip.compress(TEXT.encode()))

        def log_message(self, format: str, *args: object) -> None: ...

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    http = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "json", "json.gz", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    """JSON Lines (with Python's Infinity), one JSON list, gzipped or not, Parquet."""
    path = tmp_path / f"rows.{kind}"
    text = json.dumps(ROWS) if kind.startswith("json.") or kind == "json" else TEXT
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    else:
        path.write_bytes(gzip.compress(text.encode()) if kind.endswith("gz") else text.encode())
    assert load_rows("a", Source(), path).rows == ROWS


def test_the_version_is_named_by_the_hash_of_the_unpacked_file(tmp_path: Path) -> None:
    """Packed or not, the same text is the same version; another text is an unknown one."""
    md5 = hashlib.md5(TEXT.encode()).hexdigest()
    source = Source(versions={md5: "A v1"})
    for name, data in (("a.jsonl", TEXT.encode()), ("a.jsonl.gz", gzip.compress(TEXT.encode()))):
        (tmp_path / name).write_bytes(data)
        assert (load_rows("a", source, tmp_path / name).version, md5) == (
            "A v1",
            load_rows("a", source, tmp_path / name).md5,
        )
    (tmp_path / "b.jsonl").write_text(TEXT + "\n" + TEXT)
    assert "unknown version" in load_rows("a", source, tmp_path / "b.jsonl").version


def test_a_release_file_is_fetched_once(server: str) -> None:
    """The second time it comes from the cache, also when the page is gone."""
    source = Source(url=f"{server}/v1/rows.jsonl.gz")
    assert load_rows("a", source, None).rows == ROWS
    assert load_rows("a", source, None).rows == ROWS


def test_what_cannot_be_fetched_names_the_option_for_a_local_file(server: str) -> None:
    """A page that is not there and a host that does not answer both end in one line naming --problems."""
    for url in (f"{server}/v2/rows.jsonl.gz", "http://127.0.0.1:9/v1/rows.jsonl.gz"):
        with pytest.raises(BenchmarkError, match="--problems a=FILE"):
            load_rows("a", Source(url=url), None)


def test_the_hub_out_of_reach_names_the_option_for_a_local_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both ways of reading from the hub fail in one line."""
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    for source in (Source(hub="nobody/nothing", files=("x.jsonl",)), Source(hub="nobody/nothing")):
        with pytest.raises(BenchmarkError, match="--problems a=FILE"):
            load_rows("a", source, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.jsonl is no problem file"),
        ("[1, 2]\n", "x.jsonl:1: a JSON list"),
        ("not json\n", "x.jsonl:1: not JSON"),
        ('{"a": 1}\n{"a"\n', "x.jsonl:2: not JSON"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """No rows, rows that are no objects, no JSON: with the line."""
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=message):
        load_rows("a", Source(), path)
    with pytest.raises(BenchmarkError, match="cannot read"):
        load_rows("a", Source(), tmp_path / "missing.jsonl")


def test_unknown_benchmarks_get_a_suggestion() -> None:
    """The closest name is offered."""
    with pytest.raises(BenchmarkError, match=r'did you mean "humaneval\+?"'):
        find_benchmark("humanevl")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_refuses_another_ones_file(name: str) -> None:
    """Every benchmark notices rows that are not its own, and says which field is missing."""
    benchmark = find_benchmark(name)
    assert benchmark.name == name
    with pytest.raises(BenchmarkError, match=r"no problem file of|needs EvalPlus"):
        benchmark.problems([{"id": 1, "question": "?"}])


FILES = {
    "humaneval": ["humaneval/HumanEval.jsonl.gz"],
    "humaneval+": ["humanevalplus/HumanEvalPlus-v0.1.9.jsonl.gz", "humanevalplus/HumanEvalPlus-v0.1.10.jsonl.gz"],
    "mbpp": ["mbpp/mbpp.jsonl", "mbpp/sanitized-mbpp.json"],
    "mbpp+": ["mbppplus/MbppPlus-v0.1.0.jsonl.gz", "mbppplus/MbppPlus-v0.2.0.jsonl.gz"],
    "livecodebench": ["livecodebench/code_eval_live_code_bench_v1.jsonl"],
    "classeval": ["classeval/ClassEval_data.json.gz"],
    "canitedit": ["canitedit/CanItEdit.jsonl"],
    "bigcodebench": ["bigcodebench/BigCodeBench.jsonl.gz"],
    "cruxeval-i": ["cruxeval/cruxeval.jsonl"],
    "cruxeval-o": ["cruxeval/cruxeval.jsonl"],
}
# EvalPlus's files serve the original benchmarks, too.
FILES["humaneval"] += FILES["humaneval+"]
FILES["mbpp"] += FILES["mbpp+"]
FILES |= {
    f"evoeval-{name.replace('_', '-')}": [f"evoeval/EvoEval_{name}.jsonl.gz"]
    for name in ("difficult", "creative", "subtle", "combine", "tool_use", "verbose", "concise")
}


@pytest.mark.skipif(not SHARED.exists(), reason="needs the real data in ../shared, which are not here")
@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in FILES.items() for path in paths])
def test_published_files_load_and_their_version_is_known(name: str, path: str) -> None:
    """Each problem has a different id and something to ask, and the file's version is recognised."""
    benchmark = find_benchmark(name)
    file = load_rows(name, benchmark.source, find_shared(path))
    problems = benchmark.problems(file.rows)
    assert "unknown" not in file.version
    assert len({problem.task_id for problem in problems}) == len(problems) >= len(file.rows)
    assert all(problem.instruction and benchmark.prompt(problem, "chat").text for problem in problems)
