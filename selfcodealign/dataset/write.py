"""Write the data set: Parquet files that `datasets.load_dataset` reads, a card that says how they were made, and
Croissant metadata."""

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
from selfcodealign.dataset.card import CardFacts, write_card
from selfcodealign.dataset.columns import SCHEMA
from selfcodealign.dataset.counts import Examples, Files
from selfcodealign.dataset.croissant import CROISSANT, describe_dataset, describe_files
from selfcodealign.errors import RunFolderError
from selfcodealign.files import write_json
from selfcodealign.rows import Example
from selfcodealign.run_folder.shards import schema_of

#: Rows per file.
FILE_ROWS = 50_000


def write_dataset(
    folder: Path, rows: Iterable[Example], count: int, facts: CardFacts, kind: type[Example] = Example
) -> None:
    """Replace `folder`: data/train-DIGEST-*.parquet, README.md, croissant.json and written_by.json; a reader sees
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
        loaded = 0
        written = hashlib.blake2b(digest_size=8)
        for number in range(files):
            batch = list(islice(rows, FILE_ROWS))
            for row in batch:
                examples.add(row)
            table = pa.Table.from_pylist([_columns(row, schema.names) for row in batch], schema=schema)
            file = fresh / "data" / f"{number:05d}-of-{files:05d}.parquet"
            pq.write_table(table, file, compression="zstd")
            loaded += table.nbytes
            written.update(file.read_bytes())
        name = f"train-{written.hexdigest()}"
        for file in sorted((fresh / "data").iterdir()):
            file.rename(file.with_name(f"{name}-{file.name}"))
        parts = describe_files(fresh, "data/*.parquet")
        sizes = Files(sum(one.size for one in parts), loaded)
        card = write_card(examples, facts, f"data/{name}-*.parquet", sizes, schema.names)
        (fresh / "README.md").write_text(card, "utf-8")
        write_json(fresh / CROISSANT, describe_dataset(examples, facts, parts, schema), error=RunFolderError)
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
