"""Write the data set: Parquet files that `datasets.load_dataset` reads, and a card that says how they were made."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfcodealign.errors import RunFolderError
from selfcodealign.rows import Example
from selfcodealign.run_folder.folder import Books

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
SCHEMA = pa.schema(
    {
        "instruction": TEXT,
        "response": TEXT,
        "messages": pa.list_(pa.struct({"role": TEXT, "content": TEXT})),
        "tests": TEXT,
        "concepts": pa.list_(TEXT),
        "category": TEXT,
        "difficulty": TEXT,
        "language": TEXT,
        "seed": TEXT,
        "function": TEXT,
        "origin": TEXT,
        "source_path": TEXT,
        "source_line": WHOLE,
        "commit": TEXT,
        "licence": TEXT,
        "mutation_score": REAL,
        "pass_rate": REAL,
        "samples": WHOLE,
        "seed_id": TEXT,
        "instruction_id": TEXT,
        "response_id": TEXT,
    }
)
#: Rows per file.
FILE_ROWS = 50_000


@dataclass(frozen=True)
class CardFacts:
    """The facts for the card that the rows do not hold."""

    recipe_toml: str
    run: Mapping[str, Any]
    funnel: Sequence[tuple[str, Books]]
    benchmarks: Sequence[Mapping[str, Any]]


def write_dataset(folder: Path, examples: Iterable[Example], count: int, facts: CardFacts) -> None:
    """Replace `folder`: data/train-*.parquet and README.md; a reader sees either the old or the new data set."""
    fresh = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        (fresh / "data").mkdir(parents=True)
        licences: Counter[str] = Counter()
        origins: Counter[str] = Counter()
        rows = iter(examples)
        files = max(1, -(-count // FILE_ROWS))
        for number in range(files):
            batch = list(islice(rows, FILE_ROWS))
            licences.update(row.licence for row in batch)
            origins.update(row.origin for row in batch)
            table = pa.Table.from_pylist([_columns(row) for row in batch], schema=SCHEMA)
            pq.write_table(table, fresh / "data" / f"train-{number:05d}-of-{files:05d}.parquet", compression="zstd")
        (fresh / "README.md").write_text(_card(count, licences, origins, facts), "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(fresh, folder)
    except OSError as error:
        raise RunFolderError(f"cannot write the data set to {folder}: {error.strerror or error}") from error


def _columns(row: Example) -> dict[str, Any]:
    columns = row.fields()
    columns["messages"] = [
        {"role": "user", "content": row.instruction},
        {"role": "assistant", "content": row.response},
    ]
    return {name: columns[name] for name in SCHEMA.names}


def _card(count: int, licences: Counter[str], origins: Counter[str], facts: CardFacts) -> str:
    model = facts.run.get("model", {})
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        "    path: data/train-*.parquet",
        "task_categories:",
        "- text-generation",
        "tags:",
        "- code",
        "- synthetic",
        "- selfcodealign",
        "---",
        "",
        "# Self-aligned code instructions",
        "",
        f"{count} instruction–response pairs that `{model.get('name', 'unknown')}` wrote. "
        "Every response passed tests written with it, in a sandbox, and its tests killed at least one mutant of "
        "the response where a mutation score is given. That is evidence of correctness, not proof.",
        "",
        "## How it was made",
        "",
        *_table(("", ""), [(key, f"`{value}`") for key, value in _provenance(facts.run)]),
        "",
        "| stage | rows in | rows kept | dropped |",
        "| --- | ---: | ---: | --- |",
        *(
            f"| {name} | {books.entered} | {books.kept} | "
            f"{', '.join(f'{reason} {number}' for reason, number in books.dropped.items())} |"
            for name, books in facts.funnel
        ),
        "",
        "## Licences and origins of the seeds",
        "",
        *_table(("licence", "examples"), licences.most_common()),
        "",
        *_table(("origin", "examples"), origins.most_common(20)),
        *([f"\n… and {len(origins) - 20} more origins."] if len(origins) > 20 else []),
        "",
        "## Decontamination",
        "",
        *_decontamination(facts.benchmarks),
        "",
        "## Settings",
        "",
        "```toml",
        facts.recipe_toml.strip(),
        "```",
        "",
    ]
    return "\n".join(lines)


def _provenance(run: Mapping[str, Any]) -> list[tuple[str, Any]]:
    pairs = [(f"model {key}", value) for key, value in run.get("model", {}).items()]
    pairs += [(key, run[key]) for key in ("selfcodealign", "python", "sandbox", "started") if key in run]
    return pairs


def _decontamination(benchmarks: Sequence[Mapping[str, Any]]) -> list[str]:
    """State which benchmarks the rows were compared with, and which not."""
    if not benchmarks:
        return [
            "These rows were **not** compared with any benchmark: the setting `selection.decontaminate` was empty. Do "
            "not report HumanEval, MBPP or any other benchmark for a model trained on them without doing so first."
        ]
    columns = list(benchmarks[0])
    table = _table(columns, [[one.get(column, "") for column in columns] for one in benchmarks])
    return [
        "Rows that hold the text of a task of these benchmarks were removed (substring match, white space and case "
        "aside):",
        "",
        *table,
        "",
        "They were **not** compared with any other benchmark, and rewordings are not found this way.",
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows),
    ]
