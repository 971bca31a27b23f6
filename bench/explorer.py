"""Measure the explorer on a large run: pages, SQL, and the server's memory.

    python bench/explorer.py                        # 1,000,000 responses
    python bench/explorer.py --responses 50000 --keep /tmp/large

The run is synthetic: rows of realistic size, drawn by DuckDB from a fixed seed, in the layout of real runs. With
`--keep` it stays in this folder, and the next call uses it again. The server runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import httpx

from selfcodealign.rows import Concepts, Instruction, Response, Row, Seed
from selfcodealign.run_folder.shards import schema_of
from selfcodealign.stages.concepts import CONCEPTS
from selfcodealign.stages.instructions import INSTRUCTIONS
from selfcodealign.stages.responses import RESPONSES
from selfcodealign.stages.seeds import SEEDS

SHARD_ROWS = 10_000
REPEATS = 5
#: Rows of other stages for one response.
STAGES: list[tuple[str, type[Row], str, tuple[str, ...], float]] = [
    ("seeds", Seed, "source_id", SEEDS.columns, 0.05),
    ("concepts", Concepts, "seed_id", CONCEPTS.columns, 0.05),
    ("instructions", Instruction, "concepts_id", INSTRUCTIONS.columns, 0.1),
    ("responses", Response, "instruction_id", RESPONSES.columns, 1.0),
]
#: Words of the texts: a text of n words has about 7 n bytes, and compresses like text.
_WORDS = re.findall(
    r"\w+",
    "def return value list total index result count name items key function class test assert range string number path "
    "error self parse split join sorted filter yield async await import raise except lambda tuple buffer token shape",
)


def text(words: int, salt: int) -> str:
    """SQL for a text of about so many words, different in each row."""
    listed = "[" + ", ".join(f"'{word}'" for word in _WORDS) + "]"
    one = f"{listed}[1 + (hash(i, x, {salt}) % {len(_WORDS)})::INT] || ' ' || (hash(i, x, {salt + 1}) % 1000)"
    return f"list_aggregate(list_transform(range({words}), lambda x: {one}), 'string_agg', chr(10))"


def identity(salt: str, every: int = 1) -> str:
    return f"substr(md5('{salt}' || (i // {every})), 1, 16)"


#: SQL for the fields that matter; others are empty.
FIELDS = {
    "seed_id": identity("seed", 20),
    "source_id": identity("file", 20),
    "seed": text(50, 1),
    "function": "'function_' || (hash(i) % 5000)",
    "origin": "'package_' || (hash(i, 1) % 300) || '==1.0'",
    "licence": "['MIT', 'Apache-2.0', 'BSD-3-Clause'][1 + (hash(i, 2) % 3)::INT]",
    "kind": "'functions'",
    "concepts_id": identity("concepts", 20),
    "concepts": "list_transform(range(5), lambda x: 'concept ' || (hash(i // 20, x) % 3000))",
    "instruction_id": identity("instruction", 10),
    "category": "['function', 'class', 'program'][1 + (hash(i, 3) % 3)::INT]",
    "language": "'Python'",
    "difficulty": "['easy', 'medium', 'hard'][1 + (hash(i, 4) % 3)::INT]",
    "instruction": text(30, 3),
    "response_id": identity("response"),
    "sample": "i % 10",
    "completion": text(90, 5),
    "response": text(60, 7),
    "tests": text(30, 9),
    "status": "if(kept, 'passed', ['failed', 'error', 'timeout'][1 + (hash(i, 6) % 3)::INT])",
    "mutation_score": "if(kept, (hash(i, 7) % 1000) / 1000.0, 'NaN'::DOUBLE)",
    "proof": "if(kept, 'split', '')",
    "seconds": "(hash(i, 8) % 1000) / 1000.0",
}
_EMPTY = {"string": "''", "int64": "0", "double": "'NaN'::DOUBLE", "bool": "NULL::BOOLEAN"}


def write_run(run: Path, responses: int) -> None:
    """Write a run of finished stages."""
    run.mkdir(parents=True)
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "1GB"})
    for place, (name, kind, parent, columns, share) in enumerate(STAGES):
        (run / name).mkdir()
        count, kept_of_10 = int(responses * share), 4 if name == "responses" else 9
        kept = dropped = 0
        for number, first in enumerate(range(0, count, SHARD_ROWS), 1):
            last = min(first + SHARD_ROWS, count)
            for is_kept in (True, False):
                path = run / name / f"{'kept' if is_kept else 'dropped'}-main-{number:06d}.parquet"
                chosen = f"hash(i, 99) % 10 {'<' if is_kept else '>='} {kept_of_10}"
                query = f"SELECT {_listed(kind, parent, is_kept)} FROM (SELECT range AS i, {is_kept} AS kept "
                query += f"FROM range({first}, {last})) WHERE {chosen}"
                found = connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)").fetchone()
                written = found[0] if found else 0
                kept, dropped = (kept + written, dropped) if is_kept else (kept, dropped + written)
        described = {"kind": kind.__name__, "row_id": kind.id_field, "parent": parent, "fields": kind.field_names()}
        described |= {"after": STAGES[place - 1][0] if place else None, "columns": columns}
        books = {"entered": count, "kept": kept, "dropped": {"failed": dropped}}
        state = {"rows": described, "decided_by": {}, "books": books}
        (run / name / "stage.json").write_text(json.dumps(state))
    (run / "run.json").write_text(json.dumps({"form": 3, "journey": [one[0] for one in STAGES]}))


def _listed(kind: type[Row], parent: str, is_kept: bool) -> str:
    types = {field.name: str(field.type) for field in schema_of(kind)}
    values = {name: FIELDS.get(name) or _EMPTY.get(types[name], "[]::VARCHAR[]") for name in types}
    if not is_kept:
        values |= {"parent": values[parent], "reason": "'failed'", "detail": "'assert total == 3'"}
    return ", ".join(f'{value} AS "{name}"' for name, value in values.items())


class Explorer:
    """The real command in its own process."""

    def __init__(self, run: Path) -> None:
        command = [sys.executable, "-m", "selfcodealign", "view", str(run), "--no-open"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        address = self.process.stdout.readline().strip()
        self.http = httpx.Client(base_url=address.partition("/?")[0], timeout=120, follow_redirects=True)
        self.http.get(address).raise_for_status()

    def peak(self) -> float:
        """The most resident memory so far, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", status)
        return int(found[1]) / 1024 if found else 0.0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def measure(explorer: Explorer) -> None:
    """Print the median and the longest of some requests, and what they took of memory."""
    stage = "/stage/responses"
    pages = {
        "overview": "/",
        "live counts": "/live",
        "first page": stage,
        "page 10,000": f"{stage}?page=10000",
        "status and category": f"{stage}?f=status&o=is&v=failed&f=category&o=is&v=class",
        "the same, page 1,000": f"{stage}?f=status&o=is&v=failed&f=category&o=is&v=class&page=1000",
        "mutation score at least 0.99": f"{stage}?f=mutation_score&o=min&v=0.99",
        "sorted by mutation score": f"{stage}?sort=mutation_score&down=1",
        "sorted, page 5,000": f"{stage}?sort=mutation_score&down=1&page=5000",
        "a concept": f"{stage}?f=concepts&o=is&v=concept%2017",
        "search, frequent": f"{stage}?q=lambda",
        "search, not in any text": f"{stage}?q=zebra",
        "count of a search": f"{stage}/count?q=zebra",
    }
    for name, path in pages.items():
        _time(name, lambda path=path: explorer.http.get(path), explorer)
    origin = {"Origin": str(explorer.http.base_url).rstrip("/")}
    for name, query in {
        "SQL: status": "SELECT status, count(*) FROM responses GROUP BY ALL",
        "SQL: concepts": "SELECT c, count(*) FROM (SELECT unnest(concepts) AS c FROM responses) GROUP BY ALL LIMIT 20",
        "SQL: one text": "SELECT count(*) FROM responses WHERE contains(response, 'zebra')",
    }.items():
        post = lambda query=query: explorer.http.post("/sql", data={"query": query}, headers=origin)  # noqa: E731
        _time(name, post, explorer)
    began, size = time.perf_counter(), 0
    with explorer.http.stream("GET", f"{stage}/rows.jsonl?f=status&o=is&v=passed") as answer:
        for piece in answer.iter_raw():
            size += len(piece)
    print(f"{'download of passed rows':32} {size / 2**20:8.0f} MiB {time.perf_counter() - began:8.1f} s", end="")
    print(f"  server {explorer.peak():5.0f} MiB")


def _time(name: str, ask: object, explorer: Explorer) -> None:
    assert callable(ask)
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        ask().raise_for_status()
        seconds.append(time.perf_counter() - began)
    print(f"{name:32} p50 {statistics.median(seconds):6.2f} s  max {max(seconds):6.2f} s", end="")
    print(f"  server {explorer.peak():5.0f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--responses", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="write the run here, or use the one that is here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = given.keep or Path(folder) / "run"
        if not (run / "run.json").exists():
            began = time.perf_counter()
            write_run(run, given.responses)
            size = sum(path.stat().st_size for path in run.rglob("*.parquet"))
            print(
                f"wrote {given.responses:,} responses, {size / 2**20:.0f} MiB, in {time.perf_counter() - began:.0f} s"
            )
        explorer = Explorer(run)
        try:
            measure(explorer)
        finally:
            explorer.stop()


if __name__ == "__main__":
    main()
