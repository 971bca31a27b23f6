"""Rows of pairs and of tasks: from a run, or from a .jsonl or .parquet file with the named columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from selfcodealign.errors import TrainingError, did_you_mean, reason_of
from selfcodealign.files import read_json_lines
from selfcodealign.models.chat import check_messages
from selfcodealign.training.conversations import Messages


def is_run_folder(path: Path) -> bool:
    return (path / "run.json").is_file()


def read_table(path: Path, columns: Sequence[str], what: str, optional: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Read rows with these columns. Raises `TrainingError` that names a missing column and the one probably meant."""
    if path.is_dir():
        raise TrainingError(
            f"{path} is no run folder: {what} are made from one, or read from a .jsonl or .parquet file"
        )
    if not path.is_file():
        raise TrainingError(f"there is no {path}: give a run folder, or a .jsonl or .parquet file of {what}")
    if path.suffix == ".parquet":
        rows = _read_parquet(path, columns, optional)
    elif path.suffix == ".jsonl":
        rows = [row for _, row in read_json_lines(path, error=TrainingError)]
        for number, row in enumerate(rows):
            _check_columns(row, columns, f"{path}, row {number}")
    else:
        raise TrainingError(f"{path}: {what} are read from .jsonl and .parquet files")
    if not rows:
        raise TrainingError(f"{path} holds no rows")
    return rows


def as_messages(value: Any, role: str, where: str) -> Messages:
    """Return a text as one message of `role`, a list of messages unchanged. Raises `TrainingError`."""
    if isinstance(value, str):
        value = [{"role": role, "content": value}]
    if not isinstance(value, list) or not value or not all(isinstance(message, dict) for message in value):
        raise TrainingError(f"{where} has to be a text or a list of messages")
    messages = [{"role": message.get("role"), "content": message.get("content")} for message in value]
    check_messages(messages, where)
    return messages


def digest_rows(rows: Iterable[Any]) -> str:
    """Return a digest of rows of JSON values, in order."""
    state = hashlib.blake2b(digest_size=8)
    for row in rows:
        state.update(json.dumps(row, sort_keys=True).encode())
    return state.hexdigest()


def _read_parquet(path: Path, columns: Sequence[str], optional: Sequence[str]) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        _check_columns(names, columns, path)
        return pq.read_table(path, columns=[*columns, *(name for name in optional if name in names)]).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise TrainingError(f"cannot read {path}: {reason_of(error)}; give a Parquet file of rows") from None


def _check_columns(there: Iterable[str], wanted: Sequence[str], where: object) -> None:
    names = list(there)
    for name in wanted:
        if name not in names:
            raise TrainingError(f"{where} has no column {name} (it has {', '.join(names)}){did_you_mean(name, names)}")
