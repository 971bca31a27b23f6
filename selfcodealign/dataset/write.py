"""Write the data set: Parquet files that `datasets.load_dataset` reads, and a card that says how they were made."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfcodealign.dataset.authors import AUTHORS_FILE
from selfcodealign.dataset.card import CardFacts, Examples, write_card
from selfcodealign.errors import RunFolderError
from selfcodealign.files import write_json
from selfcodealign.rows import Example
from selfcodealign.run_folder.shards import schema_of

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
SCHEMA = pa.schema(
    {
        "instruction": TEXT,
        "response": TEXT,
        "messages": pa.list_(pa.struct({"role": TEXT, "content": TEXT})),
        "tests": TEXT,
        "status": TEXT,
        "concepts": pa.list_(TEXT),
        "category": TEXT,
        "difficulty": TEXT,
        "language": TEXT,
        "seed_code": TEXT,
        "function": TEXT,
        "origin": TEXT,
        "source_path": TEXT,
        "source_line": WHOLE,
        "commit": TEXT,
        "license": TEXT,
        "mutation_score": REAL,
        "proof": TEXT,
        "killed_by_value": pa.bool_(),
        "passes_siblings": REAL,
        "tests_pass": REAL,
        "agreement": REAL,
        "pass_rate": REAL,
        "samples": WHOLE,
        "seed_id": TEXT,
        "instruction_id": TEXT,
        "response_id": TEXT,
    }
)
#: Rows per file.
FILE_ROWS = 50_000


def write_dataset(
    folder: Path, rows: Iterable[Example], count: int, facts: CardFacts, kind: type[Example] = Example
) -> None:
    """Replace `folder`: data/train-DIGEST-*.parquet, README.md and written_by.json; a reader sees
    either the old or the new data set.

    `count` rows of the type `kind`, whose fields beyond those of an `Example` become columns too. `datasets` keeps what
    it has read under the names of folder and files: the digest of the rows in the names keeps two runs apart.
    """
    own = [field for field in schema_of(kind) if field.name not in Example.field_names()]
    schema = pa.schema([*SCHEMA, *own])
    fresh = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        (fresh / "data").mkdir(parents=True)
        examples = Examples()
        rows = iter(rows)
        files = max(1, -(-count // FILE_ROWS))
        written = hashlib.blake2b(digest_size=8)
        for number in range(files):
            batch = list(islice(rows, FILE_ROWS))
            for row in batch:
                examples.add(row)
            table = pa.Table.from_pylist([_columns(row, schema.names) for row in batch], schema=schema)
            file = fresh / "data" / f"{number:05d}-of-{files:05d}.parquet"
            pq.write_table(table, file, compression="zstd")
            written.update(file.read_bytes())
        name = f"train-{written.hexdigest()}"
        for file in sorted((fresh / "data").iterdir()):
            file.rename(file.with_name(f"{name}-{file.name}"))
        card = write_card(examples, facts, data_files=f"data/{name}-*.parquet")
        (fresh / "README.md").write_text(card, "utf-8")
        write_json(fresh / AUTHORS_FILE, [one.fields() for one in facts.authors], error=RunFolderError)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(fresh, folder)
    except OSError as error:
        raise RunFolderError(f"cannot write the data set to {folder}: {error.strerror or error}") from error


def _columns(row: Example, names: Sequence[str]) -> dict[str, Any]:
    columns = row.fields()
    columns |= {"seed_code": row.seed, "license": row.licence}
    said = zip(("user", "assistant"), row.messages(), strict=True)
    columns["messages"] = [{"role": role, "content": content} for role, content in said]
    return {name: columns[name] for name in names}
