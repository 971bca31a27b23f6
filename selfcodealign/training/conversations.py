"""Load the conversations to train on: from a run, a data-set folder, a file, or the hub.

A row is either `messages` (a list of {role, content}) or a pair `instruction` + `response`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfcodealign.dataset.authors import AUTHORS_FILE
from selfcodealign.errors import SourceError, TrainingError, did_you_mean, reason_of
from selfcodealign.files import read_json, read_json_lines
from selfcodealign.sources.hub import load_hub

Messages = list[dict[str, str]]

_FORMS = "messages, or instruction and response"
_ONE_PER_ROW = "it must hold a list of one JSON object per row"


@dataclass(frozen=True)
class Conversations:
    """Rows in order, their source, a digest of their text, and the models that wrote texts of them, if that is told."""

    rows: list[Messages]
    source: str
    digest: str
    written_by: Sequence[str] = ()


def load_conversations(dataset: str | Path) -> Conversations:
    """Load a run folder (its `dataset/`), a data-set folder, a .parquet / .jsonl / .json file, or a hub data set.

    A hub name may include a split: "owner/name:train". Raises `TrainingError`.
    """
    rows = [_converse(row, number) for number, row in enumerate(_read(dataset))]
    if not rows:
        raise TrainingError(f"{dataset} holds no rows")
    state = hashlib.blake2b(digest_size=8)
    for row in rows:
        state.update(json.dumps(row, sort_keys=True).encode())
    return Conversations(rows, str(dataset), state.hexdigest(), _read_models(Path(dataset)))


def _read_models(folder: Path) -> list[str]:
    """The models that a data set of this package says wrote it."""
    for file in (folder / "dataset" / AUTHORS_FILE, folder / AUTHORS_FILE):
        if file.is_file():
            authors = read_json(file, error=TrainingError, fix="remove it, or write the data set again")
            return list(dict.fromkeys(one["model"] for one in authors if one.get("model")))
    return []


def _converse(row: dict[str, Any], number: int) -> Messages:
    if row.get("messages") is not None:
        return [{"role": message["role"], "content": message["content"]} for message in row["messages"]]
    pair = (row.get("instruction"), row.get("response"))
    if not all(isinstance(text, str) for text in pair):
        raise TrainingError(f"row {number} lacks its instruction or response")
    return [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]  # type: ignore[dict-item]


def _read(dataset: str | Path) -> Iterable[dict[str, Any]]:
    path = Path(dataset)
    if path.is_dir():
        return _read_folder(path)
    if path.is_file():
        return _read_file(path)
    if path.suffix or str(dataset).startswith((".", "/", "~")) or str(dataset).count("/") > 1:
        raise TrainingError(f"no data set at {dataset}: give a run folder, a folder or file of rows, or a hub name")
    return _read_hub(str(dataset))


def _read_folder(folder: Path) -> Iterable[dict[str, Any]]:
    home = folder / "dataset" if (folder / "dataset").is_dir() else folder
    for pattern in ("data/train*.parquet", "data/*.parquet", "train*.parquet", "*.parquet", "*.jsonl", "*.json"):
        files = sorted(home.glob(pattern))
        if files:
            return [row for file in files for row in _read_file(file)]
    if (folder / "run.json").is_file():
        raise TrainingError(f"the data set is not written yet: run the recipe of {folder} to its stage dataset")
    raise TrainingError(f"no rows in {home}: expected data/train-*.parquet, *.parquet or *.jsonl there")


def _read_file(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".parquet":
        return _read_parquet(file)
    if file.suffix not in (".jsonl", ".json"):
        raise TrainingError(f"{file}: rows are read from .parquet, .jsonl and .json")
    if file.suffix == ".json":
        rows = read_json(file, error=TrainingError, fix=_ONE_PER_ROW)
    else:
        rows = [row for _, row in read_json_lines(file, error=TrainingError)]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TrainingError(f"{file} is no data set: {_ONE_PER_ROW}")
    if rows:
        _check_columns(rows[0], file)
    return rows


def _read_parquet(file: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
        wanted = _check_columns(schema.names, file)
        return pq.read_table(file, columns=wanted).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise TrainingError(f"cannot read {file}: {reason_of(error)}; give a Parquet file of rows") from None


def _read_hub(name: str) -> list[dict[str, Any]]:
    repository, _, split = name.partition(":")
    rows = []
    try:
        for row in load_hub(repository, None, split or "train").rows:
            wanted = _check_columns(row, name)
            rows.append({column: row[column] for column in wanted})
    except SourceError as error:
        raise TrainingError(f'there is no file or folder "{name}", and {error}') from None
    return rows


def _check_columns(columns: Iterable[str], where: object) -> list[str]:
    """Return the columns to read. Raises `TrainingError` that names the column which was probably meant."""
    names = list(columns)
    if "messages" in names:
        return ["messages"]
    missing = [name for name in ("instruction", "response") if name not in names]
    if not missing:
        return ["instruction", "response"]
    near = [name for name in ("messages", *missing) if did_you_mean(name, names)]
    hint = did_you_mean(near[0], names) if near else ""
    raise TrainingError(f"{where} has no column for {_FORMS} (it has {', '.join(names)}){hint}")
