"""Load the conversations to train on: from a run, a data-set folder, a file, or the hub.

A row is either `messages` (a list of {role, content}) or a pair `instruction` + `response`. Several data sets become
one: all rows of the first, then those of the others (`train.mix`), each whole or as many of its rows as are asked for.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfcodealign.dataset.authors import AUTHORS_FILE
from selfcodealign.errors import SourceError, TrainingError, did_you_mean, reason_of
from selfcodealign.files import read_json, read_json_lines
from selfcodealign.rows import digest
from selfcodealign.sources.hub import load_hub

Messages = list[dict[str, str]]

_FORMS = "messages, or instruction and response"
_ONE_PER_ROW = "it must hold a list of one JSON object per row"


@dataclass(frozen=True)
class Part:
    """One of the data sets: how many of its rows are trained on."""

    source: str
    rows: int
    of: int
    digest: str

    def describe(self) -> str:
        """Name and rows, in words.

        >>> Part("a.jsonl", 10, 24, "").describe()
        'a.jsonl (10 of 24 rows)'
        """
        return f"{self.source} ({self.rows}{f' of {self.of}' if self.rows < self.of else ''} rows)"


@dataclass(frozen=True)
class Conversations:
    """Rows in order, their source, and a digest of their text; `parts` has every data set that they come from,
    `written_by` the models that wrote texts of them, as far as that is told."""

    rows: list[Messages]
    source: str
    digest: str
    written_by: Sequence[str] = ()
    parts: Sequence[Part] = field(default=(), compare=False)


def load_conversations(dataset: str | Path) -> Conversations:
    """Load a run folder (its `dataset/`), a data-set folder, a .parquet / .jsonl / .json file, or a hub data set.

    A hub name may begin with "hub:" and include a split: "owner/name:train". Raises `TrainingError`.
    """
    rows = [_converse(row, number) for number, row in enumerate(_read(dataset))]
    if not rows:
        raise TrainingError(f"{dataset} holds no rows")
    known = _digest(rows)
    parts = [Part(str(dataset), len(rows), len(rows), known)]
    return Conversations(rows, str(dataset), known, _read_models(Path(dataset)), parts)


def load_mixed(dataset: str | Path, mix: Sequence[str], seed: int) -> Conversations:
    """Load a data set and those that `mix` names. Raises `TrainingError`."""
    own = load_conversations(dataset)
    return join([own, *load_mix(mix, seed)]) if mix else own


def load_mix(mix: Sequence[str], seed: int) -> list[Conversations]:
    """Load the data sets of `train.mix`; rows are drawn by `seed` and their text. Raises `TrainingError`."""
    found = []
    for entry in mix:
        name, count = read_entry(entry)
        try:
            found.append(_draw(load_conversations(name), count, seed))
        except TrainingError as error:
            raise TrainingError(f"train.mix: {error}") from None
    return found


def read_entry(entry: str) -> tuple[str, int | None]:
    """Split an entry of `train.mix` into the data set and the number of rows (None: all).

    >>> read_entry("runs/other@5000"), read_entry("hub:owner/name")
    (('runs/other', 5000), ('hub:owner/name', None))
    """
    numbered = re.fullmatch(r"(.+)@([1-9][0-9]*)", entry)
    return (numbered[1], int(numbered[2])) if numbered and not Path(entry).exists() else (entry, None)


def join(parts: Sequence[Conversations]) -> Conversations:
    """Put data sets behind each other. Raises `TrainingError` if one is there twice."""
    sources = [part.source for part in parts]
    for source in sources:
        if sources.count(source) > 1:
            raise TrainingError(f"train.mix: {source} is trained on twice: name it once")
    rows = [row for part in parts for row in part.rows]
    told = [one for part in parts for one in part.parts]
    models = list(dict.fromkeys(model for part in parts for model in part.written_by))
    return Conversations(rows, " + ".join(sources), _digest(rows), models, told)


def _draw(whole: Conversations, count: int | None, seed: int) -> Conversations:
    """Draw rows by their text: more rows of the same data set, or another order, change few of them."""
    if count is None:
        return whole
    if count > len(whole.rows):
        raise TrainingError(f"{whole.source} has {len(whole.rows)} rows, and {count} are asked for: ask for fewer")
    order = sorted(range(len(whole.rows)), key=lambda place: digest(seed, json.dumps(whole.rows[place])))
    rows = [whole.rows[place] for place in sorted(order[:count])]
    known = _digest(rows)
    parts = [Part(whole.source, count, len(whole.rows), known)]
    return Conversations(rows, whole.source, known, whole.written_by, parts)


def _digest(rows: Iterable[Messages]) -> str:
    state = hashlib.blake2b(digest_size=8)
    for row in rows:
        state.update(json.dumps(row, sort_keys=True).encode())
    return state.hexdigest()


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
    if str(dataset).startswith("hub:"):
        return _read_hub(str(dataset).removeprefix("hub:"))
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
